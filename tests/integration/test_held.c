/* SPDX-License-Identifier: MIT */
/* A disk in use whose next worker cannot serve it, for a reason that stays: the guest keeps the
 * disk and waits. Everything says why; once the cause is gone, `recover` goes on. */
#include <signal.h>
#include <sys/stat.h>

#include "base/landlock.h"
#include "control.h"
#include "limited.h"
#include "needs.h"

#define SEED 5
#define ID "1:xvda"

static void disk_start(struct host *h, struct xenblkfront **f)
{
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	*f = host_front_connected(h, 1, "xvda");
}

static void recover(struct host *h)
{
	json_t *answer = host_control(h, "recover", ID);

	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
}

/* Its worker dies with a flush on the ring, and the next one cannot start. Asked to recover too
 * early, the disk waits on; when the cause is gone the flush is answered. */
static void held(struct host *h, void (*cause)(struct host *h, bool on), const char *says)
{
	struct xenblkfront_request req = {.op = BLKIF_OP_FLUSH_DISKCACHE};
	struct xenblkfront_response rsp;
	struct xenblkfront *f;

	disk_start(h, &f);
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(worker, SIGSTOP), 0);
	assert_front(f, xenblkfront_queue(f, &req, 42));
	assert_front(f, xenblkfront_kick(f));
	cause(h, true);
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_held(h, 1, XVDA, ID, says);
	wait_until(!host_worker(h, ID));
	/* Nobody tries again by himself. */
	usleep(QUIET_MS * 1000);
	assert_int_equal(host_log_count(h, "; the guest waits: "), 1);
	recover(h);
	assert_held(h, 1, XVDA, ID, says);
	assert_true(xenblkfront_reap(f, &rsp, 1, 0) <= 0);
	wait_until(!host_worker(h, ID));
	cause(h, false);
	recover(h);
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, WAIT_MS), 1);
	assert_int_equal(rsp.id, 42);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_reads(f, 0, SEED);
	assert_string_equal(status_text(h, ID, "error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void uring(struct host *h, bool on)
{
	limit(on ? "uring" : "");
}

static void rings(struct host *h, bool on)
{
	limit(on ? "rings" : "");
}

static void privileges(struct host *h, bool on)
{
	limit(on ? "privileges" : "");
}

static void seal(struct host *h, bool on)
{
	limit(on ? "seal" : "");
}

static void landlock(struct host *h, bool on)
{
	limit(on ? "landlock" : "");
}

static void program(struct host *h, bool on)
{
	char path[300];

	snprintf(path, sizeof path, "%s/xenblkd-worker", h->programs);
	assert_int_equal(chmod(path, on ? 0600 : 0700), 0);
}

static void io_uring_forbidden(void **state)
{
	held(*state, uring, "cannot set up io_uring: Operation not permitted; ");
}

static void rings_not_restricted(void **state)
{
	held(*state, rings, "cannot set up io_uring: Operation not permitted; ");
}

static void privileges_not_dropped(void **state)
{
	needs(lacks_sandbox());
	held(*state, privileges, "cannot drop privileges: ");
}

static void calls_not_sealed(void **state)
{
	needs(lacks_sandbox());
	held(*state, seal, "cannot restrict system calls: ");
}

static void files_not_restricted(void **state)
{
	needs(lacks_sandbox());
	needs(landlock_version() ? NULL : "needs Landlock");
	held(*state, landlock, "cannot restrict file access: ");
}

static void program_missing(void **state)
{
	held(*state, program, "cannot start xenblkd-worker: Permission denied");
}

/* The toolstack's keys no longer name an image. Written right, they are all that is needed. */
static void keys_spoilt(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;
	char mode[16], key[200];

	disk_start(h, &f);
	snprintf(mode, sizeof mode, "%s", host_read(h, host_be(1, XVDA), "mode"));
	snprintf(key, sizeof key, "%s/mode", host_be(1, XVDA));
	assert_int_equal(store_rm(h->store, XBT_NULL, key, NULL), 0);
	wait_until(strstr(status_text(h, ID, "warning"), "key mode is missing"));
	kill(host_worker(h, ID), SIGKILL);
	assert_held(h, 1, XVDA, ID, "key mode is missing");
	host_write(h, host_be(1, XVDA), "mode", "%s", mode);
	assert_reads(f, 0, SEED);
	wait_until(status_is(h, ID, "error", ""));
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* The guest leaves, the toolstack takes the disk away: that does not wait for a worker that cannot
 * be had. */
static void taken_away(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	limit("uring");
	kill(host_worker(h, ID), SIGKILL);
	assert_held(h, 1, XVDA, ID, "cannot set up io_uring");
	xenblkfront_close(f);
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(h, 1, XVDA);
}

/* The guest starts anew (a reboot within the domain): it is told that the disk has failed, and has
 * it when the cause is gone. */
static void started_anew(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	limit("uring");
	kill(host_worker(h, ID), SIGKILL);
	assert_held(h, 1, XVDA, ID, "cannot set up io_uring");
	limit("");
	xenblkfront_close(f);
	f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, SEED);
	assert_string_equal(status_text(h, ID, "error"), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

#define case_of_limited(name) cmocka_unit_test_setup_teardown(name, limited_setup, limited_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of_limited(io_uring_forbidden),
	    case_of_limited(rings_not_restricted),
	    case_of_limited(privileges_not_dropped),
	    case_of_limited(calls_not_sealed),
	    case_of_limited(files_not_restricted),
	    case_of_limited(program_missing),
	    case_of_limited(keys_spoilt),
	    case_of_limited(taken_away),
	    case_of_limited(started_anew),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
