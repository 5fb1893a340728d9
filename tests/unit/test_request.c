/* SPDX-License-Identifier: MIT */
/* Which requests are allowed: one case per rule and boundary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "blkif/request.h"

#define SECTORS 8000u

static struct blkif_limits limits(uint32_t sector_size)
{
	return (struct blkif_limits){.sectors = SECTORS,
	                             .sector_size = sector_size,
	                             .flush = true,
	                             .barrier = true,
	                             .discard = true,
	                             .discard_secure = true};
}

/* A request of n segments of whole pages. */
static struct blkif_req pages(uint8_t op, uint16_t n, uint64_t sector)
{
	struct blkif_req req = {.op = op, .nr_segments = n, .sector = sector, .id = 77};

	for (int i = 0; i < BLKIF_DIRECT_SEGS; i++)
		req.seg[i] = (struct blkif_seg){.gref = 100u + i, .first = 0, .last = 7};
	return req;
}

static struct blkif_req discard(uint64_t sector, uint64_t n)
{
	return (struct blkif_req){.op = BLKIF_OP_DISCARD, .sector = sector, .nr_sectors = n};
}

#define CHECK(req, lim, want)                                                           \
	do {                                                                            \
		struct blkif_plan plan_;                                                \
		assert_string_equal(                                                    \
		    blkif_refusal_name(blkif_check(&(req), (req).seg, &(lim), &plan_)), \
		    blkif_refusal_name(want));                                          \
	} while (0)

static void plan_of_each_kind(void **state)
{
	static const struct {
		uint8_t op;
		enum blkif_kind kind;
	} kinds[] = {{BLKIF_OP_READ, BLKIF_KIND_READ},
	             {BLKIF_OP_WRITE, BLKIF_KIND_WRITE},
	             {BLKIF_OP_WRITE_BARRIER, BLKIF_KIND_BARRIER},
	             {BLKIF_OP_FLUSH_DISKCACHE, BLKIF_KIND_FLUSH}};
	struct blkif_limits lim = limits(512);
	struct blkif_plan plan;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct blkif_req req = pages(kinds[i].op, 3, 9);
		req.seg[0].first = 7;
		req.seg[2].last = 0;
		memset(&plan, 0xa5, sizeof plan);
		assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
		assert_int_equal(plan.kind, kinds[i].kind);
		assert_int_equal(plan.offset, 9 * 512);
		assert_int_equal(plan.length, (1 + 8 + 1) * 512);
		assert_int_equal(plan.nr_segments, 3);
		assert_false(plan.secure);
	}
	struct blkif_req req = discard(16, 32);
	req.flag = BLKIF_DISCARD_SECURE | 0xf0;
	memset(&plan, 0xa5, sizeof plan);
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.kind, BLKIF_KIND_DISCARD);
	assert_int_equal(plan.offset, 16 * 512);
	assert_int_equal(plan.length, 32 * 512);
	assert_int_equal(plan.nr_segments, 0);
	assert_true(plan.secure);
	req.flag = 0xf0; /* bits without a meaning */
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_false(plan.secure);
}

static void operations(void **state)
{
	struct blkif_limits lim = limits(512);

	for (unsigned op = 0; op < 256; op++) {
		struct blkif_req req = pages((uint8_t)op, 1, 0);
		req.nr_sectors = 8;
		enum blkif_refusal want = op == 4 || op > 6 ? BLKIF_UNKNOWN_OP
		                          : op == 6         ? BLKIF_UNSUPPORTED
		                                            : BLKIF_OK;
		CHECK(req, lim, want);
	}
}

