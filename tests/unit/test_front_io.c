/* SPDX-License-Identifier: MIT */
/* The front end library moves data, and notices a back end that lies, fails or sleeps. */
#include "front_fixture.h"

static void any_length(void **state)
{
	static const struct {
		uint32_t offset, length;
	} pieces[] = {{0, 512},
	              {512, 512},
	              {0, 4096},
	              {1024, 4096},
	              {0, 45056},
	              {0, 45056 + 512},
	              {DISK_BYTES - 512, 512},
	              {7 * 512, 99 * 512},
	              {0, 2u << 20},
	              {3 * 512, (3u << 20) + 5 * 512},
	              {0, 0},
	              {DISK_BYTES, 0}};
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	uint8_t *want = malloc(DISK_BYTES), *buf = malloc(DISK_BYTES);
	uint32_t seed = 1;

	must(f, xenblkfront_connect(f));
	memcpy(want, b->disk, DISK_BYTES);
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		uint32_t o = pieces[i].offset, n = pieces[i].length;
		for (uint32_t k = 0; k < n; k++)
			want[o + k] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
		must(f, xenblkfront_write(f, o, want + o, n));
		assert_memory_equal(b->disk, want, DISK_BYTES); /* and nothing beside it */
		memset(buf, 0xa5, n);
		must(f, xenblkfront_read(f, o, buf, n));
		assert_memory_equal(buf, want + o, n);
	}
	assert_int_equal(b->largest_batch, 32); /* the ring was full */
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
	free(want);
	free(buf);
}

static void pages_are_reused(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	uint32_t ports = usage().ports;
	uint8_t sector[512];

	must(f, xenblkfront_connect(f));
	uint32_t ring = usage().grants;
	must(f, xenblkfront_read(f, 0, sector, 512));
	assert_int_equal(usage().grants, ring + 11); /* one slot's */
	must(f, xenblkfront_read(f, 0, sector, 512));
	assert_int_equal(usage().grants, ring + 11);
	read_all(f, b);
	assert_int_equal(usage().grants, ring + 32 * 11);
	read_all(f, b);
	assert_int_equal(usage().grants, ring + 32 * 11);
	must(f, xenblkfront_disconnect(f));
	assert_int_equal(usage().grants, ring - 1);
	assert_int_equal(usage().ports, ports);
	xenblkfront_close(f);
	fake_stop(b);
}

