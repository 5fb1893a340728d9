/* SPDX-License-Identifier: MIT */
/* The front end library with several queues, indirect requests and persistent grants. */
#include "front_fixture.h"

static struct fake *start(const char *queues, const char *segments)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	if (queues)
		MUST(store_write(store, XBT_NULL, BACK, "multi-queue-max-queues", "%s", queues));
	if (segments)
		MUST(store_write(store, XBT_NULL, BACK, "feature-max-indirect-segments", "%s",
		                 segments));
	return b;
}

static void end(struct xenblkfront *f, struct fake *b)
{
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	fake_stop(b);
}

static void keys_of_several_queues(void **state)
{
	struct fake *b = start("4", NULL);
	struct xenblkfront *f = OPEN(.queues = 3, .ring_order = 1);
	struct xenblkfront_info i;
	char v[64], ref[64];

	must(f, xenblkfront_connect(f));
	assert_string_equal(node("multi-queue-num-queues", v), "3");
	assert_string_equal(node("ring-page-order", v), "1");
	assert_string_equal(node("ring-ref0", v), "absent");
	assert_string_equal(node("event-channel", v), "absent");
	assert_string_not_equal(node("queue-0/event-channel", v), "absent");
	assert_string_not_equal(node("queue-2/ring-ref0", ref), "absent");
	assert_string_not_equal(node("queue-2/ring-ref1", v), ref);
	assert_string_equal(node("queue-3/ring-ref0", v), "absent");
	must(f, xenblkfront_get_info(f, &i));
	assert_int_equal(i.queues, 3);
	assert_int_equal(i.max_queues, 4);
	assert_int_equal(i.ring_slots, 64);
	end(f, b);
}

static void one_queue_that_says_so(void **state)
{
	struct fake *b = start("4", NULL);
	struct xenblkfront *f = OPEN(.queues = 1);
	char v[64];

	must(f, xenblkfront_connect(f));
	assert_string_equal(node("multi-queue-num-queues", v), "1");
	assert_string_not_equal(node("ring-ref", v), "absent");
	assert_string_equal(node("queue-0/ring-ref", v), "absent");
	read_all(f, b);
	end(f, b);
}

static void no_more_queues_than_offered(void **state)
{
	struct fake *b = start("2", NULL);
	struct xenblkfront *f = OPEN(.queues = 16);
	struct xenblkfront_info i;

	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_get_info(f, &i));
	assert_int_equal(i.queues, 2);
	assert_int_equal(b->nr_queues, 2);
	end(f, b);
	assert_int_equal(
	    xenblkfront_open(&(struct xenblkfront_options){.vdev = "xvda", .queues = 17}, &f),
	    -EINVAL);
	assert_error(f, "17 queues");
	xenblkfront_close(f);
}

static void each_queue_moves_data(void **state)
{
	struct fake *b = start("4", NULL);
	struct xen_usage before = usage();
	struct xenblkfront *f = OPEN(.queues = 4);

	must(f, xenblkfront_connect(f));
	for (unsigned q = 4; q-- > 0;) {
		must(f, xenblkfront_select(f, q));
		read_all(f, b);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(b->queue[i].requests > 0, i >= q);
	}
	assert_int_equal(xenblkfront_select(f, 4), -EINVAL);
	assert_error(f, "queue 4 does not exist: there are 4");
	must(f, xenblkfront_disconnect(f));
	must(f, xenblkfront_select(f, 0));
	assert_int_equal(xenblkfront_select(f, 1), -EINVAL);
	assert_int_equal(usage().grants, before.grants);
	assert_int_equal(usage().interdomain, before.interdomain);
	xenblkfront_close(f);
	fake_stop(b);
}

static void waits_for_any_queue(void **state)
{
	struct fake *b = start("2", NULL);
	struct xenblkfront *f = OPEN(.queues = 2);
	struct xenblkfront_request flush = {.op = BLKIF_OP_FLUSH_DISKCACHE};
	struct xenblkfront_response rsp;

	must(f, xenblkfront_connect(f));
	assert_int_equal(xenblkfront_wait(f, 20), -ETIMEDOUT);
	must(f, xenblkfront_select(f, 1));
	must(f, xenblkfront_queue(f, &flush, 7));
	must(f, xenblkfront_kick(f));
	must(f, xenblkfront_select(f, 0));
	assert_int_equal(xenblkfront_inflight(f), 0);
	must(f, xenblkfront_wait(f, -1));
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 0), -ETIMEDOUT);
	must(f, xenblkfront_select(f, 1));
	assert_int_equal(xenblkfront_inflight(f), 1);
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 0), 1);
	assert_int_equal(rsp.id, 7);
	/* In flight in a queue that is not selected: waited for before the end. */
	must(f, xenblkfront_queue(f, &flush, 8));
	must(f, xenblkfront_kick(f));
	must(f, xenblkfront_select(f, 0));
	end(f, b);
}

