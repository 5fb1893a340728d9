/* SPDX-License-Identifier: MIT */
/* Several queues of one disk: negotiation, data, flushes, barriers, workers that are killed, and
 * what a front end may not offer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "control.h"

#define ID "1:xvda"
#define SEED 91
#define QUEUES 4

/* xenblkd that offers QUEUES queues, and a disk. */
static int setup(void **state)
{
	static const char *const extra[] = {"--max-queues", "4", NULL};
	struct host *h = malloc(sizeof *h);
	char path[200];

	host_start(h, extra);
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	*state = h;
	return 0;
}

#define queue_case(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

static struct xenblkfront *connect(struct host *h, unsigned queues, unsigned order)
{
	return host_front_with(
	    h, &(struct xenblkfront_options){.queues = queues, .ring_order = order});
}

/* Threads of the worker that serve queues. */
static unsigned queue_threads(struct host *h)
{
	char path[64], comm[400], name[32];
	unsigned n = 0;

	snprintf(path, sizeof path, "/proc/%d/task", (int)host_worker(h, ID));
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		snprintf(comm, sizeof comm, "%s/%s/comm", path, e->d_name);
		FILE *f = fopen(comm, "r");
		if (!f)
			continue;
		if (fgets(name, sizeof name, f) && !strncmp(name, "1.xvda-", 7))
			n++;
		fclose(f);
	}
	closedir(dir);
	return n;
}

/* ---- negotiation ---- */

static void any_number_of_queues(void **state)
{
	struct host *h = *state;
	struct xenblkfront_info info;

	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_string_equal(host_read(h, host_be(1, XVDA), "multi-queue-max-queues"), "4");
	for (unsigned n = 0; n <= QUEUES; n++) {
		struct xenblkfront *f = connect(h, n, n % 3);
		unsigned queues = n ? n : 1;
		assert_front(f, xenblkfront_get_info(f, &info));
		assert_int_equal(info.queues, queues);
		assert_int_equal(status_number(h, ID, "queues"), queues);
		wait_until(queue_threads(h) == queues); /* a helper has its name a little later */
		for (unsigned q = 0; q < queues; q++) {
			assert_front(f, xenblkfront_select(f, q));
			assert_reads(f, q * 65536, SEED);
		}
		front_end(f);
	}
}

static int setup_default(void **state)
{
	return host_setup(state);
}

/* As many as there are processors, and never more than 16. */
static void default_is_one_for_each_processor(void **state)
{
	struct host *h = *state;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char path[200], want[32];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	snprintf(want, sizeof want, "%ld", cpus > 16 ? 16 : cpus);
	assert_string_equal(host_read(h, host_be(1, XVDA), "multi-queue-max-queues"), want);
}

/* What a front end may not write, with several queues of one page offered. */
static const struct {
	const char *key, *value; /* NULL: removed; "@KEY": the value of that key */
	const char *word;        /* that the error must have */
} bad[] = {
    {"multi-queue-num-queues", "5", "multi-queue-num-queues"},
    {"multi-queue-num-queues", "0", "multi-queue-num-queues"},
    {"multi-queue-num-queues", "-1", "multi-queue-num-queues"},
    {"multi-queue-num-queues", "4294967297", "multi-queue-num-queues"},
    /* the keys are those of four queues of one page each */
    {"multi-queue-num-queues", "1", "event-channel"},
    {"multi-queue-num-queues", NULL, "event-channel"},
    {"ring-page-order", "2", "queue-0/ring-ref0"},
    {"queue-2/event-channel", NULL, "queue-2/event-channel"},
    {"queue-2/event-channel", "0", "queue-2/event-channel"},
    {"queue-2/event-channel", "@queue-0/event-channel", "queue-2/event-channel"},
    {"queue-2/event-channel", "77777", "event-channel 77777"},
    {"queue-3/ring-ref", NULL, "queue-3/ring-ref"},
    {"queue-3/ring-ref", "x", "queue-3/ring-ref"},
    {"queue-3/ring-ref", "@queue-1/ring-ref", "queue-3/ring-ref"},
    {"queue-3/ring-ref", "123456", "123456"},
    {"feature-persistent", "2", "feature-persistent"},
};

