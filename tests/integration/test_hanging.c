/* SPDX-License-Identifier: MIT */
/* A worker that was killed and does not end, because its storage does not answer: its disk says so
 * and waits. Everything else goes on: other disks, xenblkd's upgrade, its successor. */
#include <signal.h>

#include "adopt.h"
#include "needs.h"
#include "slow_mount.h"

#define ID "1:xvda"

struct hanging {
	struct slow_mount slow;
	struct bystander other;
	struct xenblkfront *f;
	pid_t worker;
};

static struct slow_mount mounted; /* that of the case, also when it has failed */

/* First the file system: nothing that waits for it can be ended. */
static int teardown(void **state)
{
	slow_stop(&mounted);
	return host_teardown(state);
}

static void hang_syncs(struct hanging *t, bool on)
{
	__atomic_store_n(&t->slow.fs->sync, on, __ATOMIC_RELEASE);
}

/* A flush hangs, and its worker with it. */
static void begin(struct hanging *t, struct host *h)
{
	struct xenblkfront_request req = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	*t = (struct hanging){0};
	slow_start(&t->slow, h);
	mounted = t->slow;
	bystander_start(h, &t->other);
	host_attach(h, &(struct disk){.params = t->slow.image}, t->slow.image);
	t->f = host_front_connected(h, 1, "xvda");
	t->worker = host_worker(h, ID);
	hang_syncs(t, true);
	assert_front(t->f, xenblkfront_queue(t->f, &req, 42));
	assert_front(t->f, xenblkfront_kick(t->f));
	wait_until(__atomic_load_n(&t->slow.fs->syncs, __ATOMIC_ACQUIRE) > 0);
}

static void assert_hangs(struct host *h, struct hanging *t)
{
	char pid[40];

	wait_until(status_is(h, ID, "worker_state", "hangs"));
	wait_until(strstr(status_text(h, ID, "warning"), "hangs in the kernel since 2"));
	snprintf(pid, sizeof pid, "(process %d)", (int)t->worker);
	assert_non_null(strstr(status_text(h, ID, "warning"), pid));
	assert_non_null(strstr(status_text(h, ID, "warning"), t->slow.image));
	assert_int_equal(host_worker(h, ID), t->worker);
	bystander_check(h, &t->other);
}

/* The storage answers: the next worker does what the last one had in hand. */
static void storage_answers(struct host *h, struct hanging *t)
{
	struct xenblkfront_response rsp;

	hang_syncs(t, false);
	assert_int_equal(xenblkfront_reap(t->f, &rsp, 1, WAIT_MS), 1);
	assert_int_equal(rsp.id, 42);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_int_not_equal(host_worker(h, ID), t->worker);
	assert_true(status_is(h, ID, "worker_state", "serving"));
	wait_until(status_is(h, ID, "warning", ""));
}

static void end(struct host *h, struct hanging *t)
{
	front_end(t->f);
	host_detach(h, 1, XVDA);
	bystander_stop(h, &t->other);
	slow_stop(&mounted);
}

/* Asked to end for an upgrade, and made to when it does not. */
static void upgraded(void **state)
{
	struct host *h = *state;
	struct hanging t;

	begin(&t, h);
	json_t *answer = host_control(h, "upgrade", ID);
	assert_false(json_is_true(json_object_get(answer, "ok")));
	assert_non_null(strstr(json_string_value(json_object_get(answer, "error")),
	                       "was killed and hangs in the kernel"));
	json_decref(answer);
	assert_hangs(h, &t);
	storage_answers(h, &t);
	end(h, &t);
}

/* A successor, and an upgrade of xenblkd itself, find it so. */
static void adopted(void **state)
{
	struct host *h = *state;
	struct hanging t;

	begin(&t, h);
	assert_int_equal(kill(t.worker, SIGKILL), 0);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	t.other.worker = host_worker(h, "9:xvdb");
	assert_hangs(h, &t);
	json_t *answer = host_control(h, "upgrade", NULL);
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	assert_hangs(h, &t);
	answer = host_control(h, "upgrade", "9:xvdb");
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	t.other.worker = host_worker(h, "9:xvdb");
	assert_hangs(h, &t);
	storage_answers(h, &t);
	end(h, &t);
}

/* Taken away by force: no Closed while a write may still come, and status says why. */
static void detached(void **state)
{
	struct host *h = *state;
	struct hanging t;

	begin(&t, h);
	host_offline(h, 1, XVDA);
	xenblkfront_close(t.f);
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	wait_until(status_is(h, ID, "worker_state", "hangs"));
	assert_non_null(strstr(status_text(h, ID, "warning"), "Closed is not written"));
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, QUIET_MS));
	bystander_check(h, &t.other);
	hang_syncs(&t, false);
	host_detach(h, 1, XVDA);
	bystander_stop(h, &t.other);
	slow_stop(&mounted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(upgraded, host_setup, teardown),
	    cmocka_unit_test_setup_teardown(adopted, host_setup, teardown),
	    cmocka_unit_test_setup_teardown(detached, host_setup, teardown),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("hanging", tests, NULL, NULL);
}
