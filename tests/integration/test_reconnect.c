/* SPDX-License-Identifier: MIT */
/* A front end that comes back with other features than before: another driver after a reboot,
 * another kernel after a restore, or the same one that resumes where it was. */
#include <errno.h>

#include "control.h"

#define ID "1:xvda"
#define SEED 47

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);
	char path[200];

	host_start(h, (const char *const[]){"--max-queues", "4", NULL});
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	*state = h;
	return 0;
}

static const struct xenblkfront_options drivers[] = {
    {.abi = "x86_64", .queues = 4, .ring_order = 2, .persistent = true},
    {.abi = "x86_32", .indirect = 11},
    {.abi = "native", .queues = 2, .persistent = true, .indirect = 32},
    {.abi = "none", .ring_order = 4},
    {.abi = "x86_64", .queues = 1, .order_key = true, .persistent = true},
    {.abi = "x86_32", .queues = 3, .ring_order = 1},
};
#define DRIVERS (sizeof drivers / sizeof *drivers)

static void assert_works(struct host *h, struct xenblkfront *f, const struct xenblkfront_options *o)
{
	unsigned queues = o->queues ? o->queues : 1;

	assert_int_equal(status_number(h, ID, "queues"), queues);
	assert_int_equal(status_number(h, ID, "ring_order"), o->ring_order);
	for (unsigned q = 0; q < queues; q++) {
		assert_front(f, xenblkfront_select(f, q));
		assert_reads(f, q * 65536, SEED);
	}
}

static uint32_t maps(struct host *h)
{
	struct xen_usage u;

	assert_int_equal(xen_usage(h->xen, &u), 0);
	return u.maps;
}

/* One after the other in different orders, with a good-bye in between. */
static void every_driver_after_others(void **state)
{
	struct host *h = *state;
	unsigned at = 0;

	for (unsigned step = 1; step < DRIVERS; step++)
		for (unsigned i = 0; i < DRIVERS; i++) {
			struct xenblkfront *f = host_front_with(h, &drivers[at]);
			assert_works(h, f, &drivers[at]);
			front_end(f);
			at = (at + step) % DRIVERS;
		}
	assert_int_equal(maps(h), 0);
}

/* Each connection has a worker that has seen no other: it gave up for good what connecting takes.
 * That one ends and another starts is nothing that went wrong. */
static void a_worker_for_each(void **state)
{
	struct host *h = *state;
	pid_t before = 0;

	for (unsigned i = 0; i < 6; i++) {
		struct xenblkfront_options o = {.abi = "x86_64", .queues = i % 4 + 1};
		struct xenblkfront *f = host_front_with(h, &o);
		assert_works(h, f, &o);
		assert_int_not_equal(host_worker(h, ID), before);
		before = host_worker(h, ID);
		front_end(f);
		/* Until somebody comes it keeps the image. */
		assert_int_equal(host_worker(h, ID), before);
		assert_true(status_is(h, ID, "image_state", "open"));
	}
	assert_string_equal(status_text(h, ID, "last_death"), "");
	assert_string_equal(status_text(h, ID, "error"), "");
	assert_string_equal(status_text(h, ID, "warning"), "");
	assert_int_equal(status_number(h, ID, "faults"), 0);
	assert_false(host_log_has(h, "worker died"));
	assert_false(host_log_has(h, "worker ended"));
}

/* … and without one: the guest was reset. */
static void after_one_that_vanished(void **state)
{
	struct host *h = *state;

	for (unsigned i = 0; i < 2 * DRIVERS; i++) {
		const struct xenblkfront_options *o = &drivers[i * 5 % DRIVERS];
		struct xenblkfront *f = host_front_with(h, o);
		assert_works(h, f, o);
		xenblkfront_close(f);
	}
	front_end(host_front_with(h, &drivers[0]));
	assert_int_equal(maps(h), 0);
}

/* A resume without a new device, as after a checkpoint: new rings over old ones, requests in flight
 * in these, no walk through the states. */
static void resumed_in_place(void **state)
{
	struct host *h = *state;
	struct xenblkfront *old = host_front_with(h, &drivers[0]);
	struct xenblkfront *now = host_front(h, 1, "xvda", "x86_32", 1);
	uint32_t ref;
	void *page;

	assert_works(h, old, &drivers[0]);
	assert_front(old, xenblkfront_alloc(old, 1, true, &page, &ref));
	for (unsigned q = 0; q < 4; q++) {
		assert_front(old, xenblkfront_select(old, q));
		for (unsigned i = 0; i < 100; i++) {
			struct xenblkfront_request r = {.op = BLKIF_OP_READ,
			                                .nr_segments = 1,
			                                .sector = i * 8,
			                                .seg = {{ref, 0, 7}}};
			assert_front(old, xenblkfront_queue(old, &r, i));
		}
		assert_front(old, xenblkfront_kick(old));
	}
	assert_front(now, xenblkfront_publish_ring(now));
	assert_front(now, xenblkfront_set_state(now, XS_INITIALISED));
	wait_until(status_is(h, ID, "protocol", "x86_32-abi") &&
	           status_is(h, ID, "ring_state", "connected"));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_front(now, xenblkfront_set_state(now, XS_CONNECTED));
	assert_works(h, now, &(struct xenblkfront_options){.ring_order = 1});
	/* Of the old one's pages nothing is mapped: two pages of ring are. */
	assert_int_equal(maps(h), 2);
	xenblkfront_close(old);
	assert_works(h, now, &(struct xenblkfront_options){.ring_order = 1});
	front_end(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_driver_after_others, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(a_worker_for_each, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(after_one_that_vanished, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(resumed_in_place, setup, host_teardown),
	};

	return cmocka_run_group_tests_name("reconnect", tests, NULL, NULL);
}