static void not_offered(void **state)
{
	struct blkif_limits lim = limits(512);
	struct blkif_req flush = pages(BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
	struct blkif_req barrier = pages(BLKIF_OP_WRITE_BARRIER, 0, 0);
	struct blkif_req plain = discard(0, 8), secure = discard(0, 8);

	secure.flag = BLKIF_DISCARD_SECURE;
	lim.flush = false;
	CHECK(flush, lim, BLKIF_UNSUPPORTED);
	flush.nr_segments = 1;
	CHECK(flush, lim, BLKIF_UNSUPPORTED);
	CHECK(barrier, lim, BLKIF_OK);
	lim.barrier = false;
	CHECK(barrier, lim, BLKIF_UNSUPPORTED);
	barrier.nr_segments = 200; /* asked before the shape */
	CHECK(barrier, lim, BLKIF_UNSUPPORTED);
	CHECK(secure, lim, BLKIF_OK);
	lim.discard_secure = false; /* the flag is ignored then */
	struct blkif_plan plan = {.secure = true};
	assert_int_equal(blkif_check(&secure, secure.seg, &lim, &plan), BLKIF_OK);
	assert_false(plan.secure);
	lim.discard = false;
	CHECK(plain, lim, BLKIF_UNSUPPORTED);
	lim.discard_secure = true;
	CHECK(secure, lim, BLKIF_UNSUPPORTED);
	lim.readonly = true; /* asked before read-only */
	CHECK(plain, lim, BLKIF_UNSUPPORTED);
}

static void read_only(void **state)
{
	struct blkif_limits lim = limits(512);
	struct blkif_req req;

	lim.readonly = true;
	req = pages(BLKIF_OP_READ, 1, 0);
	CHECK(req, lim, BLKIF_OK);
	req = pages(BLKIF_OP_WRITE, 1, 0);
	CHECK(req, lim, BLKIF_READONLY);
	req = pages(BLKIF_OP_WRITE, 0, 0); /* asked before the shape */
	CHECK(req, lim, BLKIF_READONLY);
	req = pages(BLKIF_OP_WRITE, 1, UINT64_MAX);
	CHECK(req, lim, BLKIF_READONLY);
	req = pages(BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
	CHECK(req, lim, BLKIF_OK);
	req = pages(BLKIF_OP_FLUSH_DISKCACHE, 1, 0);
	CHECK(req, lim, BLKIF_READONLY);
	req = pages(BLKIF_OP_WRITE_BARRIER, 0, 0);
	CHECK(req, lim, BLKIF_OK);
	req = pages(BLKIF_OP_WRITE_BARRIER, 1, 0);
	CHECK(req, lim, BLKIF_READONLY);
	req = discard(0, 8);
	CHECK(req, lim, BLKIF_READONLY);
}

static void segment_counts(void **state)
{
	struct blkif_limits lim = limits(512);

	for (uint8_t op = 0; op < 4; op++) {
		bool bare = op == BLKIF_OP_WRITE_BARRIER || op == BLKIF_OP_FLUSH_DISKCACHE;
		struct blkif_req req = pages(op, 0, 0);
		CHECK(req, lim, bare ? BLKIF_OK : BLKIF_BAD_SEGMENTS);
		req.nr_segments = 11;
		CHECK(req, lim, BLKIF_OK);
		req.nr_segments = 12;
		CHECK(req, lim, BLKIF_BAD_SEGMENTS);
		req.nr_segments = 255;
		CHECK(req, lim, BLKIF_BAD_SEGMENTS);
		req.nr_segments = 65535;
		CHECK(req, lim, BLKIF_BAD_SEGMENTS);
	}
}

/* A bare flush moves nothing: front ends leave anything in its sector number. */
static void bare_flush(void **state)
{
	struct blkif_limits lim = limits(4096);
	struct blkif_plan plan;
	struct blkif_req req = pages(BLKIF_OP_FLUSH_DISKCACHE, 0, UINT64_MAX);

	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.offset, 0);
	assert_int_equal(plan.length, 0);
	req.op = BLKIF_OP_WRITE_BARRIER;
	CHECK(req, lim, BLKIF_OK);
	lim.sectors = 0;
	CHECK(req, lim, BLKIF_OK);
}

static void segments(void **state)
{
	struct blkif_limits lim = limits(512);
	static const struct {
		uint8_t first, last;
		enum blkif_refusal want;
	} cases[] = {
	    {0, 0, BLKIF_OK},
	    {7, 7, BLKIF_OK},
	    {0, 7, BLKIF_OK},
	    {1, 0, BLKIF_BAD_SEGMENT},
	    {0, 8, BLKIF_BAD_SEGMENT},
	    {8, 8, BLKIF_BAD_SEGMENT},
	    {7, 6, BLKIF_BAD_SEGMENT},
	    {255, 255, BLKIF_BAD_SEGMENT},
	    {0, 255, BLKIF_BAD_SEGMENT},
	    {255, 0, BLKIF_BAD_SEGMENT},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int at = 0; at < BLKIF_DIRECT_SEGS; at++) {
			struct blkif_req req = pages(BLKIF_OP_READ, BLKIF_DIRECT_SEGS, 0);
			req.seg[at].first = cases[i].first;
			req.seg[at].last = cases[i].last;
			CHECK(req, lim, cases[i].want);
			req.nr_segments = (uint16_t)at; /* behind the count nothing matters */
			if (at)
				CHECK(req, lim, BLKIF_OK);
		}
	}
}

