/* SPDX-License-Identifier: MIT */
/* Storage that fails on request, under a whole host: what the guest sees of it, what a kill in the
 * middle of it leaves, and that nobody gets it by accident. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"
#include "writer.h"

#include <xen/io/blkif.h>

static const char *const for_tests[] = {"--test-faults", NULL};

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, for_tests);
	*state = h;
	return 0;
}

/* Attaches 1:xvda with these faults; the image's path. */
static const char *attach(struct host *h, const char *faults, uint64_t size)
{
	const char *image = host_image(h, "a.img", size);
	char target[300];

	snprintf(target, sizeof target, "fault:%s:%s", faults, image);
	host_attach(h, &(struct disk){.params = target}, target);
	return image;
}

static void detach(struct host *h, struct xenblkfront *f)
{
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* Without the switch it is a target that nobody knows. */
static void refused_in_production(void **state)
{
	struct host *h = *state;

	attach(h, "error=100", 1 << 20);
	host_wait_error(h, "1:xvda", "is not understood");
}

static void words_checked(void **state)
{
	struct host *h = *state;

	attach(h, "nonsense=1", 1 << 20);
	host_wait_error(h, "1:xvda", "fault: \"nonsense=1\" is not understood");
}

static void guest_sees_errors(void **state)
{
	struct host *h = *state;
	char buf[4096] = {1};

	attach(h, "bad=8-15", 1 << 20);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_write(f, 0, buf, sizeof buf));
	assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
	assert_int_equal(xenblkfront_read(f, 4096, buf, sizeof buf), -EIO);
	assert_front(f, xenblkfront_read(f, 8192, buf, sizeof buf));
	assert_int_equal(host_stat(h, "1:xvda", "errors"), 2);
	detach(h, f);
}

/* A request that takes the worker with it: after three of them it is answered ERROR, and the disk
 * goes on. */
static void poison(void **state)
{
	struct host *h = *state;
	char buf[4096] = {1};

	attach(h, "abort=8", 1 << 20);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
	assert_int_equal(host_log_count(h, "worker died: killed by signal 6"), 3);
	assert_front(f, xenblkfront_write(f, 8192, buf, sizeof buf));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	detach(h, f);
}

/* Half of a write is on the disk when the worker is killed; the answer comes when all of it is. */
static void killed_in_a_torn_write(void **state)
{
	struct host *h = *state;
	struct xenblkfront_request req = {.op = BLKIF_OP_WRITE, .nr_segments = 2};
	struct xenblkfront_response rsp;
	char path[200], byte = 0, got[8192];
	uint32_t refs[2];
	void *pages;

	snprintf(path, sizeof path, "%s", attach(h, "torn=100/300000,seed=11", 1 << 20));
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 2, true, &pages, refs));
	memset(pages, 0x77, 8192);
	req.seg[0] = (struct xenblkfront_seg){refs[0], 0, 7};
	req.seg[1] = (struct xenblkfront_seg){refs[1], 0, 7};
	assert_front(f, xenblkfront_queue(f, &req, 1));
	assert_front(f, xenblkfront_kick(f));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 10000 && byte != 0x77; i++) {
		assert_int_equal(pread(fd, &byte, 1, 0), 1);
		usleep(100);
	}
	kill(host_worker(h, "1:xvda"), SIGKILL);
	assert_front(f, xenblkfront_reap(f, &rsp, 1, -1));
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_int_equal(pread(fd, got, sizeof got, 0), sizeof got);
	assert_memory_equal(got, pages, sizeof got);
	close(fd);
	detach(h, f);
}

#define MIB_SECTORS 2048
#define ARENA 16 /* so many requests of a MiB have memory at a time */

static void await_stat(struct host *h, const char *name, uint64_t value)
{
	for (int i = 0; i < WAIT_MS && host_stat(h, "1:xvda", name) != value; i++)
		usleep(1000);
	assert_int_equal(host_stat(h, "1:xvda", name), value);
}

#define READ_US 2000000 /* so long a read takes */

/* More reads of a MiB than have memory, and the worker is killed while the last one waits for it.
 * False if that may have come too late: the first ones were over, and the last one was begun. */
static bool killed_while_one_waits(struct host *h, struct xenblkfront *f)
{
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_INDIRECT, .inner_op = BLKIF_OP_READ, .nr_segments = 256};
	struct blkif_request_segment *seg;
	uint32_t table_ref, ref;
	void *table, *page;

	assert_front(f, xenblkfront_alloc(f, 1, true, &table, &table_ref));
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	seg = table;
	for (unsigned i = 0; i < 256; i++)
		seg[i] = (struct blkif_request_segment){.gref = ref, .last_sect = 7};
	req.indirect[0] = table_ref;
	for (unsigned i = 0; i < ARENA + 1; i++)
		assert_front(f, xenblkfront_queue(f, &req, i));
	pid_t worker = host_worker(h, "1:xvda");
	uint64_t begun = clock_ns();
	assert_front(f, xenblkfront_kick(f));
	await_stat(h, "oo_req", 1);
	assert_int_equal(kill(worker, SIGKILL), 0);
	return clock_ns() - begun < READ_US / 2 * 1000ull;
}

