/* SPDX-License-Identifier: MIT */
/* Group segments: which bytes of which page go where, and what is not a segment. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define SECTOR 512u
#define AT 512u /* sectors: where these cases work */

static void eleven(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 11, 20);
	cf_check(c, AT, 11, 20, "reading 11 segments");
}

static void every_count(struct cf *c)
{
	cf_connect_rw(c, NULL);
	for (unsigned n = 1; n <= 11; n++) {
		cf_put(c, AT, n, 20 + n);
		cf_check(c, AT, n, 20 + n, "reading 1 to 11 segments");
	}
}

/* seg[] has no more than 11: what follows is not looked at. */
static void too_many(struct cf *c)
{
	char what[64];

	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, c->at->number);
	snprintf(what, sizeof what, "reading %u segments", c->at->number);
	cf_want(c, &r, BLKIF_RSP_ERROR, what);
}

static void none(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, (uint8_t)c->at->number, AT, 0, 0);
	cf_want(c, &r, BLKIF_RSP_ERROR, "a request of 0 segments");
}

/* first and last of the only segment are those of the case: number = first << 8 | last. */
static void no_range(struct cf *c)
{
	char what[64];

	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	r.seg[0].first = (uint8_t)(c->at->number >> 8);
	r.seg[0].last = (uint8_t)c->at->number;
	snprintf(what, sizeof what, "reading sectors %u to %u of a page", r.seg[0].first,
	         r.seg[0].last);
	cf_want(c, &r, BLKIF_RSP_ERROR, what);
}

static void no_range_among_good(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 5);
	r.seg[3].last = 8;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading five segments, the fourth beyond its page");
}

/* One segment of these sectors (number = first << 8 | last), there and back. */
static void part_of_page(struct cf *c)
{
	unsigned first = c->at->number >> 8, last = c->at->number & 0xff, n = last - first + 1;

	cf_connect_rw(c, NULL);
	cf_want_sector_512(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 1);
	r.seg[0].first = (uint8_t)first;
	r.seg[0].last = (uint8_t)last;
	cf_fill(c->mem, CF_PAGE, 1);
	cf_fill(c->mem + first * SECTOR, n * SECTOR, 2);
	cf_want(c, &r, BLKIF_RSP_OKAY, "writing part of a page");
	r.op = BLKIF_OP_READ;
	memset(c->mem, 0xee, CF_PAGE);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading part of a page");
	cf_same(c, c->mem + first * SECTOR, n * SECTOR, 2, "the sectors asked for");
	cf_all(c, c->mem, first * SECTOR, 0xee, "the page before them");
	cf_all(c, c->mem + (last + 1) * SECTOR, (7 - last) * SECTOR, 0xee, "the page after them");
}

/* Written, then read into the start of a page: it is the right part of the page that arrived. */
static void right_part_is_written(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_want_sector_512(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 1);
	r.seg[0].first = 3;
	r.seg[0].last = 5;
	cf_fill(c->mem, CF_PAGE, 3);
	cf_fill(c->mem + 3 * SECTOR, 3 * SECTOR, 4);
	cf_want(c, &r, BLKIF_RSP_OKAY, "writing sectors 3 to 5 of a page");
	r = cf_rw(c, BLKIF_OP_READ, AT, 1, 1);
	r.seg[0].last = 2;
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading them to sectors 0 to 2");
	cf_same(c, c->mem + CF_PAGE, 3 * SECTOR, 4, "sectors 3 to 5 of the page");
}

static void neighbours_untouched(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_want_sector_512(c);
	for (unsigned i = 0; i < 3; i++) {
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + i, 0, 1);
		w.seg[0].last = 0;
		cf_fill(c->mem, SECTOR, 30 + i);
		cf_want(c, &w, BLKIF_RSP_OKAY, "writing a sector");
	}
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 1, 0, 1);
	w.seg[0].last = 0;
	cf_fill(c->mem, CF_PAGE, 33);
	cf_want(c, &w, BLKIF_RSP_OKAY, "writing the sector in the middle");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 1, 1);
	r.seg[0].last = 2;
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading three sectors");
	cf_same(c, c->mem + CF_PAGE, SECTOR, 30, "the sector before");
	cf_same(c, c->mem + CF_PAGE + SECTOR, SECTOR, 33, "the sector in the middle");
	cf_same(c, c->mem + CF_PAGE + 2 * SECTOR, SECTOR, 32, "the sector after");
}