static void other_operations(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	uint8_t buf[4096], zero[4096] = {0};

	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_flush(f));
	assert_int_equal(b->flushes, 1);
	must(f, xenblkfront_barrier(f));
	assert_int_equal(b->barriers, 1);
	must(f, xenblkfront_discard(f, 8192, 4096, false));
	assert_int_equal(b->discarded, 4096);
	assert_int_equal(b->secure, 0);
	must(f, xenblkfront_discard(f, 0, DISK_BYTES, true));
	assert_int_equal(b->discards, 2);
	assert_int_equal(b->secure, 1);
	must(f, xenblkfront_read(f, DISK_BYTES - 4096, buf, 4096));
	assert_memory_equal(buf, zero, 4096);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void bad_arguments(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	uint8_t buf[1024];

	must(f, xenblkfront_connect(f));
	assert_int_equal(xenblkfront_read(f, 0, buf, 511), -EINVAL);
	assert_int_equal(xenblkfront_read(f, 1, buf, 512), -EINVAL);
	assert_error(f, "multiples of the sector size 512");
	assert_int_equal(xenblkfront_write(f, DISK_BYTES, buf, 512), -EINVAL);
	assert_error(f, "beyond the end: the disk has 4194304");
	assert_int_equal(xenblkfront_write(f, DISK_BYTES - 512, buf, 1024), -EINVAL);
	assert_int_equal(xenblkfront_discard(f, UINT64_MAX - 511, 1024, false), -EINVAL);
	assert_int_equal(b->requests, 0);
	/* Grown behind our back: looked up before it is refused. */
	MUST(store_write(store, XBT_NULL, BACK, "sectors", "8194"));
	assert_int_equal(xenblkfront_read(f, DISK_BYTES, buf, 1024),
	                 -EIO); /* the fake's array ends */
	assert_int_equal(b->requests, 1);
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void error_responses(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	static uint8_t buf[1 << 20];

	must(f, xenblkfront_connect(f));
	b->mood = FAILS;
	assert_int_equal(xenblkfront_read(f, 0, buf, sizeof buf), -EIO);
	assert_error(f, "READ failed with an I/O error");
	assert_int_equal(xenblkfront_write(f, 0, buf, sizeof buf), -EIO);
	assert_int_equal(xenblkfront_flush(f), -EIO);
	b->mood = SUPPORTS_NOTHING;
	assert_int_equal(xenblkfront_flush(f), -EOPNOTSUPP);
	assert_error(f, "does not support FLUSH_DISKCACHE");
	assert_int_equal(xenblkfront_discard(f, 0, 4096, false), -EOPNOTSUPP);
	assert_int_equal(xenblkfront_inflight(f), 0);
	b->mood = HONEST;
	read_all(f, b); /* nothing is stuck */
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void broken_rules(void **state)
{
	static const struct {
		enum fake_mood mood;
		const char *says;
	} cases[] = {{WRONG_ID, "not in flight"},
	             {STALE_ID, "not in flight"},
	             {WRONG_OP, "names operation 1 for a request with "
	                        "operation 0"},
	             {TWICE, "not in flight"},
	             {OVERRUN, "rsp_prod is 34 ahead with 1 requests"}};
	static uint8_t buf[1 << 20];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fake *b = fake_start(xen.dir, HONEST);
		struct xenblkfront *f = OPEN(.ring_order = 0);
		size_t n = cases[i].mood == TWICE ? sizeof buf : 512;
		must(f, xenblkfront_connect(f));
		must(f, xenblkfront_flush(f));
		b->mood = cases[i].mood;
		assert_int_equal(xenblkfront_read(f, 0, buf, n), -EPROTO);
		assert_error(f, "broke a rule");
		assert_error(f, cases[i].says);
		/* Not believed again until a new connection. */
		b->mood = HONEST;
		assert_int_equal(xenblkfront_read(f, 0, buf, 512), -EPROTO);
		must(f, xenblkfront_disconnect(f));
		must(f, xenblkfront_connect(f));
		read_all(f, b);
		must(f, xenblkfront_disconnect(f));
		xenblkfront_close(f);
		fake_stop(b);
	}
}

static void mute(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.timeout_ms = 500);
	static uint8_t buf[1 << 20];

	must(f, xenblkfront_connect(f));
	b->mood = MUTE;
	assert_int_equal(xenblkfront_read(f, 0, buf, sizeof buf), -ETIMEDOUT);
	assert_error(f, "no response to 24 requests within 500 ms; the back end is Connected");
	assert_int_equal(xenblkfront_inflight(f), 24);
	memset(buf, 0x77, sizeof buf);
	/* It wakes: the late answers go nowhere, the new ones where they belong. */
	b->mood = HONEST;
	uint8_t *other = malloc(DISK_BYTES);
	assert_int_equal(eventfd_write(b->wake, 1), 0);
	must(f, xenblkfront_write(f, 0, b->disk, 512));
	must(f, xenblkfront_read(f, 0, other, DISK_BYTES));
	assert_memory_equal(other, b->disk, DISK_BYTES);
	free(other);
	for (size_t i = 0; i < sizeof buf; i++)
		assert_int_equal(buf[i], 0x77);
	assert_int_equal(xenblkfront_inflight(f), 0);
	b->mood = MUTE;
	assert_int_equal(xenblkfront_flush(f), -ETIMEDOUT);
	/* Disconnect says that answers were missing, but walks to the end. */
	assert_int_equal(xenblkfront_disconnect(f), -ETIMEDOUT);
	assert_int_equal(xenblkfront_wait_backend(f, 0x1ff, 0), XS_CLOSED);
	xenblkfront_close(f);
	fake_stop(b);
}