static void bad_keys_fail_this_device_only(void **state)
{
	struct host *h = *state;
	struct bystander other;
	struct xen_usage before, after;
	char value[64];

	bystander_start(h, &other);
	front_end(connect(h, QUEUES, 0));
	front_state(h, 1, XVDA, XS_INITIALISING);
	assert_int_equal(xen_usage(h->xen, &before), 0);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct xenblkfront *f =
		    host_front_with(h, &(struct xenblkfront_options){.queues = QUEUES});
		/* A new ring, offered with one key spoilt. */
		assert_front(f, xenblkfront_disconnect(f));
		front_state(h, 1, XVDA, XS_INITIALISING);
		host_wait_state(h, 1, XVDA, XS_INITWAIT);
		assert_front(f, xenblkfront_publish_ring(f));
		const char *v = bad[i].value;
		if (v && v[0] == '@') {
			snprintf(value, sizeof value, "%s", host_read(h, host_fe(1, XVDA), v + 1));
			v = value;
		}
		assert_front(f, xenblkfront_write_key(f, bad[i].key, v));
		assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
		host_wait_error(h, ID, bad[i].word);
		host_wait_state(h, 1, XVDA, XS_CLOSING);
		bystander_check(h, &other);
		front_state(h, 1, XVDA, XS_CLOSED);
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		xenblkfront_close(f);
		front_state(h, 1, XVDA, XS_INITIALISING);
		host_wait_state(h, 1, XVDA, XS_INITWAIT);
	}
	assert_int_equal(xen_usage(h->xen, &after), 0);
	assert_int_equal(after.maps, before.maps);
	assert_int_equal(after.interdomain, before.interdomain);
	struct xenblkfront *f = connect(h, QUEUES, 0);
	assert_reads(f, 0, SEED);
	front_end(f);
	bystander_stop(h, &other);
}

/* ---- order ---- */

#define SLOW_US 1000000 /* a discard takes that long */

static char image[200];

/* A disk of two queues with these faults. */
static int setup_faulty(void **state, const char *faults)
{
	static const char *const extra[] = {"--test-faults", "--max-queues", "2", NULL};
	struct host *h = malloc(sizeof *h);
	char target[300];

	host_start(h, extra);
	make_image(h, "a.img", SEED, image);
	snprintf(target, sizeof target, "fault:%s:%s", faults, image);
	host_attach(h, &(struct disk){.params = target}, target);
	*state = h;
	return 0;
}

static int setup_slow(void **state)
{
	char faults[32];

	snprintf(faults, sizeof faults, "discard=%u", SLOW_US);
	return setup_faulty(state, faults);
}

/* The next one of that queue; 0: none within the time. */
static uint64_t answer(struct xenblkfront *f, unsigned queue, int timeout_ms)
{
	struct xenblkfront_response rsp;

	assert_front(f, xenblkfront_select(f, queue));
	int n = xenblkfront_reap(f, &rsp, 1, timeout_ms);
	if (!timeout_ms && n == -ETIMEDOUT)
		return 0;
	assert_front(f, n);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	return rsp.id;
}

static void send_one(struct xenblkfront *f, unsigned queue, uint8_t op, uint64_t id)
{
	struct xenblkfront_request r = {.op = op};

	if (op == BLKIF_OP_DISCARD)
		r.sector = r.nr_sectors = 8;
	assert_front(f, xenblkfront_select(f, queue));
	assert_front(f, xenblkfront_queue(f, &r, id));
	assert_front(f, xenblkfront_kick(f));
}

/* Sends a slow discard through queue 0, then this through a queue; whether the discard was in
 * flight still when this was answered. No clock decides: the discard cannot be over before its
 * time, so on a machine that was too slow to tell, it is tried again. */
static bool overtakes(struct xenblkfront *f, unsigned queue, uint8_t op)
{
	for (unsigned i = 0; i < 20; i++) {
		uint64_t begun = clock_ns();
		send_one(f, 0, BLKIF_OP_DISCARD, 1);
		send_one(f, queue, op, 2);
		uint64_t first = answer(f, queue, -1);
		if (queue && answer(f, 0, 0))
			first = 1; /* over as well */
		else
			answer(f, 0, -1);
		if (first == 2)
			return true;
		if (clock_ns() - begun < SLOW_US * 1000ull * 2)
			return false;
	}
	fail_msg("%s", "the machine is too slow to tell");
	return false;
}

