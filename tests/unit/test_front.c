/* SPDX-License-Identifier: MIT */
/* The front end library connects: every ABI and ring size, keys, walks, refusals, removal. */
#include "front_fixture.h"

static void every_abi_and_order(void **state)
{
	static const struct {
		const char *abi, *key, *layout;
	} abis[] = {{"x86_64", "x86_64-abi", "x86_64"},
	            {"x86_32", "x86_32-abi", "x86_32"},
	            {"native", "x86_64-abi", "x86_64"},
	            {"none", "", "x86_32"},
	            {NULL, "x86_64-abi", "x86_64"}};
	struct xenblkfront_info i;
	char v[64];

	for (size_t a = 0; a < sizeof abis / sizeof *abis; a++)
		for (unsigned order = 0; order <= 4; order++) {
			struct fake *b = fake_start(xen.dir, HONEST);
			struct xenblkfront *f = OPEN(.abi = abis[a].abi, .ring_order = order);
			must(f, xenblkfront_connect(f));
			assert_string_equal(b->protocol, abis[a].key);
			assert_int_equal(b->order, order);
			assert_int_equal(b->order_key, order > 0);
			must(f, xenblkfront_get_info(f, &i));
			assert_int_equal(i.ring_slots, 32u << order);
			assert_string_equal(i.abi, abis[a].layout);
			read_all(f, b);
			assert_string_equal(node("state", v), "4");
			must(f, xenblkfront_disconnect(f));
			assert_string_equal(b->front_states, "1356");
			xenblkfront_close(f);
			fake_stop(b);
		}
}

static void keys(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 1);
	char v[64];
	static const char *const old[] = {"ring-ref", "ring-ref7", "multi-queue-num-queues",
	                                  "queue-0/ring-ref", "num-ring-pages"};

	for (size_t i = 0; i < sizeof old / sizeof *old; i++)
		must(f, xenblkfront_write_key(f, old[i], "99"));
	must(f, xenblkfront_connect(f));
	for (size_t i = 0; i < sizeof old / sizeof *old; i++)
		assert_string_equal(node(old[i], v), "absent");
	assert_string_equal(node("ring-page-order", v), "1");
	assert_string_not_equal(node("ring-ref0", v), "absent");
	assert_string_not_equal(node("ring-ref1", v), "absent");
	assert_string_equal(node("virtual-device", v), "51712");
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);

	f = OPEN(.order_key = true);
	must(f, xenblkfront_connect(f));
	assert_string_equal(node("ring-page-order", v), "0");
	assert_string_equal(node("ring-ref", v), "absent");
	assert_string_equal(node("ring-ref1", v), "absent");
	assert_string_not_equal(node("ring-ref0", v), "absent");
	read_all(f, b);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);

	f = OPEN(.abi = "none");
	must(f, xenblkfront_connect(f));
	assert_string_equal(node("protocol", v), "absent");
	assert_string_equal(node("ring-page-order", v), "absent");
	assert_string_not_equal(node("ring-ref", v), "absent");
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void reset_walk(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xen_usage before = usage();

	for (int i = 0; i < 3; i++) {
		struct xenblkfront *f = OPEN(.ring_order = (unsigned)i);
		must(f, xenblkfront_connect(f));
		read_all(f, b);
		xenblkfront_close(f); /* vanishes */
	}
	assert_string_equal(b->front_states, "13561356"
	                                     "13");
	/* The walk from Closed, which a clean disconnect leaves. */
	struct xenblkfront *f = OPEN(.ring_order = 0);
	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_disconnect(f));
	must(f, xenblkfront_disconnect(f));
	must(f, xenblkfront_connect(f));
	read_all(f, b);
	must(f, xenblkfront_disconnect(f));
	assert_string_equal(b->front_states, "1356135613"
	                                     "5613561356");
	xenblkfront_close(f);
	struct xen_usage after = usage();
	assert_int_equal(after.grants, before.grants);
	assert_int_equal(after.ports, before.ports);
	fake_stop(b);
}

