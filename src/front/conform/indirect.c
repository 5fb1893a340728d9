/* SPDX-License-Identifier: MIT */
/* Group segments: indirect requests, whose descriptors are in pages of their own. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define SECTOR 512u
#define AT 3584u /* sectors: where these cases work */

static void connect(struct cf *c, const char *abi)
{
	cf_connect_rw(c, CF_OPTIONS(.abi = abi));
	if (!c->info.max_indirect_segments)
		cf_skip(c, "not offered: feature-max-indirect-segments");
}

static void write_and_read(struct cf *c, unsigned n)
{
	struct xenblkfront_request w = cf_indirect(c, BLKIF_OP_WRITE, AT, 0, n, n);

	for (unsigned i = 0; i < n; i++)
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1000 + i);
	cf_want(c, &w, BLKIF_RSP_OKAY, "an indirect write");
	struct xenblkfront_request r = cf_indirect(c, BLKIF_OP_READ, AT, 0, n, n);
	memset(c->mem, 0xee, n * CF_PAGE);
	cf_want(c, &r, BLKIF_RSP_OKAY, "an indirect read");
	for (unsigned i = 0; i < n; i++)
		cf_same(c, c->mem + i * CF_PAGE, CF_PAGE, 1000 + i, "a page of an indirect read");
}

static void count(struct cf *c)
{
	connect(c, NULL);
	write_and_read(c, c->at->number);
}

static void layout_32(struct cf *c)
{
	connect(c, "x86_32");
	write_and_read(c, 20);
}

static void direct_reads_it(struct cf *c)
{
	connect(c, NULL);
	struct xenblkfront_request w = cf_indirect(c, BLKIF_OP_WRITE, AT, 0, 20, 20);
	for (unsigned i = 0; i < 20; i++)
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1100 + i);
	cf_want(c, &w, BLKIF_RSP_OKAY, "an indirect write of 20 segments");
	for (unsigned i = 0; i < 20; i++)
		cf_check(c, AT + 8 * i, 1, 1100 + i,
		         "reading directly what was written indirectly");
}

/* As many as are offered, or as the disk has room for. */
static void maximum(struct cf *c)
{
	connect(c, NULL);
	unsigned n = c->info.max_indirect_segments;
	if (n > 512)
		n = 512; /* several pages of descriptors: a case of its own */
	struct xenblkfront_request w = cf_indirect(c, BLKIF_OP_WRITE, AT, 0, 16, n);
	for (unsigned i = 0; i < 16; i++)
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1200 + i);
	cf_want(c, &w, BLKIF_RSP_OKAY, "an indirect write of all segments that are offered");
	for (unsigned i = 0; i < n; i += i < 16 ? 1 : 7)
		cf_check(c, AT + 8 * i, 1, 1200 + i % 16, "one of its pages");
	cf_check(c, AT + 8 * (n - 1), 1, 1200 + (n - 1) % 16, "its last page");
}

static void several_pages(struct cf *c)
{
	connect(c, NULL);
	unsigned n = 520;
	if (n > c->info.max_indirect_segments)
		cf_skip(c, "not offered: %u segments fit into one page of descriptors",
		        c->info.max_indirect_segments);
	if (c->info.sectors < 8 * n)
		cf_skip(c, "the disk is too small");
	struct xenblkfront_request w = cf_indirect(c, BLKIF_OP_WRITE, 0, 0, 16, n);
	for (unsigned i = 0; i < 16; i++)
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1300 + i);
	cf_want(c, &w, BLKIF_RSP_OKAY, "an indirect write of 520 segments");
	for (unsigned i = 500; i < n; i++)
		cf_check(c, 8 * i, 1, 1300 + i % 16, "one of its last pages");
}

static void op_echo(struct cf *c)
{
	connect(c, NULL);
	for (unsigned op = BLKIF_OP_READ; op <= BLKIF_OP_WRITE; op++) {
		struct xenblkfront_request r = cf_indirect(c, (uint8_t)op, AT, 0, 12, 12);
		struct xenblkfront_response rsp = cf_ask(c, &r);
		if (rsp.op != op)
			cf_fail(c, "expected the inner operation %u in the response, saw %u", op,
			        rsp.op);
	}
}

