/* SPDX-License-Identifier: MIT */
/* Supervisors and workers of different versions meet: the guest does not notice, and what cannot be
 * gone on with is left to serve. */
#include "package.h"

#define NEXT "tests/integration/xenblkd_next"           /* speaks version 1000 to its workers */
#define WORKER_NEXT "tests/integration/worker_next"     /* so does this one */
#define WORKER_FUTURE "tests/integration/worker_future" /* with journals of version 1000 */
#define WORKER_OLD "tests/integration/worker_old"       /* with journals of version 1 */

static char build[256];

static void install_both(struct host *h, const char *daemon, const char *worker)
{
	install(h, build, daemon, "xenblkd");
	install(h, build, worker, "xenblkd-worker");
}

static void begin(struct host *h, const char *daemon, const char *worker, struct xenblkfront **f)
{
	package_start(h, build, daemon, worker);
	*f = package_disk(h);
}

static void end(struct host *h, struct xenblkfront *f)
{
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	front_end(f);
	host_detach(h, 1, XVDA);
	host_stop(h);
}

/* The worker is one that is installed now, and nothing else is left. */
static void assert_current(struct host *h, struct xenblkfront *f, pid_t before)
{
	wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != before &&
	           status_is(h, "1:xvda", "ring_state", "connected") &&
	           status_is(h, "1:xvda", "image_state", "open"));
	assert_reads(f, 0, SEED);
	assert_true(runs_installed(h, host_worker(h, "1:xvda"), "xenblkd-worker"));
	assert_int_equal(workers_of(h), 1);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_int_equal(status_number(h, "1:xvda", "sectors"), MIB / 512);
	assert_string_equal(status_text(h, "1:xvda", "warning"), "");
}

/* A worker of the version before left its journal: read by one of ours after an upgrade, and after
 * a death of everybody. */
static void journal_of_the_version_before(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, "xenblkd", WORKER_OLD, &f);
	pid_t worker = host_worker(&h, "1:xvda");
	install(&h, build, "xenblkd-worker", "xenblkd-worker");
	assert_int_equal(ctl(&h, f, "upgrade 1:xvda"), 0);
	assert_current(&h, f, worker);
	end(&h, f);

	begin(&h, "xenblkd", WORKER_OLD, &f);
	worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	install(&h, build, "xenblkd-worker", "xenblkd-worker");
	host_daemon_start(&h, NULL);
	assert_current(&h, f, worker);
	end(&h, f);
}

/* The journal of a version that is not known: not guessed at, the disk fails and says why. */
static void journal_of_the_future(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, "xenblkd", "tests/integration/worker_journal", &f);
	pid_t worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	install(&h, build, "xenblkd-worker", "xenblkd-worker");
	host_daemon_start(&h, NULL);
	assert_held(&h, 1, XVDA, "1:xvda", "has version 1000, this worker knows 1 and 2");
	xenblkfront_close(f);
	store_rm(h.store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(&h, 1, XVDA);
	host_stop(&h);
}

/* A new supervisor that speaks another version finds workers of the old one: after a death, and by
 * an upgrade of itself. */
static void upgraded(void **state)
{
	struct xenblkfront *f;
	struct host h;

	for (int by_exec = 0; by_exec < 2; by_exec++) {
		begin(&h, "xenblkd", "xenblkd-worker", &f);
		pid_t worker = host_worker(&h, "1:xvda");
		install_both(&h, NEXT, WORKER_NEXT);
		if (by_exec) {
			assert_int_equal(ctl(&h, f, "upgrade"), 0);
			assert_non_null(strstr(ctl_said(&h), "version 8.8.8"));
		} else {
			host_daemon_kill(&h, SIGKILL);
			assert_reads(f, 0, SEED);
			host_daemon_start(&h, NULL);
		}
		assert_current(&h, f, worker);
		end(&h, f);
	}
}

/* And back, as long as the journal is one that the older one reads. */
static void downgraded(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, NEXT, WORKER_NEXT, &f);
	pid_t worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	install_both(&h, "xenblkd", "xenblkd-worker");
	host_daemon_start(&h, NULL);
	assert_current(&h, f, worker);
	end(&h, f);
}

/* If it does not read it, the worker serves on, and status says why; it ends with its connection.
 */