static void info(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_info i;
	char buf[32];

	must(f, xenblkfront_wait_backend(f, 1u << XS_INITWAIT, 5000) == XS_INITWAIT ? 0 : -1);
	must(f, xenblkfront_get_info(f, &i));
	assert_int_equal(i.sectors, 0);
	assert_int_equal(i.ring_slots, 0);
	assert_string_equal(i.abi, "");
	assert_string_equal(i.mode, "w");
	assert_string_equal(i.device_type, "disk");
	assert_int_equal(i.max_ring_order, 4);
	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_get_info(f, &i));
	assert_int_equal(i.sectors, DISK_BYTES / 512);
	assert_int_equal(i.sector_size, 512);
	assert_int_equal(i.physical_sector_size, 4096);
	assert_true(i.flush && i.barrier && i.discard && i.discard_secure);
	assert_false(i.persistent);
	assert_int_equal(i.discard_granularity, 4096);
	assert_int_equal(i.max_queues, 1);
	assert_int_equal(i.max_indirect_segments, 0);
	assert_int_equal(xenblkfront_read_backend_key(f, "sectors", buf, sizeof buf), 4);
	assert_string_equal(buf, "8192");
	assert_int_equal(xenblkfront_read_backend_key(f, "nothing", buf, sizeof buf), -ENOENT);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void refused(void **state)
{
	struct fake *b = fake_start(xen.dir, REFUSES);
	struct xen_usage before = usage();
	struct xenblkfront *f = OPEN(.ring_order = 2);

	assert_int_equal(xenblkfront_connect(f), -ECONNREFUSED);
	assert_error(f, "22 the moon is full");
	assert_error(f, "1:xvda");
	assert_error(f, "Closing");
	assert_int_equal(xenblkfront_read(f, 0, NULL, 0), -ENOTCONN);
	/* The back end has changed its mind; the same handle works. */
	b->mood = HONEST;
	must(f, xenblkfront_connect(f));
	read_all(f, b);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	assert_int_equal(usage().grants, before.grants);
	assert_int_equal(usage().ports, before.ports);
	fake_stop(b);
}

static void silent(void **state)
{
	struct fake *b = fake_start(xen.dir, SILENT);
	struct xenblkfront *f = OPEN(.timeout_ms = 200);
	uint64_t start = clock_ns();

	assert_int_equal(xenblkfront_connect(f), -ETIMEDOUT);
	assert_error(f, "stays InitWait and does not become Connected or Closing or Closed");
	assert_in_range(clock_ns() - start, 200 * NS_PER_MS, 20 * NS_PER_S);
	assert_int_equal(xenblkfront_wait_backend(f, 1u << XS_CONNECTED, 50), -ETIMEDOUT);
	assert_int_equal(xenblkfront_wait_backend(f, 0x1ff, 0), XS_CLOSED);
	xenblkfront_close(f);
	fake_stop(b);
}

static void no_device(void **state)
{
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_info i;

	assert_int_equal(xenblkfront_connect(f), -ENODEV);
	assert_string_equal(xenblkfront_error(f),
	                    "no device xvda in domain 1: attach one first: xenblkctl attach TARGET "
	                    "--domain 1 --vdev xvda");
	assert_int_equal(xenblkfront_get_info(f, &i), -ENODEV);
	assert_int_equal(xenblkfront_disconnect(f), 0);
	assert_string_equal(xenblkfront_error(f), "");
	xenblkfront_close(f);
}

static void bad_options(void **state)
{
	static const struct {
		struct xenblkfront_options o;
		const char *says;
	} cases[] = {
	    {{.domid = 0x7ff0, .vdev = "xvda"}, "domain 32752"},
	    {{.domid = 1, .vdev = "floppy"}, "'floppy'"},
	    {{.domid = 1}, "''"},
	    {{.domid = 1, .vdev = "xvda", .abi = "arm"}, "'arm'"},
	    {{.domid = 1, .vdev = "xvda", .ring_order = 5}, "ring order 5"},
	};
	struct xenblkfront *f;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(xenblkfront_open(&cases[i].o, &f), -EINVAL);
		assert_error(f, cases[i].says);
		xenblkfront_close(f);
	}
}