static void raw_requests(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xenblkfront *f = OPEN(.ring_order = 0);
	struct xenblkfront_response rsp[64];
	struct xenblkfront_request req = {.op = BLKIF_OP_READ, .nr_segments = 1, .sector = 16};
	uint32_t refs[2];
	uint8_t sector[512];
	void *page;

	assert_int_equal(xenblkfront_queue(f, &req, 1), -ENOTCONN);
	assert_int_equal(xenblkfront_reap(f, rsp, 1, 0), -ENOTCONN);
	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_alloc(f, 2, true, &page, refs));
	assert_int_not_equal(refs[0], refs[1]);
	assert_int_equal(((uint8_t *)page)[8191], 0);
	req.seg[0] = (struct xenblkfront_seg){.gref = refs[1], .first = 2, .last = 5};
	assert_int_equal(xenblkfront_reap(f, rsp, 1, 0), -ETIMEDOUT);
	for (uint64_t i = 0; i < 32; i++)
		must(f, xenblkfront_queue(f, &req, UINT64_MAX - i));
	assert_int_equal(xenblkfront_queue(f, &req, 1), -EAGAIN);
	assert_int_equal(xenblkfront_inflight(f), 32);
	assert_int_equal(xenblkfront_read(f, 0, sector, 512), -EBUSY);
	must(f, xenblkfront_kick(f));
	uint64_t sum = 0;
	for (int got = 0; got < 32;) {
		int n = xenblkfront_reap(f, rsp, 5, -1);
		assert_in_range(n, 1, 5);
		for (int i = 0; i < n; i++) {
			assert_int_equal(rsp[i].op, BLKIF_OP_READ);
			assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
			sum += UINT64_MAX - rsp[i].id;
		}
		got += n;
	}
	assert_int_equal(sum, 31 * 32 / 2);
	assert_int_equal(xenblkfront_inflight(f), 0);
	assert_int_equal(xenblkfront_reap(f, rsp, 1, 20), -ETIMEDOUT);
	uint8_t *got = (uint8_t *)page + 4096;
	assert_memory_equal(got + 1024, b->disk + 16 * 512, 4 * 512);
	assert_int_equal(got[1023], 0);
	assert_int_equal(got[1024 + 2048], 0);

	/* Revoked: that request fails, the others do not. */
	must(f, xenblkfront_revoke(f, refs, 1));
	req.seg[0].gref = refs[0];
	must(f, xenblkfront_queue(f, &req, 5));
	must(f, xenblkfront_kick(f));
	assert_int_equal(xenblkfront_reap(f, rsp, 1, -1), 1);
	assert_int_equal(rsp[0].id, 5);
	assert_int_equal(rsp[0].status, BLKIF_RSP_ERROR);
	/* Unknown operations go out as they are. */
	req.op = 77;
	must(f, xenblkfront_queue(f, &req, 6));
	must(f, xenblkfront_kick(f));
	assert_int_equal(xenblkfront_reap(f, rsp, 1, -1), 1);
	assert_int_equal(rsp[0].op, 77);
	assert_int_equal(rsp[0].status, BLKIF_RSP_EOPNOTSUPP);
	must(f, xenblkfront_read(f, 0, sector, 512));

	/* In flight at the end: waited for. */
	req.op = BLKIF_OP_FLUSH_DISKCACHE;
	req.nr_segments = 0;
	unsigned before = b->flushes;
	must(f, xenblkfront_queue(f, &req, 7));
	must(f, xenblkfront_kick(f));
	must(f, xenblkfront_disconnect(f));
	assert_int_equal(b->flushes, before + 1);
	must(f, xenblkfront_free(f, page, 2));
	xenblkfront_close(f);
	fake_stop(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_length),
	    cmocka_unit_test(pages_are_reused),
	    cmocka_unit_test(other_operations),
	    cmocka_unit_test(bad_arguments),
	    cmocka_unit_test(error_responses),
	    cmocka_unit_test(broken_rules),
	    cmocka_unit_test(mute),
	    cmocka_unit_test(raw_requests),
	};

	return cmocka_run_group_tests_name("front_io", tests, start_xen, stop_xen);
}
