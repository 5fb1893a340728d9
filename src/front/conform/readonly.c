/* SPDX-License-Identifier: MIT */
/* Group operations: disks that must not be written. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 1536u /* sectors: where these cases try */

static void connect_readonly(struct cf *c)
{
	cf_connect(c, NULL);
	if (!(c->info.info & VDISK_READONLY))
		cf_skip(c, "the disk is not read-only");
}

static void readonly_reads(struct cf *c)
{
	connect_readonly(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 11);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading a read-only disk");
}

/* The operation with one page of data, which must change nothing. */
static void readonly_refuses(struct cf *c)
{
	char what[64];

	connect_readonly(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading a read-only disk");
	struct xenblkfront_request w = cf_rw(c, (uint8_t)c->at->number, AT, 1, 1);
	memset(c->mem + CF_PAGE, 0x5a, CF_PAGE);
	if (w.op == BLKIF_OP_DISCARD)
		w = (struct xenblkfront_request){.op = w.op, .sector = AT, .nr_sectors = 8};
	struct xenblkfront_response rsp = cf_ask(c, &w);
	snprintf(what, sizeof what, "operation %u on a read-only disk", w.op);
	/* What is not offered may be answered so. */
	if (w.op == BLKIF_OP_WRITE || rsp.status != BLKIF_RSP_EOPNOTSUPP)
		cf_check_status(c, &rsp, BLKIF_RSP_ERROR, what);
	r.seg[0].gref = c->ref[2];
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading again");
	if (memcmp(c->mem, c->mem + 2 * CF_PAGE, CF_PAGE))
		cf_fail(c, "%s: expected the disk as it was, saw it changed", what);
}

static void readonly_flushes(struct cf *c)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	connect_readonly(c);
	if (!c->info.flush)
		cf_skip(c, "not offered: feature-flush-cache");
	cf_want_optional(c, &r, "a flush without segments on a read-only disk");
}

#define READONLY "blkif.h: mode, VDISK_READONLY"

const struct conform_case conform_readonly[] = {
    {"readonly-disk-reads", READONLY, readonly_reads},
    {"readonly-disk-refuses-write", READONLY, readonly_refuses, BLKIF_OP_WRITE},
    {"readonly-disk-refuses-barrier", READONLY, readonly_refuses, BLKIF_OP_WRITE_BARRIER},
    {"readonly-disk-refuses-flush-with-data", READONLY, readonly_refuses, BLKIF_OP_FLUSH_DISKCACHE},
    {"readonly-disk-refuses-discard", READONLY, readonly_refuses, BLKIF_OP_DISCARD},
    {"readonly-disk-flushes", "blkif.h: feature-flush-cache: nothing is written by it",
     readonly_flushes},
    {0},
};