static void removed(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.timeout_ms = 1000);
	uint8_t sector[512];
	char v[64];

	must(f, xenblkfront_connect(f));
	/* The toolstack asks: no new I/O, but an orderly end. */
	MUST(store_write(store, XBT_NULL, BACK, "online", "0"));
	MUST(store_write(store, XBT_NULL, BACK, "state", "5"));
	assert_int_equal(xenblkfront_wait_backend(f, 1u << XS_CLOSING, 1000), XS_CLOSING);
	assert_int_equal(xenblkfront_read(f, 0, sector, 512), -ENODEV);
	assert_error(f, "Closing");
	assert_int_equal(b->requests, 0);
	must(f, xenblkfront_disconnect(f));
	assert_int_equal(xenblkfront_connect(f), -ENODEV);
	assert_error(f, "removing this device");
	xenblkfront_close(f);
	fake_stop(b);

	/* It does not ask. Nothing that was deleted comes back. */
	b = fake_start(xen.dir, HONEST);
	f = OPEN(.timeout_ms = 1000);
	must(f, xenblkfront_connect(f));
	MUST(store_rm(store, XBT_NULL, FRONT, NULL));
	b->stop = true;
	assert_int_equal(eventfd_write(b->wake, 1), 0);
	usleep(100000);
	must(f, xenblkfront_disconnect(f));
	assert_string_equal(node("state", v), "absent");
	xenblkfront_close(f);
	fake_stop(b);
}

static void closed_during_io(void **state)
{
	static uint8_t buf[3 << 20]; /* more than a ring holds */
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);

	/* What is in flight gets its answers, the rest is not asked for. */
	must(f, xenblkfront_connect(f));
	b->mood = CLOSES;
	assert_int_equal(xenblkfront_read(f, 0, buf, sizeof buf), -ENODEV);
	assert_error(f, "Closing");
	assert_int_equal(xenblkfront_inflight(f), 0);
	assert_int_equal(b->requests, 32);
	must(f, xenblkfront_disconnect(f));
	/* Nobody waits for answers that can not come. */
	b->mood = HONEST;
	must(f, xenblkfront_connect(f));
	b->mood = LEAVES;
	uint64_t start = clock_ns();
	assert_int_equal(xenblkfront_read(f, 0, buf, sizeof buf), -ENODEV);
	assert_error(f, "Closed");
	assert_int_equal(xenblkfront_inflight(f), 32);
	must(f, xenblkfront_disconnect(f));
	assert_true(clock_ns() - start < 4500 * NS_PER_MS); /* no time-out */
	xenblkfront_close(f);
	fake_stop(b);
}

static void by_hand(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.timeout_ms = 2000);
	char v[64];

	assert_int_equal(xenblkfront_wait_backend(f, 1u << XS_INITWAIT, -1), XS_INITWAIT);
	must(f, xenblkfront_publish_ring(f));
	assert_string_equal(node("state", v), "1");
	must(f, xenblkfront_write_key(f, "feature-persistent", "1"));
	assert_string_equal(node("feature-persistent", v), "1");
	must(f, xenblkfront_write_key(f, "feature-persistent", NULL));
	assert_string_equal(node("feature-persistent", v), "absent");
	must(f, xenblkfront_set_state(f, XS_INITIALISED));
	assert_int_equal(xenblkfront_wait_backend(f, 1u << XS_CONNECTED, -1), XS_CONNECTED);
	must(f, xenblkfront_set_state(f, XS_CONNECTED));
	read_all(f, b);
	/* A forged producer index: the fake, like any back end, stops; we still get out. */
	xenblkfront_poke_req_prod(f, 0x80000000);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void conflicts(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct error err;

	assert_int_equal(xen_fault(toolstack, "conflict 5", &err), 0);
	must(f, xenblkfront_connect(f));
	read_all(f, b);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_abi_and_order),
	    cmocka_unit_test(keys),
	    cmocka_unit_test(reset_walk),
	    cmocka_unit_test(info),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(silent),
	    cmocka_unit_test(no_device),
	    cmocka_unit_test(bad_options),
	    cmocka_unit_test(removed),
	    cmocka_unit_test(closed_during_io),
	    cmocka_unit_test(by_hand),
	    cmocka_unit_test(conflicts),
	};

	return cmocka_run_group_tests_name("front", tests, start_xen, stop_xen);
}
