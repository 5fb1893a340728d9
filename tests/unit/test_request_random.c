/* SPDX-License-Identifier: MIT */
/* Which requests are allowed: random ones against a slow second opinion, written independently. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "blkif/request.h"

/* ---- sector by sector, in 128-bit arithmetic ---- */

typedef unsigned __int128 u128;

static enum blkif_refusal slow(const struct blkif_req *q, const struct blkif_seg *seg,
                               const struct blkif_limits *l)
{
	bool rw = q->op <= 3 || q->op == 6;
	u128 unit = l->sector_size, total = 0, disk = (u128)l->sectors * 512;

	if (q->op != 0 && q->op != 1 && q->op != 2 && q->op != 3 && q->op != 5 && q->op != 6)
		return BLKIF_UNKNOWN_OP;
	if ((q->op == 6 && !l->indirect_segments) || (q->op == 2 && !l->barrier) ||
	    (q->op == 3 && !l->flush) || (q->op == 5 && !l->discard))
		return BLKIF_UNSUPPORTED;
	if (q->op == 6 && q->inner_op != 0 && q->inner_op != 1)
		return BLKIF_BAD_INDIRECT;
	if (l->readonly && (q->op == 1 || (q->op == 6 && q->inner_op == 1) || q->op == 5 ||
	                    (q->op >= 2 && q->op <= 3 && q->nr_segments)))
		return BLKIF_READONLY;
	if (rw && q->nr_segments == 0)
		return q->op == 2 || q->op == 3 ? BLKIF_OK : BLKIF_BAD_SEGMENTS;
	if (rw && q->nr_segments > (q->op == 6 ? l->indirect_segments : 11))
		return BLKIF_BAD_SEGMENTS;
	if (!rw && q->nr_sectors == 0)
		return BLKIF_BAD_DISCARD;
	bool crooked = (u128)q->sector * 512 % unit;
	if (rw) {
		for (int i = 0; i < q->nr_segments; i++) {
			int count = 0;
			for (int s = seg[i].first; s <= seg[i].last; s++) {
				if (s > 7)
					return BLKIF_BAD_SEGMENT;
				count++;
			}
			if (!count)
				return BLKIF_BAD_SEGMENT;
			if (seg[i].first * 512 % unit || count * 512 % unit)
				crooked = true;
			total += (u128)count * 512;
		}
	} else {
		total = (u128)q->nr_sectors * 512;
		crooked = crooked || total % unit;
	}
	if (crooked)
		return BLKIF_MISALIGNED;
	u128 start = (u128)q->sector * 512, end = start + total;
	if (end > disk || end > (u128)INT64_MAX)
		return BLKIF_OUT_OF_RANGE;
	return BLKIF_OK;
}

static uint64_t seed = 42;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % below);
}

/* Numbers near where something happens. */
static uint64_t edge(uint64_t sectors)
{
	static const uint64_t marks[] = {
	    0, 8, 88, (uint64_t)1 << 32, (uint64_t)1 << 54, (uint64_t)1 << 55, (uint64_t)1 << 63};
	switch (rnd(4)) {
	case 0:
		return sectors - rnd(100) + rnd(3);
	case 1:
		return marks[rnd(7)] - rnd(10) + rnd(10);
	case 2:
		return sectors ? 8 * ((seed >> 20) % (sectors / 8 + 1)) : 0;
	}
	return rnd(200);
}

static void against_slow_oracle(void **state)
{
	unsigned seen[BLKIF_REFUSALS] = {0};

	static struct blkif_seg many[300];

	for (int n = 0; n < 300000; n++) {
		static const uint64_t sizes[] = {0, 8, 8000, 8004, (uint64_t)1 << 33, UINT64_MAX};
		struct blkif_limits lim = {
		    .sectors = sizes[rnd(6)],
		    .sector_size = 512u << rnd(4),
		    .readonly = !rnd(5),
		    .flush = rnd(5),
		    .barrier = rnd(5),
		    .discard = rnd(5),
		    .discard_secure = rnd(2),
		    .indirect_segments = (uint32_t[]){0, 1, 32, 256}[rnd(4)],
		};
		struct blkif_req req = {.op = (uint8_t)(rnd(20) ? rnd(7) : rnd(256)),
		                        .inner_op = (uint8_t)(rnd(5) ? rnd(2) : rnd(256)),
		                        .flag = (uint8_t)rnd(4),
		                        .nr_segments = (uint16_t)(rnd(10) ? rnd(12) : rnd(300)),
		                        .sector = edge(lim.sectors),
		                        .nr_sectors = edge(lim.sectors)};
		if (rnd(2)) /* often enough something that could be right */
			req.sector &= ~(uint64_t)7;
		if (rnd(2))
			req.nr_sectors &= ~(uint64_t)7;
		const struct blkif_seg *seg = req.op == 6 ? many : req.seg;
		for (int i = 0; i < 300; i++) {
			many[i] = (struct blkif_seg){.last = 7};
			if (rnd(i < 11 ? 6 : 300))
				continue;
			many[i].first = (uint8_t)(rnd(6) ? rnd(8) : rnd(256));
			many[i].last = (uint8_t)(rnd(6) ? rnd(8) : rnd(256));
		}
		memcpy(req.seg, many, sizeof req.seg);
		struct blkif_plan plan;
		enum blkif_refusal got = blkif_check(&req, seg, &lim, &plan),
		                   want = slow(&req, seg, &lim);
		if (got != want)
			fail_msg("round %d: %s, expected %s", n, blkif_refusal_name(got),
			         blkif_refusal_name(want));
		/* Descriptors are asked for only where they decide, and as many as there are. */
		uint32_t descriptors = blkif_descriptors(&req, &lim);
		if (descriptors)
			assert_true(req.op == 6 && descriptors == req.nr_segments &&
			            descriptors <= lim.indirect_segments);
		else if (req.op == 6)
			assert_int_not_equal(got, BLKIF_OK);
		seen[got]++;
		if (got == BLKIF_OK && plan.length) {
			assert_true(plan.offset == req.sector * 512);
			assert_true(plan.offset + plan.length <= INT64_MAX);
			assert_true((plan.offset + plan.length) / 512 <= lim.sectors);
			assert_int_equal(plan.length % lim.sector_size, 0);
		}
	}
	assert_int_equal(seen[BLKIF_BAD_GRANT], 0);
	for (int r = 0; r < BLKIF_REFUSALS; r++)
		if (r != BLKIF_BAD_GRANT)
			assert_in_range(seen[r], 500,
			                300000); /* every verdict was really exercised */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(against_slow_oracle)};

	return cmocka_run_group_tests_name("request_random", tests, NULL, NULL);
}
