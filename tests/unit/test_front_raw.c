/* SPDX-License-Identifier: MIT */
/* The front end library's raw side: indices, slots, events, keys and the reset, one call at a time.
 */
#include "front_fixture.h"

static struct xenblkfront_indices indices(struct xenblkfront *f)
{
	struct xenblkfront_indices i;

	must(f, xenblkfront_get_indices(f, &i));
	return i;
}

/* A request that any back end refuses at once, and that needs no pages. */
static const struct xenblkfront_request empty = {.op = BLKIF_OP_READ};

static void until_rsp_prod(struct xenblkfront *f, uint32_t value)
{
	for (unsigned i = 0; indices(f).rsp_prod != value; i++) {
		assert_true(i < 5000);
		usleep(1000);
	}
}

static void without_a_ring(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_indices i;
	uint8_t slot[XENBLKFRONT_SLOT_MAX];

	assert_int_equal(xenblkfront_get_indices(f, &i), -ENOTCONN);
	assert_int_equal(xenblkfront_set_rsp_event(f, 1), -ENOTCONN);
	assert_int_equal(xenblkfront_get_slot(f, 0, slot), -ENOTCONN);
	assert_int_equal(xenblkfront_set_slot(f, 0, slot), -ENOTCONN);
	assert_int_equal(xenblkfront_queue_raw(f, slot), -ENOTCONN);
	assert_int_equal(xenblkfront_push(f), -ENOTCONN);
	assert_int_equal(xenblkfront_notify(f), -ENOTCONN);
	assert_int_equal(xenblkfront_await_event(f, 0), -ENOTCONN);
	xenblkfront_close(f);
	fake_stop(b);
}

static void indices_as_they_stand(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);

	must(f, xenblkfront_connect(f));
	struct xenblkfront_indices i = indices(f);
	assert_int_equal(i.req_prod, 0);
	assert_int_equal(i.rsp_prod, 0);
	assert_int_equal(i.rsp_event, 1);
	must(f, xenblkfront_set_rsp_event(f, 99));
	must(f, xenblkfront_queue(f, &empty, 7));
	assert_int_equal(indices(f).req_prod, 0); /* not pushed */
	must(f, xenblkfront_kick(f));
	until_rsp_prod(f, 1);
	i = indices(f);
	assert_int_equal(i.req_prod, 1);
	assert_int_equal(i.rsp_event, 99);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void slots(void **state)
{
	static const unsigned sizes[] = {112, 108};
	uint8_t slot[XENBLKFRONT_SLOT_MAX], again[XENBLKFRONT_SLOT_MAX];
	struct xenblkfront_response rsp;

	for (unsigned k = 0; k < 2; k++) {
		struct fake *b = fake_start(xen.dir, HONEST);
		struct xenblkfront *f = OPEN(.abi = k ? "x86_32" : "x86_64");
		must(f, xenblkfront_connect(f));
		must(f, xenblkfront_queue(f, &empty, 0x1122334455667788));
		assert_int_equal(xenblkfront_get_slot(f, 0, slot), sizes[k]);
		assert_int_equal(slot[0], BLKIF_OP_READ);
		uint64_t id = 0x1122334455667788;
		assert_memory_equal(slot + (k ? 4 : 8), &id, 8);
		/* The slot's bytes are a request, too; and an index goes round the ring. */
		must(f, xenblkfront_queue_raw(f, slot));
		assert_int_equal(xenblkfront_get_slot(f, 33, again), sizes[k]);
		assert_memory_equal(again, slot, sizes[k]);
		memset(again, 0x5a, sizeof again);
		must(f, xenblkfront_set_slot(f, 5, again));
		assert_int_equal(xenblkfront_get_slot(f, 5, slot), sizes[k]);
		assert_memory_equal(again, slot, sizes[k]);
		must(f, xenblkfront_kick(f));
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(xenblkfront_reap(f, &rsp, 1, 5000), 1);
			assert_true(rsp.id == id);
		}
		assert_int_equal(b->requests, 2);
		must(f, xenblkfront_disconnect(f));
		xenblkfront_close(f);
		fake_stop(b);
	}
}