static void alignment(void **state)
{
	struct blkif_limits lim = limits(4096);
	struct blkif_req req;

	for (uint64_t sector = 0; sector < 17; sector++) {
		req = pages(BLKIF_OP_READ, 1, sector);
		CHECK(req, lim, sector % 8 ? BLKIF_MISALIGNED : BLKIF_OK);
		req = discard(sector, 8);
		CHECK(req, lim, sector % 8 ? BLKIF_MISALIGNED : BLKIF_OK);
		req = discard(8, sector + 1);
		CHECK(req, lim, (sector + 1) % 8 ? BLKIF_MISALIGNED : BLKIF_OK);
	}
	/* The total fits, the pieces do not. */
	req = pages(BLKIF_OP_READ, 2, 0);
	req.seg[0].last = 3;
	req.seg[1].first = 4;
	CHECK(req, lim, BLKIF_MISALIGNED);
	lim = limits(2048);
	CHECK(req, lim, BLKIF_OK);
	/* Length fits, place within the page does not. */
	req = pages(BLKIF_OP_READ, 1, 0);
	req.seg[0].first = 2;
	req.seg[0].last = 5;
	CHECK(req, lim, BLKIF_MISALIGNED);
	lim = limits(1024);
	CHECK(req, lim, BLKIF_OK);
	req.sector = 1;
	CHECK(req, lim, BLKIF_MISALIGNED);
	req.sector = UINT64_MAX; /* asked before the range */
	CHECK(req, lim, BLKIF_MISALIGNED);
	req.seg[0].last = 8; /* asked after the segments */
	CHECK(req, lim, BLKIF_BAD_SEGMENT);
}

static void ends(void **state)
{
	static const uint32_t sizes[] = {512, 4096};

	for (size_t i = 0; i < 2; i++) {
		struct blkif_limits lim = limits(sizes[i]);
		uint32_t unit = sizes[i] / 512;
		struct blkif_req req = pages(BLKIF_OP_WRITE, 1, SECTORS - 8);
		CHECK(req, lim, BLKIF_OK);
		req.sector = SECTORS - 8 + unit;
		CHECK(req, lim, BLKIF_OUT_OF_RANGE);
		req.sector = SECTORS;
		CHECK(req, lim, BLKIF_OUT_OF_RANGE);
		req = pages(BLKIF_OP_READ, 11, SECTORS - 88);
		CHECK(req, lim, BLKIF_OK);
		req.sector += 8;
		CHECK(req, lim, BLKIF_OUT_OF_RANGE);
		/* sector + n wraps to 0 and beyond; sector * 512 wraps. */
		uint64_t wraps[] = {UINT64_MAX - 7,    UINT64_MAX - 15,         (uint64_t)1 << 63,
		                    (uint64_t)1 << 55, ((uint64_t)1 << 55) - 8, (uint64_t)1 << 54,
		                    (uint64_t)1 << 32};
		for (size_t w = 0; w < sizeof wraps / sizeof *wraps; w++) {
			req = pages(BLKIF_OP_READ, 1, wraps[w]);
			CHECK(req, lim, BLKIF_OUT_OF_RANGE);
			req = discard(wraps[w], 8);
			CHECK(req, lim, BLKIF_OUT_OF_RANGE);
			req = discard(8, wraps[w]);
			CHECK(req, lim, BLKIF_OUT_OF_RANGE);
		}
		req = discard(SECTORS, 0);
		CHECK(req, lim, BLKIF_BAD_DISCARD);
		lim.sectors = 0;
		req = pages(BLKIF_OP_READ, 1, 0);
		CHECK(req, lim, BLKIF_OUT_OF_RANGE);
	}
	/* One sector at the very end. */
	struct blkif_limits lim = limits(512);
	struct blkif_req req = pages(BLKIF_OP_READ, 1, SECTORS - 1);
	req.seg[0].last = 0;
	CHECK(req, lim, BLKIF_OK);
	req.seg[0].last = 1;
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
}

