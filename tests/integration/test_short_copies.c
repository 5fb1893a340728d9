/* SPDX-License-Identifier: MIT */
/* The kernel has no memory for grant copies, again and again: the guest sees only that it takes
 * longer, also if its worker is killed or its disk goes meanwhile. */
#include <errno.h>
#include <signal.h>

#include "control.h"
#include "writer.h"

#include <xen/io/blkif.h>

#define ID "1:xvda"
#define SEED 31
#define REQUESTS 16 /* of a page */

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);
	char path[200];

	host_start(h, NULL);
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	*state = h;
	return 0;
}

static void refuse(struct host *h, unsigned times)
{
	char line[64];
	struct error err = {""};

	snprintf(line, sizeof line, "refuse-copies 1 %d %u", ENOMEM, times);
	if (xen_fault(h->xen, line, &err))
		fail_msg("%s", err.text);
}

/* Requests on their way, each to the sectors of its number. */
struct batch {
	char *pages;
	uint32_t refs[REQUESTS];
};

static void batch_send(struct xenblkfront *f, struct batch *b, uint8_t op)
{
	void *at;

	assert_front(f, xenblkfront_alloc(f, REQUESTS, true, &at, b->refs));
	b->pages = at;
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct xenblkfront_request req = {
		    .op = op, .nr_segments = 1, .sector = i * 8, .seg = {{b->refs[i], 0, 7}}};
		if (op == BLKIF_OP_WRITE)
			memset(b->pages + i * 4096, 'A' + (int)i, 4096);
		assert_front(f, xenblkfront_queue(f, &req, i));
	}
	assert_front(f, xenblkfront_kick(f));
}

/* Each is answered once, and well. */
static void batch_end(struct xenblkfront *f, struct batch *b)
{
	struct xenblkfront_response rsp[REQUESTS];
	uint32_t seen = 0;

	for (unsigned n = 0; n < REQUESTS;) {
		int got = xenblkfront_reap(f, rsp, REQUESTS, -1);
		assert_true(got > 0);
		for (int i = 0; i < got; i++) {
			assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
			assert_false(seen & 1u << rsp[i].id);
			seen |= 1u << rsp[i].id;
		}
		n += (unsigned)got;
	}
	assert_int_equal(xenblkfront_inflight(f), 0);
	assert_front(f, xenblkfront_free(f, b->pages, REQUESTS));
}

static void assert_written(struct xenblkfront *f)
{
	char got[REQUESTS * 4096];

	assert_front(f, xenblkfront_read(f, 0, got, sizeof got));
	for (unsigned i = 0; i < sizeof got; i++)
		assert_int_equal(got[i], 'A' + (int)(i / 4096));
}

static void reads_and_writes(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	static uint8_t buf[MIB / 2], got[MIB / 2];

	memset(buf, 0x11, sizeof buf);
	refuse(h, 5);
	assert_front(f, xenblkfront_write(f, 4096, buf, 4096));
	refuse(h, 5);
	assert_front(f, xenblkfront_read(f, 4096, got, 4096));
	assert_memory_equal(got, buf, 4096);
	refuse(h, 5);
	/* Indirect requests, with descriptors to copy, too. */
	memset(buf, 0x5a, sizeof buf);
	assert_front(f, xenblkfront_write(f, 4096, buf, sizeof buf));
	refuse(h, 5);
	assert_front(f, xenblkfront_read(f, 4096, got, sizeof got));
	assert_memory_equal(got, buf, sizeof got);
	assert_int_equal(host_stat(h, ID, "errors"), 0);
	front_end(f);
}

/* The worker dies while copies wait: the next one does them. */
static void killed_meanwhile(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct batch b;

	refuse(h, 1000000);
	batch_send(f, &b, BLKIF_OP_WRITE);
	wait_until(host_stat(h, ID, "wr_req") == REQUESTS);
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(worker, SIGKILL), 0);
	/* Refused, too. */
	wait_until(host_worker(h, ID) && host_worker(h, ID) != worker);
	wait_until(status_is(h, ID, "ring_state", "connected"));
	refuse(h, 0);
	batch_end(f, &b);
	assert_written(f);
	assert_int_equal(host_stat(h, ID, "errors"), 0);
	front_end(f);
}

/* The front end goes while copies wait: what it had sent is done before the disk lets go. */
static void disconnected_meanwhile(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct batch b;

	refuse(h, 8); /* a quarter of a second */
	batch_send(f, &b, BLKIF_OP_WRITE);
	front_state(h, 1, XVDA, XS_CLOSING);
	batch_end(f, &b);
	host_wait_state(h, 1, XVDA, XS_CLOSING);
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	xenblkfront_close(f);
	f = host_front_connected(h, 1, "xvda");
	assert_written(f);
	front_end(f);
}

/* In vain: the guest is told, and so is the host. */
static void never_enough(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	char buf[4096] = "";

	refuse(h, 1000000);
	assert_int_equal(xenblkfront_write(f, 0, buf, sizeof buf), -EIO);
	wait_until(status_is(h, ID, "storage_error",
	                     "the storage fails: write of sector 0: Cannot allocate memory "
	                     "(ENOMEM), 1 time; free memory"));
	refuse(h, 0);
	assert_reads(f, 0, SEED);
	front_end(f);
}

/* All kinds of requests, barriers among them, in two queues: every few copies are refused, and now
 * and then the worker is killed, and the front end connects again. No block is ever wrong. */
static void verified_meanwhile(void **state)
{
	struct host *h = *state;
	struct writer_board *board = writer_boards(1);
	const char *image = host_image(h, "b.img", WRITER_BYTES);
	unsigned ios = 0, kills = 0;

	host_attach(h, &(struct disk){.devid = XVDB, .params = image}, image);
	pid_t writer = writer_start(&(struct writer_options){
	    .run_dir = h->dir,
	    .domid = 1,
	    .vdev = "xvdb",
	    .image = image,
	    .queues = 2,
	    .indirect = true,
	    .seed = 5,
	    .board = board,
	});
	for (unsigned turn = 1; kills < 10; turn++) {
		usleep(2000);
		writer_check(writer);
		/* In most turns nothing: no copy is to meet a refusal at each of its tries, however
		 * slowly these follow. */
		refuse(h, turn * 7919 % 4 ? 0 : turn % 9);
		unsigned now = __atomic_load_n(&board->ios, __ATOMIC_ACQUIRE);
		pid_t pid = turn % 50 == 0 && now > ios ? host_worker(h, "1:xvdb") : 0;
		if (pid) {
			kill(pid, SIGKILL);
			kills++;
			ios = now;
		}
	}
	refuse(h, 0);
	writer_finish(writer, board);
	assert_int_equal(host_stat(h, "1:xvdb", "errors"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(reads_and_writes), T(killed_meanwhile),   T(disconnected_meanwhile),
	    T(never_enough),     T(verified_meanwhile),
	};

	return cmocka_run_group_tests_name("short_copies", tests, NULL, NULL);
}