/* Pieces of 1, 2, … sectors at odd places: together one run on the disk. */
static void pieces(struct cf *c)
{
	static const uint8_t first[] = {7, 2, 0, 5, 1}, last[] = {7, 3, 7, 5, 4};
	struct xenblkfront_request r;
	uint8_t *to = c->mem;
	unsigned sectors = 0;

	cf_connect_rw(c, NULL);
	cf_want_sector_512(c);
	r = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 5);
	for (unsigned i = 0; i < 5; i++) {
		unsigned n = last[i] - first[i] + 1u;
		r.seg[i].first = first[i];
		r.seg[i].last = last[i];
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1);
		cf_fill(c->mem + i * CF_PAGE + first[i] * SECTOR, n * SECTOR, 40 + i);
		sectors += n;
	}
	cf_want(c, &r, BLKIF_RSP_OKAY, "writing pieces of five pages");
	r = cf_rw(c, BLKIF_OP_READ, AT, 10, 2);
	r.seg[1].last = (uint8_t)(sectors - 9);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading them in one piece");
	to = c->mem + 10 * CF_PAGE;
	for (unsigned i = 0; i < 5; i++) {
		unsigned n = last[i] - first[i] + 1u;
		cf_same(c, to, n * SECTOR, 40 + i, "one of the pieces, in their order");
		to += n * SECTOR;
	}
}

static void order_of_descriptors(struct cf *c)
{
	struct xenblkfront_request r;

	cf_connect_rw(c, NULL);
	for (unsigned i = 0; i < 4; i++)
		cf_put(c, AT + 8 * i, 1, 50 + i);
	r = cf_rw(c, BLKIF_OP_READ, AT, 0, 4);
	for (unsigned i = 0; i < 4; i++)
		r.seg[i].gref = c->ref[13 - 3 * i];
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading into pages in falling order");
	for (unsigned i = 0; i < 4; i++)
		cf_same(c, c->mem + (13 - 3 * i) * CF_PAGE, CF_PAGE, 50 + i,
		        "one of the pages, in falling order");
}

static void same_page_written_twice(struct cf *c)
{
	cf_connect_rw(c, NULL);
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 3);
	w.seg[2].gref = w.seg[0].gref;
	cf_fill(c->mem, CF_PAGE, 60);
	cf_fill(c->mem + CF_PAGE, CF_PAGE, 61);
	cf_want(c, &w, BLKIF_RSP_OKAY, "writing one page to two places");
	cf_check(c, AT, 1, 60, "the first place");
	cf_check(c, AT + 8, 1, 61, "the page between");
	cf_check(c, AT + 16, 1, 60, "the second place");
}

static void same_page_read_in_halves(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_want_sector_512(c);
	cf_put(c, AT, 1, 62);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 5, 2);
	r.seg[1].gref = r.seg[0].gref;
	r.seg[0].last = 3;
	r.seg[1].first = 4;
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading two halves into one page");
	cf_same(c, c->mem + 5 * CF_PAGE, CF_PAGE, 62, "the page");
}

static void same_page_in_two_requests(struct cf *c)
{
	struct xenblkfront_response rsp[8];

	cf_connect_rw(c, NULL);
	cf_fill(c->mem, CF_PAGE, 63);
	for (unsigned i = 0; i < 8; i++) {
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, 0, 1);
		cf_queue(c, &w);
	}
	cf_kick(c);
	cf_collect(c, 8, rsp);
	for (unsigned i = 0; i < 8; i++)
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 8 writes of one page");
	for (unsigned i = 0; i < 8; i++)
		cf_check(c, AT + 8 * i, 1, 63, "one of 8 places");
}

static void spare_descriptors_ignored(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	for (unsigned i = 1; i < XENBLKFRONT_SEGS; i++)
		r.seg[i] = (struct xenblkfront_seg){0xffffffff, 255, 9};
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading 1 segment with nonsense in the other descriptors");
}

static void readonly_page_is_written(struct cf *c)
{
	uint32_t ref;
	void *page;

	cf_connect_rw(c, NULL);
	cf_must(c, xenblkfront_alloc(c->f, 1, false, &page, &ref), "granting a read-only page");
	cf_fill(page, CF_PAGE, 64);
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 1);
	w.seg[0].gref = ref;
	cf_want(c, &w, BLKIF_RSP_OKAY, "writing from a page granted read-only");
	cf_check(c, AT, 1, 64, "what was written");
}

static void readonly_page_is_not_read_into(struct cf *c)
{
	uint32_t ref;
	void *page;

	cf_connect(c, NULL);
	cf_must(c, xenblkfront_alloc(c->f, 1, false, &page, &ref), "granting a read-only page");
	memset(page, 0x77, CF_PAGE);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	r.seg[0].gref = ref;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading into a page granted read-only");
	cf_all(c, page, CF_PAGE, 0x77, "that page");
}

