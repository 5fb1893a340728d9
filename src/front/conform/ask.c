/* SPDX-License-Identifier: MIT */
/* What cases are written with: requests, their responses, and data. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "front/conform/case.h"

#define CHECK_FIRST 21 /* the pages of c->mem that cf_check reads into: the last 11 */

/* ---- requests ---- */

struct xenblkfront_request cf_rw(struct cf *c, uint8_t op, uint64_t sector, unsigned first,
                                 unsigned pages)
{
	struct xenblkfront_request r = {.op = op, .sector = sector, .nr_segments = (uint16_t)pages};

	for (unsigned i = 0; i < pages && i < XENBLKFRONT_SEGS; i++)
		r.seg[i] = (struct xenblkfront_seg){c->ref[(first + i) % CF_PAGES], 0, 7};
	return r;
}

uint64_t cf_queue(struct cf *c, const struct xenblkfront_request *req)
{
	uint64_t id = c->next_id++;

	cf_must(c, xenblkfront_queue(c->f, req, id), "putting a request on the ring");
	return id;
}

void cf_kick(struct cf *c)
{
	cf_must(c, xenblkfront_kick(c->f), "telling the back end");
}

void cf_collect(struct cf *c, unsigned n, struct xenblkfront_response *rsp)
{
	for (unsigned have = 0; have < n;) {
		int ms = cf_ms(c, (int)(c->o->disk.timeout_ms ?: 10000));
		int got = xenblkfront_reap(c->f, rsp + have, n - have, ms);
		if (got == -ETIMEDOUT)
			cf_ms(c, 1); /* if it was the whole case's time, that is said */
		if (got == -ETIMEDOUT)
			cf_fail(c, "expected %u responses, saw %u within %d ms", n, have, ms);
		have += (unsigned)cf_must(c, got, "taking responses");
	}
}

struct xenblkfront_response cf_ask(struct cf *c, const struct xenblkfront_request *req)
{
	struct xenblkfront_response rsp;
	uint64_t id = cf_queue(c, req);

	cf_kick(c);
	cf_collect(c, 1, &rsp);
	if (rsp.id != id)
		cf_fail(c, "expected a response with id %#llx, saw %#llx", (unsigned long long)id,
		        (unsigned long long)rsp.id);
	return rsp;
}

/* ---- indirect requests ---- */

#define PER_PAGE (CF_PAGE / 8) /* descriptors, blkif.h: BLKIF_OP_INDIRECT */

static unsigned descriptor_pages(unsigned n)
{
	return (n + PER_PAGE - 1) / PER_PAGE;
}

/* The last pages of c->mem, the first of them first. */
static unsigned descriptors_at(const struct xenblkfront_request *r)
{
	return CF_PAGES - descriptor_pages(r->nr_segments);
}

void cf_descriptor(struct cf *c, const struct xenblkfront_request *r, unsigned at, uint32_t gref,
                   uint8_t first, uint8_t last)
{
	uint8_t *d = c->mem + descriptors_at(r) * CF_PAGE + 8 * at;

	memcpy(d, &gref, 4);
	d[4] = first;
	d[5] = last;
	d[6] = d[7] = 0;
}

struct xenblkfront_request cf_indirect(struct cf *c, uint8_t inner_op, uint64_t sector,
                                       unsigned first, unsigned pages, unsigned n)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_INDIRECT,
	                                .inner_op = inner_op,
	                                .sector = sector,
	                                .nr_segments = (uint16_t)n};

	if (!c->info.max_indirect_segments)
		cf_skip(c, "not offered: feature-max-indirect-segments");
	if (n > c->info.max_indirect_segments)
		cf_skip(c, "not offered: feature-max-indirect-segments is %u",
		        c->info.max_indirect_segments);
	for (unsigned i = 0; i < n; i++)
		cf_descriptor(c, &r, i, c->ref[first + i % pages], 0, 7);
	for (unsigned i = 0; i < descriptor_pages(n); i++)
		r.indirect[i] = c->ref[descriptors_at(&r) + i];
	return r;
}

void cf_check_status(struct cf *c, const struct xenblkfront_response *rsp, int status,
                     const char *what)
{
	if (rsp->status != status)
		cf_fail(c, "%s: expected %s, saw %s (%d)", what, cf_status(status),
		        cf_status(rsp->status), rsp->status);
}

void cf_want(struct cf *c, const struct xenblkfront_request *req, int status, const char *what)
{
	struct xenblkfront_response rsp = cf_ask(c, req);

	cf_check_status(c, &rsp, status, what);
}

void cf_want_optional(struct cf *c, const struct xenblkfront_request *req, const char *what)
{
	struct xenblkfront_response rsp = cf_ask(c, req);

	if (rsp.status == BLKIF_RSP_EOPNOTSUPP)
		cf_skip(c, "%s: answered EOPNOTSUPP, which is allowed at any time", what);
	cf_check_status(c, &rsp, BLKIF_RSP_OKAY, what);
}

/* ---- data ---- */

static uint64_t word_at(uint64_t tag, uint64_t i)
{
	uint64_t x = (tag + 1) * 0x9e3779b97f4a7c15 + i * 0xbf58476d1ce4e5b9;

	x ^= x >> 29;
	return x * 0x94d049bb133111eb;
}

void cf_fill(void *buf, size_t length, uint64_t tag)
{
	for (size_t i = 0; i < length / 8; i++) {
		uint64_t w = word_at(tag, i);
		memcpy((uint8_t *)buf + 8 * i, &w, 8);
	}
}

void cf_same(struct cf *c, const void *buf, size_t length, uint64_t tag, const char *what)
{
	for (size_t i = 0; i < length / 8; i++) {
		uint64_t is, want = word_at(tag, i);
		memcpy(&is, (const uint8_t *)buf + 8 * i, 8);
		if (is != want)
			cf_fail(c, "%s: expected %#llx at byte %zu, saw %#llx", what,
			        (unsigned long long)want, 8 * i, (unsigned long long)is);
	}
}

void cf_all(struct cf *c, const void *buf, size_t length, uint8_t byte, const char *what)
{
	const uint8_t *b = buf;

	for (size_t i = 0; i < length; i++)
		if (b[i] != byte)
			cf_fail(c, "%s: expected %#x in byte %zu, saw %#x", what, byte, i, b[i]);
}

void cf_put(struct cf *c, uint64_t sector, unsigned pages, uint64_t tag)
{
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, sector, 0, pages);
	char what[64];

	snprintf(what, sizeof what, "writing %u sectors to %llu", 8 * pages,
	         (unsigned long long)sector);
	cf_fill(c->mem, pages * CF_PAGE, tag);
	cf_want(c, &w, BLKIF_RSP_OKAY, what);
}

void cf_check(struct cf *c, uint64_t sector, unsigned pages, uint64_t tag, const char *what)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, sector, CHECK_FIRST, pages);
	uint8_t *at = c->mem + CHECK_FIRST * CF_PAGE;

	memset(at, 0xee, pages * CF_PAGE);
	cf_want(c, &r, BLKIF_RSP_OKAY, what);
	cf_same(c, at, pages * CF_PAGE, tag, what);
}

void cf_answers(struct cf *c)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);

	cf_ask(c, &r);
}

void cf_works(struct cf *c, const char *when)
{
	/* Of its own each time, so that what an earlier one left cannot pass for it. */
	uint64_t tag = clock_ns();
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 4096, 0, 1);

	if (c->info.info & VDISK_READONLY) {
		cf_want(c, &r, BLKIF_RSP_OKAY, when);
		return;
	}
	cf_put(c, 4096, 1, tag);
	cf_check(c, 4096, 1, tag, when);
}