/* Offsets stay within off_t, whatever size is claimed. */
static void largest_disk(void **state)
{
	const uint64_t last = ((uint64_t)1 << 54) - 1;
	struct blkif_limits lim = limits(512);
	struct blkif_plan plan;
	struct blkif_req req = pages(BLKIF_OP_READ, 1, last - 8);

	lim.sectors = UINT64_MAX;
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_true(plan.offset + plan.length == (uint64_t)INT64_MAX - 511);
	req.sector++;
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
	req = discard(0, last);
	CHECK(req, lim, BLKIF_OK);
	req = discard(0, last + 1);
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
}

static void discards(void **state)
{
	struct blkif_limits lim = limits(512);
	struct blkif_req req = discard(0, 0);

	CHECK(req, lim, BLKIF_BAD_DISCARD);
	/* Any whole sectors within the disk; the granularity advertised is advice. */
	lim.sectors = 8004;
	static const struct {
		uint64_t sector, n;
		enum blkif_refusal why;
	} cases[] = {
	    {0, 8, BLKIF_OK},
	    {1, 1, BLKIF_OK},
	    {11, 797, BLKIF_OK},
	    {0, 8004, BLKIF_OK},
	    {8003, 1, BLKIF_OK},
	    {8000, 8, BLKIF_OUT_OF_RANGE},
	    {8004, 1, BLKIF_OUT_OF_RANGE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		req = discard(cases[i].sector, cases[i].n);
		CHECK(req, lim, cases[i].why);
	}
}

/* Of front ends that do not count in units of 512 bytes. */
static void other_units(void **state)
{
	struct blkif_limits lim = limits(4096);
	struct blkif_plan plan;

	/* Sector numbers and counts. */
	lim.sector_shift = 3;
	struct blkif_req req = pages(BLKIF_OP_WRITE, 2, 5);
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.offset, 5 * 4096);
	assert_int_equal(plan.length, 2 * 4096);
	req = pages(BLKIF_OP_READ, 1, SECTORS / 8 - 1);
	CHECK(req, lim, BLKIF_OK);
	req = pages(BLKIF_OP_READ, 1, SECTORS / 8);
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
	req = pages(BLKIF_OP_READ, 1, (uint64_t)1 << 61); /* times 8 it is 0 */
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
	req = discard(6, 3);
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.offset, 6 * 4096);
	assert_int_equal(plan.length, 3 * 4096);
	req = discard(6, (uint64_t)1 << 61);
	CHECK(req, lim, BLKIF_OUT_OF_RANGE);
	/* And the ends of segments. */
	lim.segment_shift = 3;
	req = pages(BLKIF_OP_WRITE, 2, 5);
	CHECK(req, lim, BLKIF_BAD_SEGMENT);
	req.seg[0].last = req.seg[1].last = 0;
	assert_int_equal(blkif_check(&req, req.seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.offset, 5 * 4096);
	assert_int_equal(plan.length, 2 * 4096);
	req.seg[1].last = 1;
	CHECK(req, lim, BLKIF_BAD_SEGMENT);
}