static void parts_of_pages(struct cf *c)
{
	connect(c, NULL);
	cf_want_sector_512(c);
	struct xenblkfront_request w = cf_indirect(c, BLKIF_OP_WRITE, AT, 0, 16, 16);
	for (unsigned i = 0; i < 16; i++) {
		uint8_t first = (uint8_t)(i % 8);
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1);
		cf_fill(c->mem + i * CF_PAGE + first * SECTOR, SECTOR, 1400 + i);
		cf_descriptor(c, &w, i, c->ref[i], first, first);
	}
	cf_want(c, &w, BLKIF_RSP_OKAY, "an indirect write of 16 single sectors");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 16, 2);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading them in two pages");
	for (unsigned i = 0; i < 16; i++)
		cf_same(c, c->mem + 16 * CF_PAGE + i * SECTOR, SECTOR, 1400 + i, "one of them");
}

static void spare_grefs_ignored(struct cf *c)
{
	connect(c, NULL);
	struct xenblkfront_request r = cf_indirect(c, BLKIF_OP_READ, AT, 0, 12, 12);
	for (unsigned i = 1; i < 8; i++)
		r.indirect[i] = 0xfffffff0 + i;
	cf_want(c, &r, BLKIF_RSP_OKAY, "an indirect read with nonsense in the spare references");
}

static void readonly_descriptors(struct cf *c)
{
	uint32_t ref;
	void *page;

	connect(c, NULL);
	struct xenblkfront_request r = cf_indirect(c, BLKIF_OP_READ, AT, 0, 12, 12);
	cf_must(c, xenblkfront_alloc(c->f, 1, false, &page, &ref), "granting a read-only page");
	memcpy(page, c->mem + 31 * CF_PAGE, CF_PAGE);
	r.indirect[0] = ref;
	cf_want(c, &r, BLKIF_RSP_OKAY, "an indirect read, its descriptors granted read-only");
}

static void in_flight(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	connect(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_indirect(c, BLKIF_OP_READ, AT, 0, 16, 16);
		r.sector = 8 * i;
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++)
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 32 indirect reads");
}

static void at_the_end(struct cf *c)
{
	connect(c, NULL);
	struct xenblkfront_request r =
	    cf_indirect(c, BLKIF_OP_READ, c->info.sectors - 8 * 16, 0, 16, 16);
	cf_want(c, &r, BLKIF_RSP_OKAY, "an indirect read of the last 128 sectors");
}

#define INDIRECT "blkif.h: BLKIF_OP_INDIRECT"

const struct conform_case conform_indirect[] = {
    {"indirect-1-segment", INDIRECT ": any number of segments", count, 1},
    {"indirect-11-segments", INDIRECT ": any number of segments", count, 11},
    {"indirect-12-segments", INDIRECT ": more than BLKIF_MAX_SEGMENTS_PER_REQUEST", count, 12},
    {"indirect-31-segments", INDIRECT, count, 31},
    {"indirect-maximum", INDIRECT ", feature-max-indirect-segments", maximum},
    {"indirect-several-pages", INDIRECT ": ceil(segments / 512) pages of descriptors",
     several_pages},
    {"indirect-x86_32", "blkif.h: struct blkif_request_indirect, protocol", layout_32},
    {"direct-reads-what-indirect-wrote", INDIRECT, direct_reads_it},
    {"indirect-op-echo",
     "convention: the response names the inner operation (xen-blkback, NetBSD; Linux's front end "
     "checks it)",
     op_echo},
    {"indirect-parts-of-pages", "blkif.h: struct blkif_request_segment", parts_of_pages},
    {"indirect-spare-references-ignored",
     INDIRECT ": the number of pages is determined by the number of segments", spare_grefs_ignored},
    {"indirect-readonly-descriptors", INDIRECT ": filled by the front end, only read by the other",
     readonly_descriptors},
    {"indirect-in-a-full-ring", INDIRECT "; ring.h: RING_FULL", in_flight},
    {"indirect-at-the-end", INDIRECT "; sectors", at_the_end},
    {0},
};