/* A flush waits for nothing that was not answered when it was sent; a barrier waits for all of its
 * own queue, and for nothing of another. */
static void flush_and_barrier_beside_other_queues(void **state)
{
	struct xenblkfront *f = connect(*state, 2, 0);

	assert_true(overtakes(f, 1, BLKIF_OP_FLUSH_DISKCACHE));
	assert_true(overtakes(f, 1, BLKIF_OP_WRITE_BARRIER));
	assert_true(overtakes(f, 0, BLKIF_OP_FLUSH_DISKCACHE));
	assert_false(overtakes(f, 0, BLKIF_OP_WRITE_BARRIER));
	front_end(f);
}

/* ---- trouble ---- */

/* A queue that lies is stopped, its neighbours serve on. */
static void one_queue_that_overruns(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, 3, 0);

	assert_front(f, xenblkfront_select(f, 1));
	xenblkfront_poke_req_prod(f, 1000);
	host_wait_error(h, ID, "queue 1 stopped for good: the front end's req_prod overran");
	for (unsigned q = 0; q < 3; q += 2) {
		assert_front(f, xenblkfront_select(f, q));
		assert_reads(f, 0, SEED);
	}
	front_end(f);
	f = connect(h, 3, 0);
	assert_front(f, xenblkfront_select(f, 1));
	assert_reads(f, 0, SEED);
	front_end(f);
}

/* Requests in all queues, the worker killed in the middle: each is answered, in its own queue. */
static void kill_with_all_queues_full(void **state, int sig, unsigned rounds)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, QUEUES, 1);
	struct xenblkfront_response rsp[64];
	struct xen_usage before, after;
	uint32_t refs[QUEUES];
	uint8_t *pages;

	assert_front(f, xenblkfront_alloc(f, QUEUES, true, (void **)&pages, refs));
	assert_int_equal(xen_usage(h->xen, &before), 0);
	for (unsigned round = 0; round < rounds; round++) {
		pid_t worker = host_worker(h, ID);
		for (unsigned q = 0; q < QUEUES; q++) {
			memset(pages + q * 4096, (int)(round * 16 + q), 4096);
			assert_front(f, xenblkfront_select(f, q));
			for (unsigned i = 0; i < 64; i++) {
				struct xenblkfront_request w = {.op = BLKIF_OP_WRITE,
				                                .nr_segments = 1,
				                                .sector = (q * 64 + i) * 8 % 2048,
				                                .seg = {{refs[q], 0, 7}}};
				w.sector = q * 512 + i * 8;
				assert_front(f, xenblkfront_queue(f, &w, q * 64 + i));
			}
			assert_front(f, xenblkfront_kick(f));
		}
		kill(worker, sig);
		for (unsigned q = 0; q < QUEUES; q++) {
			uint64_t seen = 0;
			assert_front(f, xenblkfront_select(f, q));
			for (unsigned got = 0; got < 64;) {
				int n = xenblkfront_reap(f, rsp, 64, -1);
				assert_front(f, n);
				for (int i = 0; i < n; i++) {
					assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
					assert_int_equal(rsp[i].id / 64, q);
					assert_false(seen & 1ull << rsp[i].id % 64);
					seen |= 1ull << rsp[i].id % 64;
				}
				got += (unsigned)n;
			}
			assert_int_equal(seen, UINT64_MAX);
			assert_int_equal(xenblkfront_reap(f, rsp, 64, 0), -ETIMEDOUT);
		}
		wait_until(host_worker(h, ID) > 0 && host_worker(h, ID) != worker &&
		           status_is(h, ID, "ring_state", "connected"));
		for (unsigned q = 0; q < QUEUES; q++) {
			uint8_t got[32 * 4096];
			assert_front(f, xenblkfront_select(f, q));
			assert_front(f, xenblkfront_read(f, q * 512 * 512, got, sizeof got));
			for (unsigned i = 0; i < sizeof got; i++)
				assert_int_equal(got[i], round * 16 + q);
		}
		/* Four kills in a row would look like a crash loop. */
		usleep(100000);
	}
	assert_int_equal(xen_usage(h->xen, &after), 0);
	assert_int_equal(after.maps, before.maps);
	assert_int_equal(after.interdomain, before.interdomain);
	front_end(f);
}

