/* SPDX-License-Identifier: MIT */
/* Workers that die again and again: by their own fault the disk fails and waits, by somebody's hand
 * never. */
#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "control.h"
#include "needs.h"

#define SEED 5

static void disk_start(struct host *h, struct xenblkfront **f)
{
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	*f = host_front_connected(h, 1, "xvda");
}

static bool serves(struct host *h)
{
	return host_worker(h, "1:xvda") > 0 && status_is(h, "1:xvda", "ring_state", "connected");
}

/* Sends it the signal and waits for what is next: another worker that serves, or none. */
static void die_by(struct host *h, int sig, bool another)
{
	pid_t worker = host_worker(h, "1:xvda");

	assert_true(worker > 0);
	assert_int_equal(kill(worker, sig), 0);
	if (another)
		wait_until(host_worker(h, "1:xvda") != worker && serves(h));
	else
		wait_until(!host_worker(h, "1:xvda"));
}

static int write_sector(struct xenblkfront *f, uint64_t sector)
{
	uint32_t ref;
	void *page;

	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_WRITE, .sector = sector, .nr_segments = 1, .seg = {{ref, 0, 7}}};
	return host_request(f, &req);
}

/* By a signal that sanitizers leave alone. */
static void crash_loop(struct host *h)
{
	for (int i = 0; i < 5; i++)
		die_by(h, SIGSYS, i < 4);
	host_wait_error(h, "1:xvda", "worker died 5 times in a row, last: killed by signal 31");
}

/* The fifth fault in a row: visible everywhere, the other disk goes on, the guest waits. Then
 * somebody recovers the disk, and the request that waited is done. */
static void fails_and_recovers(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;
	struct bystander b;
	struct xenblkfront_response rsp;
	struct xenblkfront_request req = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	bystander_start(h, &b);
	disk_start(h, &f);
	crash_loop(h);
	assert_error(h, 1, XVDA, "1:xvda", "no request in hand");
	assert_string_equal(status_text(h, "1:xvda", "image_state"), "failed");
	assert_string_equal(status_text(h, "1:xvda", "last_death"),
	                    "killed by signal 31 (Bad system call)");
	assert_front(f, xenblkfront_queue(f, &req, 42));
	assert_front(f, xenblkfront_kick(f));
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, 1000));
	assert_int_equal(host_worker(h, "1:xvda"), 0);
	bystander_check(h, &b);
	json_t *answer = host_control(h, "recover", "1:xvda");
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, WAIT_MS), 1);
	assert_int_equal(rsp.id, 42);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_reads(f, 0, SEED);
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	/* Now there is nothing to recover. */
	answer = host_control(h, "recover", "1:xvda");
	assert_false(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	front_end(f);
	host_detach(h, 1, XVDA);
	bystander_stop(h, &b);
}

/* The first restart is at once, the later ones wait: 100 ms, 200 ms, 400 ms. No less, however fast
 * the machine is. */
