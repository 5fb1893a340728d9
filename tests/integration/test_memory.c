/* SPDX-License-Identifier: MIT */
/* A disk that is used to the full stays within the limits that its worker has, and they are close
 * to what it needs. */
#include <sys/resource.h>

#include "control.h"

#define ID "1:xvda"
#define SIZE (16 * MIB)
#define QUEUES 16
#define SEGS 256u
#define DEPTH 64 /* requests of 1 MiB in each queue: four times what its buffers hold */

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, (const char *const[]){"--max-queues", "16", NULL});
	*state = h;
	return 0;
}

static uint64_t soft(pid_t pid, int which)
{
	struct rlimit r;

	assert_int_equal(prlimit(pid, which, NULL, &r), 0);
	assert_true(r.rlim_cur == r.rlim_max);
	return r.rlim_cur;
}

/* Requests of 1 MiB to every queue, as many as fit; all of them read into the same pages. */
static void fill_queues(struct xenblkfront *f)
{
	struct blkif_request_segment *segment;
	struct xenblkfront_response rsp;
	uint32_t refs[SEGS + 1];
	void *pages;

	assert_front(f, xenblkfront_alloc(f, SEGS + 1, true, &pages, refs));
	segment = pages;
	for (unsigned i = 0; i < SEGS; i++)
		segment[i] = (struct blkif_request_segment){.gref = refs[i + 1], .last_sect = 7};
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_front(f, xenblkfront_select(f, q));
		for (unsigned i = 0; i < DEPTH; i++) {
			struct xenblkfront_request r = {.op = BLKIF_OP_INDIRECT,
			                                .inner_op = BLKIF_OP_READ,
			                                .sector = i % 15 * 2048,
			                                .nr_segments = SEGS,
			                                .indirect = {refs[0]}};
			assert_front(f, xenblkfront_queue(f, &r, i));
		}
		assert_front(f, xenblkfront_kick(f));
	}
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_front(f, xenblkfront_select(f, q));
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_int_equal(xenblkfront_reap(f, &rsp, 1, 4 * WAIT_MS), 1);
			assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
		}
	}
}

static void used_to_the_full(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	print_message("# built with sanitizers, hence without the sandbox\n");
	skip();
#endif
	struct host *h = *state;
	const char *image = host_image(h, "a.img", SIZE);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_with(
	    h,
	    &(struct xenblkfront_options){.queues = QUEUES, .ring_order = 4, .persistent = true});
	pid_t worker = host_worker(h, ID);
	uint64_t memory = soft(worker, RLIMIT_DATA);
	print_message("# %llu MiB for %u queues\n", (unsigned long long)(memory / MIB), QUEUES);
	/* Of buffers alone it has 16 MiB a queue. */
	assert_in_range(memory, QUEUES * 16 * MIB, QUEUES * 24 * MIB);
	fill_queues(f);
	assert_int_equal(host_worker(h, ID), worker);
	assert_string_equal(status_text(h, ID, "last_death"), "");
	assert_int_equal(host_stat(h, ID, "errors"), 0);
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* A disk with one queue has a sixteenth of it; and the other limits. */
static void small_disk(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	print_message("# built with sanitizers, hence without the sandbox\n");
	skip();
#endif
	struct host *h = *state;

	host_attach(h, &(struct disk){.params = "null:1M"}, "null:1M");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	assert_in_range(soft(worker, RLIMIT_DATA), 16 * MIB, 32 * MIB);
	assert_in_range(soft(worker, RLIMIT_NOFILE), 64, 512);
	assert_int_equal(soft(worker, RLIMIT_CORE), 0);
	front_end(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(used_to_the_full, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(small_disk, setup, host_teardown),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