static void worker_killed_with_all_queues_full(void **state)
{
	kill_with_all_queues_full(state, SIGKILL, 4);
}

/* A fault makes suspects of all that was in hand: they run alone, one queue's after another's. */
static void worker_faulted_with_all_queues_full(void **state)
{
	if (SANITIZED) {
		print_message(
		    "# sanitizers have their own handler for faults, and call each one an "
		    "error of theirs\n");
		skip();
	}
	kill_with_all_queues_full(state, SIGSEGV, 2);
}

static int setup_late(void **state)
{
	return setup_faulty(state, "late=100/2500000,seed=8");
}

/* Whether that page of the disk begins with that byte. */
static bool in_image(unsigned page, char want)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	char byte = 0;

	bool ok = fd >= 0 && pread(fd, &byte, 1, (off_t)page * 4096) == 1 && byte == want;
	close(fd);
	return ok;
}

/* One suspect in each queue, and each takes over two seconds: so long that the other's queue goes
 * to sleep over it and has nothing left to tidy up, either. It is woken when its turn comes, for
 * nothing else happens on this disk. */
static void suspects_take_turns(void **state)
{
	struct host *h = *state;
	struct xenblkfront_request w = {.op = BLKIF_OP_WRITE, .nr_segments = 1};
	uint32_t ref;
	void *page;

	if (SANITIZED) {
		print_message("# sanitizers have their own handler for faults\n");
		skip();
	}
	struct xenblkfront *f = connect(h, 2, 0);
	pid_t worker = host_worker(h, ID);
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	memset(page, 'S', 4096);
	w.seg[0] = (struct xenblkfront_seg){ref, 0, 7};
	for (unsigned q = 0; q < 2; q++) {
		w.sector = q * 8;
		assert_front(f, xenblkfront_select(f, q));
		assert_front(f, xenblkfront_queue(f, &w, q + 1));
		assert_front(f, xenblkfront_kick(f));
	}
	wait_until(in_image(0, 'S') && in_image(1, 'S'));
	assert_int_equal(kill(worker, SIGSEGV), 0);
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(answer(f, q, -1), q + 1);
	wait_until(host_worker(h, ID) != worker);
	front_end(f);
}

/* A supervisor with another setting serves the connection that is there as it was agreed. */
static void supervisor_started_again_with_fewer_queues(void **state)
{
	static const char *const fewer[] = {"--max-queues", "1", NULL};
	struct host *h = *state;
	struct xenblkfront *f = connect(h, QUEUES, 0);

	assert_reads(f, 0, SEED);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, fewer);
	wait_until(status_is(h, ID, "ring_state", "connected"));
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_front(f, xenblkfront_select(f, q));
		assert_reads(f, 0, SEED);
	}
	front_end(f);
	f = connect(h, QUEUES, 0);
	assert_int_equal(status_number(h, ID, "queues"), 1);
	assert_reads(f, 0, SEED);
	front_end(f);
}

/* With as many queues as there may be, and rings as large as they may be. */
static void sixteen_queues_of_sixteen_pages(void **state)
{
	static const char *const extra[] = {"--max-queues", "16", NULL};
	struct host *h = *state;

	host_daemon_kill(h, SIGTERM);
	host_daemon_start(h, extra);
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	struct xenblkfront *f = connect(h, 16, 4);
	for (unsigned q = 0; q < 16; q++) {
		assert_front(f, xenblkfront_select(f, q));
		assert_reads(f, q * 16384, SEED);
	}
	wait_until(queue_threads(h) == 16);
	front_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    queue_case(any_number_of_queues),
	    cmocka_unit_test_setup_teardown(default_is_one_for_each_processor, setup_default,
	                                    host_teardown),
	    queue_case(bad_keys_fail_this_device_only),
	    cmocka_unit_test_setup_teardown(flush_and_barrier_beside_other_queues, setup_slow,
	                                    host_teardown),
	    queue_case(one_queue_that_overruns),
	    queue_case(worker_killed_with_all_queues_full),
	    queue_case(worker_faulted_with_all_queues_full),
	    cmocka_unit_test_setup_teardown(suspects_take_turns, setup_late, host_teardown),
	    queue_case(supervisor_started_again_with_fewer_queues),
	    queue_case(sixteen_queues_of_sixteen_pages),
	};

	return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
