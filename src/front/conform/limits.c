/* SPDX-License-Identifier: MIT */
/* Group limits: where the disk ends. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

static void want_read(struct cf *c, uint64_t sector, unsigned pages, int status, const char *what)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, sector, 0, pages);

	cf_want(c, &r, status, what);
}

static void want_write(struct cf *c, uint64_t sector, unsigned pages, int status, const char *what)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_WRITE, sector, 0, pages);

	cf_want(c, &r, status, what);
}

static void first_page(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, 0, 1, 700);
	cf_check(c, 0, 1, 700, "reading sector 0");
}

static void last_page_read(struct cf *c)
{
	cf_connect(c, NULL);
	want_read(c, c->info.sectors - 8, 1, BLKIF_RSP_OKAY, "reading the last 8 sectors");
}

static void last_page_written(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, c->info.sectors - 8, 1, 701);
	cf_check(c, c->info.sectors - 8, 1, 701, "reading the last 8 sectors");
}

static void last_sector(struct cf *c)
{
	struct xenblkfront_request r;

	cf_connect(c, NULL);
	cf_want_sector_512(c);
	r = cf_rw(c, BLKIF_OP_READ, c->info.sectors - 1, 0, 1);
	r.seg[0].last = 0;
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading the last sector");
}

static void one_beyond(struct cf *c)
{
	struct xenblkfront_request r;

	cf_connect(c, NULL);
	r = cf_rw(c, BLKIF_OP_READ, c->info.sectors, 0, 1);
	r.seg[0].last = (uint8_t)(c->info.sector_size / 512 - 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading the first sector beyond the end");
}

static void across_the_end_read(struct cf *c)
{
	cf_connect(c, NULL);
	want_read(c, c->info.sectors - 8, 2, BLKIF_RSP_ERROR,
	          "reading 16 sectors, 8 of them beyond the end");
}

static void across_the_end_written(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, c->info.sectors - 8, 1, 702);
	cf_fill(c->mem, 2 * CF_PAGE, 703);
	want_write(c, c->info.sectors - 8, 2, BLKIF_RSP_ERROR,
	           "writing 16 sectors, 8 of them beyond the end");
}

static void beyond_is_not_written(struct cf *c)
{
	cf_connect_rw(c, NULL);
	want_write(c, c->info.sectors, 1, BLKIF_RSP_ERROR, "writing beyond the end");
}

static void size_stays(struct cf *c)
{
	struct xenblkfront_info after;

	cf_connect_rw(c, NULL);
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, c->info.sectors, 0, 1);
	cf_ask(c, &w);
	cf_must(c, xenblkfront_get_info(c->f, &after), "reading the back end's keys");
	if (after.sectors != c->info.sectors)
		cf_fail(c, "expected %llu sectors after a write beyond the end, saw %llu",
		        (unsigned long long)c->info.sectors, (unsigned long long)after.sectors);
}

/* Numbers that would be small ones in 32 bits, in bytes, or after an addition. */
static void far_sector(struct cf *c)
{
	static const uint64_t sectors[] = {1ull << 54, 1ull << 55, 1ull << 63, UINT64_MAX - 7,
	                                   UINT64_MAX};
	uint64_t at = sectors[c->at->number];
	char what[64];

	cf_connect(c, NULL);
	if (at < c->info.sectors)
		cf_skip(c, "the disk is that large");
	at &= ~(uint64_t)(c->info.sector_size / 512 - 1);
	snprintf(what, sizeof what, "reading at sector %#llx", (unsigned long long)at);
	want_read(c, at, 1, BLKIF_RSP_ERROR, what);
}

static void far_write(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, 0, 1, 704);
	want_write(c, UINT64_MAX - 7, 2, BLKIF_RSP_ERROR, "writing 16 sectors at 2^64 - 8");
	cf_check(c, 0, 1, 704, "the first page, after a write that would wrap to it");
}

static void forty_four_k_at_end(struct cf *c)
{
	cf_connect(c, NULL);
	want_read(c, c->info.sectors - 88, 11, BLKIF_RSP_OKAY, "reading the last 88 sectors");
}

static void places_are_distinct(struct cf *c)
{
	cf_connect_rw(c, NULL);
	uint64_t step = (c->info.sectors - 8) / 15 & ~7ull;
	for (unsigned i = 0; i < 16; i++)
		cf_put(c, step * i, 1, 710 + i);
	for (unsigned i = 0; i < 16; i++)
		cf_check(c, step * i, 1, 710 + i, "one of 16 places over the whole disk");
}

#define END "blkif.h: sectors: the size of the disk"
#define WRAP "blkif.h: struct blkif_request: sector_number has 64 bits"

const struct conform_case conform_limits[] = {
    {"first-page", "blkif.h: struct blkif_request: sector_number", first_page},
    {"last-page-is-read", END, last_page_read},
    {"last-page-is-written", END, last_page_written},
    {"last-sector-is-read", "blkif.h (4.20): sectors, in units of 512 bytes", last_sector},
    {"one-beyond-refused", END ", in units of 512 bytes (4.20)", one_beyond},
    {"read-across-the-end-refused", END, across_the_end_read},
    {"write-across-the-end-refused", END, across_the_end_written},
    {"write-beyond-the-end-refused", END, beyond_is_not_written},
    {"size-stays", "blkif.h: sectors: no request changes it", size_stays},
    {"sector-2-54-refused", WRAP, far_sector, 0},
    {"sector-2-55-refused", WRAP "; times 512 it would wrap", far_sector, 1},
    {"sector-2-63-refused", WRAP "; times 512 it would wrap", far_sector, 2},
    {"sector-2-64-less-8-refused", WRAP "; with its length it would wrap", far_sector, 3},
    {"sector-2-64-less-1-refused", WRAP "; with its length it would wrap", far_sector, 4},
    {"write-that-wraps-refused", WRAP "; with its length it would wrap", far_write},
    {"44-kib-at-the-end", END, forty_four_k_at_end},
    {"places-are-distinct", END, places_are_distinct},
    {0},
};