static void backs_off(void **state)
{
	static const uint64_t least_ms[] = {0, 100, 200, 400};
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	for (unsigned i = 0; i < sizeof least_ms / sizeof *least_ms; i++) {
		uint64_t died = clock_ns();
		die_by(h, SIGSYS, true);
		assert_true(clock_ns() - died >= least_ms[i] * NS_PER_MS);
	}
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* A disk that has failed can be detached, and attached again. */
static void failed_disk_goes(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	crash_loop(h);
	assert_front(f, xenblkfront_set_state(f, XS_CLOSING));
	host_wait_state(h, 1, XVDA, XS_CLOSING);
	assert_front(f, xenblkfront_set_state(f, XS_CLOSED));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
	disk_start(h, &f);
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* kill -9 is somebody's will, however often: no back-off, no failure. */
static void killed_for_ever(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	for (int i = 0; i < 30; i++) {
		die_by(h, i % 3 == 2 ? SIGTERM : SIGKILL, true);
		assert_reads(f, 0, SEED);
	}
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	assert_int_equal(status_number(h, "1:xvda", "faults"), 0);
	assert_string_equal(status_text(h, "1:xvda", "last_death"),
	                    "killed by signal 15 (Terminated)");
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* Kills that interrupt requests, but not always the same ones: no failure, though there are more of
 * them than of those that are one. */
static void killed_at_work(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;
	struct xenblkfront_response rsp;
	struct xenblkfront_request req = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	disk_start(h, &f);
	for (unsigned i = 0; i < 25; i++) {
		pid_t worker = host_worker(h, "1:xvda");
		assert_int_equal(kill(worker, SIGSTOP), 0);
		assert_front(f, xenblkfront_queue(f, &req, i));
		assert_front(f, xenblkfront_kick(f));
		assert_int_equal(kill(worker, SIGKILL), 0);
		assert_int_equal(xenblkfront_reap(f, &rsp, 1, WAIT_MS), 1);
		assert_int_equal(rsp.id, i);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
		wait_until(host_worker(h, "1:xvda") != worker && serves(h));
	}
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* None of them is meant to end a process. */
static void signals_that_do_nothing(void **state)
{
	static const int signals[] = {SIGHUP,    SIGPIPE, SIGXFSZ, SIGXCPU, SIGALRM,
	                              SIGVTALRM, SIGPROF, SIGIO,   SIGUSR1, SIGUSR2};
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	pid_t worker = host_worker(h, "1:xvda");
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
		assert_int_equal(kill(worker, signals[i]), 0);
		assert_reads(f, 0, SEED);
	}
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	assert_string_equal(status_text(h, "1:xvda", "last_death"), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* The shell's limits are not the worker's; and one that is met all the same is an error of the
 * request that met it. */
static void limit_of_file_size(void **state)
{
	const struct rlimit soft = {2 * MIB, RLIM_INFINITY}, hard = {2 * MIB, 2 * MIB};
	struct host *h = *state;
	struct xenblkfront *f;
	struct rlimit r;

	assert_int_equal(prlimit(h->daemon, RLIMIT_FSIZE, &soft, NULL), 0);
	const char *image = host_image(h, "b.img", 4 * MIB);
	host_attach(h, &(struct disk){.params = image}, image);
	f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_int_equal(prlimit(worker, RLIMIT_FSIZE, NULL, &r), 0);
	assert_true(r.rlim_cur == (SANITIZED ? RLIM_INFINITY : 4 * MIB));
	assert_true(r.rlim_max == RLIM_INFINITY);
	assert_int_equal(write_sector(f, 3 * MIB / 512), BLKIF_RSP_OKAY);
	assert_int_equal(prlimit(worker, RLIMIT_FSIZE, &hard, NULL), 0);
	assert_int_equal(write_sector(f, 3 * MIB / 512), BLKIF_RSP_ERROR);
	assert_int_equal(write_sector(f, 0), BLKIF_RSP_OKAY);
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static bool limit_is(pid_t worker, rlim_t bytes)
{
	struct rlimit r;

	return !prlimit(worker, RLIMIT_FSIZE, NULL, &r) && r.rlim_cur == bytes;
}

/* A worker cannot make its image longer. When somebody else does, it may write there, also if that
 * happened while there was no supervisor. */
static void limit_follows_size(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;
	char image[200];

	needs(lacks_sandbox());
	snprintf(image, sizeof image, "%s", host_image(h, "b.img", 4 * MIB));
	host_attach(h, &(struct disk){.params = image}, image);
	f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_true(limit_is(worker, 4 * MIB));
	assert_int_equal(truncate(image, 8 * MIB), 0);
	wait_until(limit_is(worker, 8 * MIB));
	wait_until(status_number(h, "1:xvda", "sectors") == 8 * MIB / 512);
	assert_int_equal(write_sector(f, 7 * MIB / 512), BLKIF_RSP_OKAY);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(truncate(image, 16 * MIB), 0);
	host_daemon_start(h, NULL);
	wait_until(limit_is(worker, 16 * MIB));
	wait_until(status_number(h, "1:xvda", "sectors") == 16 * MIB / 512);
	assert_int_equal(write_sector(f, 15 * MIB / 512), BLKIF_RSP_OKAY);
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	front_end(f);
	host_detach(h, 1, XVDA);
	host_attach(h, &(struct disk){.params = image, .mode = "r"}, image);
	f = host_front_connected(h, 1, "xvda");
	assert_true(limit_is(host_worker(h, "1:xvda"), 0));
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* The error of a failed disk outlives the supervisor, and goes with its cause. */
static void error_survives(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;

	disk_start(h, &f);
	assert_front(f, xenblkfront_set_state(f, XS_RECONFIGURING));
	assert_fatal(h, 1, XVDA, "1:xvda", "makes no sense");
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	assert_non_null(strstr(status_text(h, "1:xvda", "error"), "makes no sense"));
	xenblkfront_close(f);
	f = host_front_connected(h, 1, "xvda");
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	/* A new supervisor tries again what the last one had given up. (The worker is one that was
	 * taken over: under sanitizers it does not note a fault.) */
	die_by(h, SIGKILL, true);
	crash_loop(h);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	wait_until(serves(h));
	assert_reads(f, 0, SEED);
	wait_until(!*status_text(h, "1:xvda", "error"));
	assert_string_equal(error_node(h, 1, XVDA), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(fails_and_recovers),      case_of(backs_off),
	    case_of(failed_disk_goes),        case_of(killed_for_ever),
	    case_of(error_survives),          case_of(killed_at_work),
	    case_of(signals_that_do_nothing), case_of(limit_of_file_size),
	    case_of(limit_follows_size),
	};

	return cmocka_run_group_tests_name("crashloop", tests, NULL, NULL);
}
