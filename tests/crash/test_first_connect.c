/* SPDX-License-Identifier: MIT */
/*
 * The worker is killed in the middle of the very first connect, between one queue's journal and the
 * next one's. Nothing was executed yet, so the disk connects all the same, also for a front end
 * that has filled its rings before it was told to.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "crash_host.h"

#include <xen/io/blkif.h>

#define QUEUES 2
#define SEED 5

static struct xenblkfront *offers(struct host *h, bool filled, uint8_t **page)
{
	struct xenblkfront_options opt = {
	    .run_dir = h->dir, .domid = 1, .vdev = "xvda", .queues = QUEUES};
	struct xenblkfront *f;
	uint32_t ref;

	assert_int_equal(xenblkfront_open(&opt, &f), 0);
	assert_front(f, xenblkfront_reset(f));
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_alloc(f, 1, true, (void **)page, &ref));
	struct xenblkfront_request r = {
	    .op = BLKIF_OP_READ, .nr_segments = 1, .sector = 8, .seg = {{ref, 0, 7}}};
	for (unsigned q = 0; q < QUEUES && filled; q++) {
		assert_front(f, xenblkfront_select(f, q));
		assert_front(f, xenblkfront_queue(f, &r, q));
		assert_front(f, xenblkfront_push(f));
	}
	return f;
}

static void killed_between_journals(void **state, bool filled)
{
	struct crash_host *c = *state;
	struct host *h = &c->h;
	struct xenblkfront_response rsp;
	uint8_t want[4096], *page;
	char path[200];

	snprintf(path, sizeof path, "%s", host_image(h, "a.img", 1 << 20));
	host_fill(path, 1 << 20, SEED);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = offers(h, filled, &page);
	crash_order(c, CRASH_JOURNAL_NAMED, 1, CRASH_ANY, SIGKILL);
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	assert_true(crash_wait(c));
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	for (unsigned q = 0; q < QUEUES && filled; q++) {
		assert_front(f, xenblkfront_select(f, q));
		assert_int_equal(xenblkfront_reap(f, &rsp, 1, -1), 1);
		assert_int_equal(rsp.id, q);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	}
	host_pattern(want, 4096, sizeof want, SEED);
	if (filled)
		assert_memory_equal(page, want, sizeof want);
	xenblkfront_close(f);
}

static void rings_filled_early(void **state)
{
	killed_between_journals(state, true);
}

static void rings_empty(void **state)
{
	killed_between_journals(state, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(rings_filled_early, crash_host_setup,
	                                    crash_host_teardown),
	    cmocka_unit_test_setup_teardown(rings_empty, crash_host_setup, crash_host_teardown),
	};

	return cmocka_run_group_tests_name("first_connect", tests, NULL, NULL);
}