static void a_full_ring_takes_no_raw_slot(void **state)
{
	struct fake *b = fake_start(xen.dir, MUTE);
	struct xenblkfront *f = OPEN(.timeout_ms = 300);
	uint8_t slot[XENBLKFRONT_SLOT_MAX] = {0};

	must(f, xenblkfront_connect(f));
	for (unsigned i = 0; i < 32; i++)
		must(f, xenblkfront_queue_raw(f, slot));
	assert_int_equal(xenblkfront_queue_raw(f, slot), -EAGAIN);
	xenblkfront_close(f);
	fake_stop(b);
}

static void pushed_without_an_event(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_response rsp;

	must(f, xenblkfront_connect(f));
	/* Let the fake go to sleep over the event that binding the port brings. */
	must(f, xenblkfront_queue(f, &empty, 1));
	must(f, xenblkfront_kick(f));
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 5000), 1);
	usleep(50000);
	must(f, xenblkfront_queue(f, &empty, 2));
	assert_int_equal(xenblkfront_push(f), 1); /* it asked, and nobody tells it */
	usleep(50000);
	assert_int_equal(indices(f).rsp_prod, 1);
	must(f, xenblkfront_notify(f));
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 5000), 1);
	assert_int_equal(rsp.id, 2);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void events_one_by_one(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_response rsp;

	must(f, xenblkfront_connect(f));
	while (xenblkfront_await_event(f, 50) > 0)
		;
	assert_int_equal(xenblkfront_await_event(f, 0), 0);
	must(f, xenblkfront_set_rsp_event(f, 2));
	for (unsigned i = 0; i < 2; i++) {
		must(f, xenblkfront_queue(f, &empty, i));
		must(f, xenblkfront_kick(f));
		until_rsp_prod(f, i + 1);
	}
	assert_int_equal(xenblkfront_await_event(f, 5000), 1); /* for the second one */
	assert_int_equal(xenblkfront_await_event(f, 20), 0);
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 0), 1);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void our_keys(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	char text[32], want[64];

	must(f, xenblkfront_connect(f));
	assert_int_equal(xenblkfront_read_key(f, "protocol", text, sizeof text), 10);
	assert_string_equal(text, "x86_64-abi");
	assert_true(xenblkfront_read_key(f, "ring-ref", text, sizeof text) > 0);
	assert_string_equal(text, node("ring-ref", want));
	assert_int_equal(xenblkfront_read_key(f, "nothing", text, sizeof text), -ENOENT);
	assert_error(f, "nothing");
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

/* Wherever both ends are, we are Initialising and it is in InitWait afterwards. */
static void reset(void **state)
{
	static const char *const ours[] = {"1", "3", "4", "5", "6", "nonsense"};
	char v[64];

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		struct fake *b = fake_start(xen.dir, HONEST);
		struct xenblkfront *f = OPEN(.ring_order = 0);
		if (i % 2)
			must(f, xenblkfront_connect(f));
		else
			assert_true(xenblkfront_wait_backend(f, 1u << XS_INITWAIT, -1) > 0);
		must(f, xenblkfront_write_key(f, "state", ours[i]));
		must(f, xenblkfront_reset(f));
		assert_string_equal(node("state", v), "1");
		assert_int_equal(xenblkfront_wait_backend(f, 0x1ff, 0), XS_INITWAIT);
		must(f, xenblkfront_connect(f));
		read_all(f, b);
		must(f, xenblkfront_disconnect(f));
		xenblkfront_close(f);
		fake_stop(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_ring),
	    cmocka_unit_test(indices_as_they_stand),
	    cmocka_unit_test(slots),
	    cmocka_unit_test(a_full_ring_takes_no_raw_slot),
	    cmocka_unit_test(pushed_without_an_event),
	    cmocka_unit_test(events_one_by_one),
	    cmocka_unit_test(our_keys),
	    cmocka_unit_test(reset),
	};

	return cmocka_run_group_tests_name("front_raw", tests, start_xen, stop_xen);
}