static void statuses_and_names(void **state)
{
	for (int r = 0; r < BLKIF_REFUSALS; r++) {
		int16_t want = r == BLKIF_OK ? BLKIF_RSP_OKAY
		               : r == BLKIF_UNKNOWN_OP || r == BLKIF_UNSUPPORTED
		                   ? BLKIF_RSP_EOPNOTSUPP
		                   : BLKIF_RSP_ERROR;
		assert_int_equal(blkif_refusal_status(r), want);
		assert_string_not_equal(blkif_refusal_name(r), "invalid");
		assert_string_not_equal(blkif_refusal_text(r), blkif_refusal_text(BLKIF_REFUSALS));
		for (int q = 0; q < r; q++) {
			assert_string_not_equal(blkif_refusal_name(r), blkif_refusal_name(q));
			assert_string_not_equal(blkif_refusal_text(r), blkif_refusal_text(q));
		}
	}
	assert_string_equal(blkif_refusal_name(BLKIF_OUT_OF_RANGE), "out-of-range");
	struct blkif_req req = {.op = BLKIF_OP_INDIRECT, .inner_op = BLKIF_OP_WRITE};
	assert_int_equal(blkif_response_op(&req), BLKIF_OP_WRITE);
	req.op = 99;
	assert_int_equal(blkif_response_op(&req), 99);
}

static void indirect(void **state)
{
	struct blkif_limits lim = limits(512);
	struct blkif_seg seg[BLKIF_MAX_INDIRECT_SEGS];
	struct blkif_req req = {
	    .op = BLKIF_OP_INDIRECT, .inner_op = BLKIF_OP_WRITE, .nr_segments = 256, .sector = 8};
	struct blkif_plan plan;

	for (unsigned i = 0; i < 256; i++)
		seg[i] = (struct blkif_seg){.last = 7};
	assert_int_equal(blkif_descriptors(&req, &lim), 0);
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_UNSUPPORTED);
	lim.indirect_segments = 256;
	assert_int_equal(blkif_descriptors(&req, &lim), 256);
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_OK);
	assert_int_equal(plan.kind, BLKIF_KIND_WRITE);
	assert_int_equal(plan.nr_segments, 256);
	assert_int_equal(plan.offset, 4096);
	assert_int_equal(plan.length, 1 << 20);
	req.nr_segments = 257;
	assert_int_equal(blkif_descriptors(&req, &lim), 0);
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_BAD_SEGMENTS);
	req.nr_segments = 0;
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_BAD_SEGMENTS);
	req.nr_segments = 1; /* few are fine, too */
	assert_int_equal(blkif_descriptors(&req, &lim), 1);
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_OK);
	req.nr_segments = 33;
	lim.indirect_segments = 32;
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_BAD_SEGMENTS);
	lim.indirect_segments = 33;
	seg[32].last = 8;
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_BAD_SEGMENT);
	seg[32].last = 7;
	req.sector = SECTORS - 33 * 8;
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_OK);
	req.sector++;
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_OUT_OF_RANGE);
	req.sector = 0;
	for (unsigned inner = 0; inner < 256; inner++) {
		req.inner_op = (uint8_t)inner;
		assert_int_equal(blkif_descriptors(&req, &lim), inner < 2 ? 33 : 0);
		assert_int_equal(blkif_check(&req, seg, &lim, &plan),
		                 inner < 2 ? BLKIF_OK : BLKIF_BAD_INDIRECT);
	}
	/* Not even looked at on a read-only disk. */
	lim.readonly = true;
	req.inner_op = BLKIF_OP_WRITE;
	assert_int_equal(blkif_descriptors(&req, &lim), 0);
	assert_int_equal(blkif_check(&req, seg, &lim, &plan), BLKIF_READONLY);
	req.inner_op = BLKIF_OP_READ;
	assert_int_equal(blkif_descriptors(&req, &lim), 33);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan_of_each_kind), cmocka_unit_test(operations),
	    cmocka_unit_test(indirect),          cmocka_unit_test(not_offered),
	    cmocka_unit_test(read_only),         cmocka_unit_test(segment_counts),
	    cmocka_unit_test(bare_flush),        cmocka_unit_test(segments),
	    cmocka_unit_test(alignment),         cmocka_unit_test(ends),
	    cmocka_unit_test(largest_disk),      cmocka_unit_test(discards),
	    cmocka_unit_test(other_units),       cmocka_unit_test(statuses_and_names),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