static void large_requests_are_indirect(void **state)
{
	struct fake *b = start(NULL, "256");
	struct xenblkfront *f = OPEN(.ring_order = 0);
	uint8_t *buf = malloc(DISK_BYTES);

	must(f, xenblkfront_connect(f));
	must(f, xenblkfront_read(f, 0, buf, 11 * 4096));
	assert_int_equal(b->indirect, 0);
	must(f, xenblkfront_read(f, 0, buf, 11 * 4096 + 512));
	assert_int_equal(b->indirect, 1);
	assert_int_equal(b->most_segments, 12);
	assert_memory_equal(buf, b->disk, 11 * 4096 + 512);
	read_all(f, b);
	assert_int_equal(b->most_segments, 256);
	assert_int_equal(b->requests, 2 + 4);
	memset(buf, 0x5a, DISK_BYTES);
	must(f, xenblkfront_write(f, 512, buf, DISK_BYTES - 1024));
	assert_memory_equal(b->disk + 512, buf, DISK_BYTES - 1024);
	assert_int_not_equal(b->disk[0] == 0x5a && b->disk[1] == 0x5a, 1);
	free(buf);
	end(f, b);
}

/* What a queue may grant for indirect requests has an end; data moves all the same. */
static void pages_for_indirect_requests_are_bounded(void **state)
{
	struct fake *b = start(NULL, "256");
	struct xenblkfront *f = OPEN(.timeout_ms = 200);
	uint32_t before = usage().grants;
	uint8_t *buf = malloc(2 * DISK_BYTES);

	must(f, xenblkfront_connect(f));
	b->mood = MUTE; /* all slots are wanted at once */
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(xenblkfront_read(f, 0, buf, DISK_BYTES), -ETIMEDOUT);
	assert_int_equal(xenblkfront_inflight(f), 32);
	/* 15 slots with 256 pages and one of descriptors; the others have 11. */
	assert_int_equal(usage().grants - before, 1 + 15 * 257 + 17 * 11);
	b->mood = HONEST;
	assert_int_equal(eventfd_write(b->wake, 1), 0);
	/* However slow the machine: the time-out was for those that get no answer. */
	int rc = -ETIMEDOUT;
	for (unsigned i = 0; i < 100 && rc == -ETIMEDOUT; i++)
		rc = xenblkfront_read(f, 0, buf, DISK_BYTES);
	must(f, rc);
	assert_memory_equal(buf, b->disk, DISK_BYTES);
	free(buf);
	end(f, b);
}

static void fewer_segments_on_demand(void **state)
{
	static const struct {
		const char *offered;
		unsigned wanted, most;
	} rows[] = {{"32", 0, 32}, {"256", 20, 20}, {"256", 11, 0}, {"11", 0, 0}, {"999", 0, 256}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fake *b = start(NULL, rows[i].offered);
		struct xenblkfront *f = OPEN(.indirect = rows[i].wanted);
		must(f, xenblkfront_connect(f));
		read_all(f, b);
		assert_int_equal(b->most_segments, rows[i].most);
		end(f, b);
	}
}

static void persistent_key(void **state)
{
	struct fake *b = start(NULL, NULL);
	struct xenblkfront *f = OPEN(.persistent = true);
	char v[64];

	must(f, xenblkfront_connect(f));
	assert_string_equal(node("feature-persistent", v), "1");
	must(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	f = OPEN(.persistent = false);
	must(f, xenblkfront_connect(f));
	assert_string_equal(node("feature-persistent", v), "absent");
	end(f, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_of_several_queues),
	    cmocka_unit_test(one_queue_that_says_so),
	    cmocka_unit_test(no_more_queues_than_offered),
	    cmocka_unit_test(each_queue_moves_data),
	    cmocka_unit_test(waits_for_any_queue),
	    cmocka_unit_test(large_requests_are_indirect),
	    cmocka_unit_test(pages_for_indirect_requests_are_bounded),
	    cmocka_unit_test(fewer_segments_on_demand),
	    cmocka_unit_test(persistent_key),
	};

	return cmocka_run_group_tests_name("front_queues", tests, start_xen, stop_xen);
}