static void all_read(struct xenblkfront *f)
{
	struct xenblkfront_response rsp[ARENA + 1];

	for (unsigned n = 0; n < ARENA + 1;) {
		int got = xenblkfront_reap(f, rsp, ARENA + 1, -1);
		assert_true(got > 0);
		for (int i = 0; i < got; i++)
			assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
		n += (unsigned)got;
	}
}

/* What a killed worker had counted, the next one does not count again. The request that waits for
 * memory was not given to the storage by the worker that took it: its sectors are the few that a
 * kill loses from the count. */
static void counted_once(void **state)
{
	struct host *h = *state;
	char target[64];
	bool in_time = false;

	snprintf(target, sizeof target, "fault:slow=%d:null:64M", READ_US);
	for (int i = 0; i < 10 && !in_time; i++) {
		host_attach(h, &(struct disk){.params = target}, target);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		pid_t worker = host_worker(h, "1:xvda");
		in_time = killed_while_one_waits(h, f);
		all_read(f);
		assert_int_not_equal(host_worker(h, "1:xvda"), worker);
		if (in_time) {
			assert_int_equal(host_stat(h, "1:xvda", "rd_req"), ARENA + 1);
			assert_int_equal(host_stat(h, "1:xvda", "rd_sect"), ARENA * MIB_SECTORS);
			assert_int_equal(host_stat(h, "1:xvda", "oo_req"), 1);
			assert_int_equal(host_stat(h, "1:xvda", "errors"), 0);
		}
		detach(h, f);
	}
	assert_true(in_time);
}

#define SLOW_US 1000000

/* Sends a discard that is slow, then reads and writes, one after the other; how many of them were
 * answered before it was. */
static unsigned answered_beside_discard(struct xenblkfront *f, uint32_t ref, unsigned n)
{
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD, .nr_sectors = 1024};
	struct xenblkfront_response rsp;
	bool over = false;
	unsigned beside = 0;

	assert_front(f, xenblkfront_queue(f, &d, 1));
	for (unsigned i = 0; i < n; i++) {
		struct xenblkfront_request r = {.op = i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE,
		                                .sector = 1024 + i * 8,
		                                .nr_segments = 1,
		                                .seg = {{ref, 0, 7}}};
		assert_front(f, xenblkfront_queue(f, &r, 2));
		assert_front(f, xenblkfront_kick(f));
		do {
			assert_front(f, xenblkfront_reap(f, &rsp, 1, -1));
			assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
			over |= rsp.id == 1;
		} while (rsp.id == 1);
		beside += !over;
	}
	if (!over)
		assert_front(f, xenblkfront_reap(f, &rsp, 1, -1));
	return beside;
}

/* In the same queue. The discard cannot be over before its time; a machine that was too slow to
 * tell gets another try. */
static void nobody_waits_for_a_discard(void **state)
{
	enum { N = 40 };
	struct host *h = *state;
	unsigned beside = 0;
	char faults[32];
	uint32_t ref;
	void *page;

	snprintf(faults, sizeof faults, "discard=%u", SLOW_US);
	attach(h, faults, 1 << 20);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	for (unsigned i = 0; i < 20 && beside < N; i++) {
		uint64_t begun = clock_ns();
		beside = answered_beside_discard(f, ref, N);
		assert_true(beside == N || clock_ns() - begun > 2000ull * SLOW_US);
	}
	assert_int_equal(beside, N);
	detach(h, f);
}

/* Everything at once, with kills. Errors reach the guest; no block is ever wrong. */
static void verified_under_faults(void **state)
{
	struct host *h = *state;
	struct writer_board *board = writer_boards(1);
	unsigned round = 0, kills = 0;

	const char *image =
	    attach(h, "seed=4,error=3,delay=20/2000,late=20/2000,torn=20/2000", WRITER_BYTES);
	pid_t writer = writer_start(&(struct writer_options){
	    .run_dir = h->dir,
	    .domid = 1,
	    .image = image,
	    .seed = 4,
	    .errors = true,
	    .board = board,
	});
	while (kills < 20) {
		usleep(1000);
		writer_check(writer);
		unsigned now = __atomic_load_n(&board->round, __ATOMIC_ACQUIRE);
		pid_t pid = now > round ? host_worker(h, "1:xvda") : 0;
		if (pid) {
			usleep(50000);
			kill(pid, SIGKILL);
			kills++;
			round = now;
		}
	}
	writer_finish(writer, board);
	assert_true(host_stat(h, "1:xvda", "errors") > 0);
	host_detach(h, 1, XVDA);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(refused_in_production, host_setup, host_teardown),
	    T(words_checked),
	    T(guest_sees_errors),
	    T(poison),
	    T(killed_in_a_torn_write),
	    T(counted_once),
	    T(nobody_waits_for_a_discard),
	    T(verified_under_faults),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