static void sector_unaligned(struct cf *c)
{
	cf_connect(c, NULL);
	if (c->info.sector_size == 512)
		cf_skip(c, "the disk's sector-size is 512: every sector is aligned");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT + 1, 0, 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading at a sector that is not aligned to sector-size");
}

static void segment_unaligned(struct cf *c)
{
	cf_connect(c, NULL);
	if (c->info.sector_size == 512)
		cf_skip(c, "the disk's sector-size is 512: every segment is aligned");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	r.seg[0].last = 0;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading one sector of 512 bytes");
}

static void units_of_512(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, 0, 11, 65);
	for (unsigned i = 0; i < 11; i++)
		cf_put(c, 8 * i, 1, 70 + i);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 11);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading 11 pages from sector 0");
	for (unsigned i = 0; i < 11; i++)
		cf_same(c, c->mem + i * CF_PAGE, CF_PAGE, 70 + i,
		        "a page that was written at 8 sectors a page");
}

#define SEG "blkif.h: struct blkif_request_segment"
#define RANGE(first, last) ((first) << 8 | (last))

const struct conform_case conform_segments[] = {
    {"eleven-segments", "blkif.h: BLKIF_MAX_SEGMENTS_PER_REQUEST", eleven},
    {"one-to-eleven-segments", "blkif.h: struct blkif_request: nr_segments", every_count},
    {"twelve-segments-refused", "blkif.h: BLKIF_MAX_SEGMENTS_PER_REQUEST", too_many, 12},
    {"255-segments-refused", "blkif.h: BLKIF_MAX_SEGMENTS_PER_REQUEST", too_many, 255},
    {"read-of-0-segments-refused",
     "convention: a read or write without data is an error (xen-blkback, QEMU)", none,
     BLKIF_OP_READ},
    {"write-of-0-segments-refused",
     "convention: a read or write without data is an error (xen-blkback, QEMU)", none,
     BLKIF_OP_WRITE},
    {"first-beyond-last-refused", SEG ": first_sect and last_sect, both inclusive", no_range,
     RANGE(4, 3)},
    {"last-8-refused", SEG ": last sector in frame", no_range, RANGE(0, 8)},
    {"last-255-refused", SEG ": last sector in frame", no_range, RANGE(0, 255)},
    {"first-8-last-8-refused", SEG ": first sector in frame", no_range, RANGE(8, 8)},
    {"bad-range-among-good-refused", SEG ": last sector in frame", no_range_among_good},
    {"single-sector", SEG ": both inclusive", part_of_page, RANGE(0, 0)},
    {"last-sector-of-page", SEG ": both inclusive", part_of_page, RANGE(7, 7)},
    {"middle-of-page", SEG ": both inclusive", part_of_page, RANGE(2, 4)},
    {"from-first-3", SEG ": first sector in frame to transfer", part_of_page, RANGE(3, 7)},
    {"right-part-is-written", SEG ": first sector in frame to transfer", right_part_is_written},
    {"neighbour-sectors-untouched", SEG ": sectors of 512 bytes", neighbours_untouched},
    {"pieces-follow-each-other",
     "blkif.h: struct blkif_request: sector_number is where seg[0] "
     "starts; the others follow",
     pieces},
    {"order-of-descriptors", "blkif.h: struct blkif_request: seg", order_of_descriptors},
    {"same-page-written-twice", SEG ": gref; nothing forbids naming it twice",
     same_page_written_twice},
    {"same-page-read-in-halves", SEG ": gref; nothing forbids naming it twice",
     same_page_read_in_halves},
    {"same-page-in-many-requests", SEG ": gref; nothing forbids naming it twice",
     same_page_in_two_requests},
    {"spare-descriptors-ignored", "blkif.h: struct blkif_request: nr_segments",
     spare_descriptors_ignored},
    {"readonly-grant-is-written-from",
     "blkif.h: Note 8: without persistent grants they may be mapped read-only for writes; "
     "grant_table.h: GTF_readonly",
     readonly_page_is_written},
    {"readonly-grant-is-not-read-into", "grant_table.h: GTF_readonly",
     readonly_page_is_not_read_into},
    {"unaligned-sector-refused",
     "blkif.h (4.20): struct blkif_request: sector_number must be aligned to sector-size",
     sector_unaligned},
    {"unaligned-segment-refused",
     "blkif.h (4.20): struct blkif_request_segment: offset and size aligned to sector-size",
     segment_unaligned},
    {"sectors-are-512-bytes",
     "blkif.h (4.20): sector_number, first_sect, last_sect in units of 512 bytes, whatever "
     "sector-size (QEMU, FreeBSD: units of sector-size)",
     units_of_512},
    {0},
};