static void cannot_be_replaced(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, NEXT, WORKER_FUTURE, &f);
	pid_t worker = host_worker(&h, "1:xvda");
	for (int round = 0; round < 2; round++) {
		host_daemon_kill(&h, SIGKILL);
		install_both(&h, "xenblkd", "xenblkd-worker");
		host_daemon_start(&h, NULL);
		wait_until(strstr(status_text(&h, "1:xvda", "warning"),
		                  "has version 1000, this worker knows 1 and 2"));
		assert_int_equal(host_worker(&h, "1:xvda"), worker);
		assert_int_equal(workers_of(&h), 1);
		assert_reads(f, 0, SEED);
	}
	assert_int_equal(ctl(&h, f, "upgrade 1:xvda"), 1);
	assert_int_equal(host_worker(&h, "1:xvda"), worker);
	/* The front end connects anew: there is no journal to go on with, and all is well. */
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	f = host_front_connected(&h, 1, "xvda");
	assert_current(&h, f, worker);
	end(&h, f);
}

/* Detached while such a worker serves it. */
static void detached(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, NEXT, WORKER_FUTURE, &f);
	host_daemon_kill(&h, SIGKILL);
	install_both(&h, "xenblkd", "xenblkd-worker");
	host_daemon_start(&h, NULL);
	wait_until(strstr(status_text(&h, "1:xvda", "warning"), "has version 1000"));
	end(&h, f);
}

/* It dies instead: what it left is not guessed at. */
static void dies(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, NEXT, WORKER_FUTURE, &f);
	pid_t worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	install_both(&h, "xenblkd", "xenblkd-worker");
	host_daemon_start(&h, NULL);
	wait_until(strstr(status_text(&h, "1:xvda", "warning"), "has version 1000"));
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_held(&h, 1, XVDA, "1:xvda", "has version 1000");
	xenblkfront_close(f);
	store_rm(h.store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(&h, 1, XVDA);
	host_stop(&h);
}

/* The worker of another version has the image, and no ring; the front end comes just then. */
static void front_end_comes(void **state)
{
	struct host h;
	char image[200];

	package_start(&h, build, "xenblkd", "xenblkd-worker");
	make_image(&h, "a.img", SEED, image);
	host_attach(&h, &(struct disk){.params = image}, image);
	wait_image_open(&h, "1:xvda");
	pid_t worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	struct xenblkfront *f = host_front(&h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	install_both(&h, NEXT, WORKER_NEXT);
	host_daemon_start(&h, NULL);
	host_wait_state(&h, 1, XVDA, XS_CONNECTED);
	assert_front(f, xenblkfront_set_state(f, XS_CONNECTED));
	assert_current(&h, f, worker);
	end(&h, f);
}

/* A daemon whose own worker program is of another version: said at once, and no loop. */
static void half_a_package(void **state)
{
	struct host h;
	char image[200];

	package_start(&h, build, "xenblkd", WORKER_NEXT);
	make_image(&h, "a.img", SEED, image);
	host_attach(&h, &(struct disk){.params = image}, image);
	assert_error(&h, 1, XVDA, "1:xvda", "speaks version 1000, this xenblkd 5");
	/* Its own line takes another way, and may come later. */
	wait_until(host_log_has(&h, "xenblkd speaks version 5 to its workers"));
	usleep(QUIET_MS * 1000);
	assert_int_equal(host_log_count(&h, "xenblkd speaks version 5 to its workers"), 1);
	host_detach(&h, 1, XVDA);
	host_stop(&h);
}

/* The same under a guest that is connected: it waits until somebody has repaired that. */
static void half_a_package_connected(void **state)
{
	struct xenblkfront *f;
	struct host h;

	begin(&h, "xenblkd", "xenblkd-worker", &f);
	pid_t worker = host_worker(&h, "1:xvda");
	host_daemon_kill(&h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	install(&h, build, WORKER_NEXT, "xenblkd-worker");
	host_daemon_start(&h, NULL);
	assert_error(&h, 1, XVDA, "1:xvda", "speaks version 1000, this xenblkd 5");
	wait_until(host_log_has(&h, "xenblkd speaks version 5 to its workers"));
	assert_true(host_state_stays(&h, 1, XVDA, XS_CONNECTED, QUIET_MS));
	assert_int_equal(host_log_count(&h, "xenblkd speaks version 5 to its workers"), 1);
	install(&h, build, "xenblkd-worker", "xenblkd-worker");
	assert_int_equal(ctl(&h, NULL, "upgrade"), 0);
	assert_current(&h, f, worker);
	end(&h, f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(journal_of_the_version_before),
	    cmocka_unit_test(journal_of_the_future),
	    cmocka_unit_test(upgraded),
	    cmocka_unit_test(downgraded),
	    cmocka_unit_test(front_end_comes),
	    cmocka_unit_test(cannot_be_replaced),
	    cmocka_unit_test(detached),
	    cmocka_unit_test(dies),
	    cmocka_unit_test(half_a_package),
	    cmocka_unit_test(half_a_package_connected),
	};

	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
