/* SPDX-License-Identifier: MIT */
/* Group operations: discard. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 1536u /* sectors: where these cases work; 2 MiB are theirs at most */

static struct xenblkfront_request discard(uint64_t sector, uint64_t count)
{
	return (struct xenblkfront_request){
	    .op = BLKIF_OP_DISCARD, .sector = sector, .nr_sectors = count};
}

static void connect_discard(struct cf *c)
{
	cf_connect_rw(c, NULL);
	if (!c->info.discard)
		cf_skip(c, "not offered: feature-discard");
}

static void want_refused(struct cf *c, uint64_t sector, uint64_t count, const char *what)
{
	struct xenblkfront_request r = discard(sector, count);
	struct xenblkfront_response rsp = cf_ask(c, &r);

	if (rsp.status == BLKIF_RSP_OKAY)
		cf_fail(c, "%s: expected ERROR, saw OKAY", what);
}

static void part(struct cf *c)
{
	connect_discard(c);
	cf_put(c, AT, 11, 90);
	struct xenblkfront_request r = discard(AT, 88);
	cf_want_optional(c, &r, "discarding 88 sectors");
}

static void neighbours(struct cf *c)
{
	connect_discard(c);
	cf_put(c, AT, 1, 91);
	cf_put(c, AT + 8, 4, 92);
	cf_put(c, AT + 40, 1, 93);
	struct xenblkfront_request r = discard(AT + 8, 32);
	cf_want_optional(c, &r, "discarding 32 sectors");
	cf_check(c, AT, 1, 91, "the page before the discarded range");
	cf_check(c, AT + 40, 1, 93, "the page after the discarded range");
}

static void whole_disk(struct cf *c)
{
	connect_discard(c);
	if (c->info.sectors > 1ull << 26)
		cf_skip(c, "the disk is larger than 32 GiB: it might take too long");
	struct xenblkfront_request r = discard(0, c->info.sectors);
	cf_want_optional(c, &r, "discarding the whole disk");
	cf_works(c, "after the whole disk was discarded");
}

static void written_again(struct cf *c)
{
	connect_discard(c);
	cf_put(c, AT, 4, 94);
	struct xenblkfront_request r = discard(AT, 32);
	cf_want_optional(c, &r, "discarding 32 sectors");
	cf_put(c, AT, 4, 95);
	cf_check(c, AT, 4, 95, "what was written over a discarded range");
}

static void at_the_end(struct cf *c)
{
	connect_discard(c);
	struct xenblkfront_request r = discard(c->info.sectors - 8, 8);
	cf_want_optional(c, &r, "discarding the last 8 sectors");
}

static void beyond_the_end(struct cf *c)
{
	connect_discard(c);
	want_refused(c, c->info.sectors, 8, "discarding 8 sectors beyond the end");
}

static void across_the_end(struct cf *c)
{
	connect_discard(c);
	cf_put(c, c->info.sectors - 8, 1, 96);
	want_refused(c, c->info.sectors - 8, 16, "discarding 16 sectors, 8 of them beyond the end");
	cf_check(c, c->info.sectors - 8, 1, 96, "the page before the end");
}

static void wraps(struct cf *c)
{
	connect_discard(c);
	cf_put(c, 0, 1, 97);
	want_refused(c, 8, UINT64_MAX - 7, "discarding 8 + (2^64 - 8) sectors");
	want_refused(c, UINT64_MAX - 7, 16, "discarding 16 sectors at 2^64 - 8");
	cf_check(c, 0, 1, 97, "the first page of the disk");
}

static void zero_sectors(struct cf *c)
{
	connect_discard(c);
	cf_put(c, AT, 1, 98);
	struct xenblkfront_request r = discard(AT, 0);
	struct xenblkfront_response rsp = cf_ask(c, &r);
	cf_check(c, AT, 1, 98, "the page at the sector of an empty discard");
	cf_note(c, "answered %s", cf_status(rsp.status));
}

static void secure(struct cf *c)
{
	connect_discard(c);
	if (!c->info.discard_secure)
		cf_skip(c, "not offered: discard-secure");
	struct xenblkfront_request r = discard(AT, 8);
	r.flag = BLKIF_DISCARD_SECURE;
	cf_want_optional(c, &r, "discarding 8 sectors securely");
}

static void secure_flag_ignored(struct cf *c)
{
	connect_discard(c);
	if (c->info.discard_secure)
		cf_skip(c, "discard-secure is offered");
	struct xenblkfront_request r = discard(AT, 8);
	cf_want_optional(c, &r, "discarding 8 sectors");
	r.flag = BLKIF_DISCARD_SECURE;
	cf_want(c, &r, BLKIF_RSP_OKAY, "the same with BLKIF_DISCARD_SECURE, which is not offered");
}

static void finer_than_granularity(struct cf *c)
{
	connect_discard(c);
	if (c->info.discard_granularity <= c->info.sector_size)
		cf_skip(c, "discard-granularity is one sector");
	uint32_t step = c->info.sector_size / 512;
	cf_put(c, AT, 1, 99);
	struct xenblkfront_request r = discard(AT + 8, step);
	struct xenblkfront_response rsp = cf_ask(c, &r);
	cf_check(c, AT, 1, 99, "the page before a discard of one sector");
	cf_note(c, "answered %s", cf_status(rsp.status));
}

static void op_echo(struct cf *c)
{
	cf_connect_rw(c, NULL);
	struct xenblkfront_request r = discard(AT, 8);
	struct xenblkfront_response rsp = cf_ask(c, &r);
	if (rsp.op != BLKIF_OP_DISCARD)
		cf_fail(c, "expected operation %u in the response, saw %u", BLKIF_OP_DISCARD,
		        rsp.op);
}

static void unoffered(struct cf *c)
{
	cf_connect_rw(c, NULL);
	if (c->info.discard)
		cf_skip(c, "it is offered");
	struct xenblkfront_request r = discard(AT, 8);
	cf_want(c, &r, BLKIF_RSP_EOPNOTSUPP, "a discard that is not offered");
}

static void among_reads(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	connect_discard(c);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r =
		    i % 4 ? cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1) : discard(AT + 8 * i, 8);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++)
		if (rsp[i].op == BLKIF_OP_READ)
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "a read among discards");
		else if (rsp[i].status != BLKIF_RSP_EOPNOTSUPP)
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "a discard among reads");
}

#define DISCARD "blkif.h: BLKIF_OP_DISCARD, struct blkif_request_discard"

const struct conform_case conform_discards[] = {
    {"discard-part", DISCARD, part},
    {"discard-leaves-neighbours", DISCARD ": the region that is no longer in use", neighbours},
    {"discard-whole-disk", DISCARD, whole_disk},
    {"discard-then-write", DISCARD ", BLKIF_OP_WRITE", written_again},
    {"discard-at-the-end", DISCARD, at_the_end},
    {"discard-beyond-the-end-refused", "blkif.h: sectors: there is no more", beyond_the_end},
    {"discard-across-the-end-refused", "blkif.h: sectors: there is no more", across_the_end},
    {"discard-that-wraps-refused", "blkif.h: sectors: there is no more, modulo nothing", wraps},
    {"discard-of-0-sectors",
     "convention: it throws nothing away; the status is left open (xen-blkback: ERROR or OKAY by "
     "kernel version)",
     zero_sectors},
    {"discard-secure", "blkif.h: discard-secure, BLKIF_DISCARD_SECURE", secure},
    {"secure-flag-ignored", "blkif.h: BLKIF_DISCARD_SECURE: ignored if discard-secure=0",
     secure_flag_ignored},
    {"discard-finer-than-granularity",
     "convention: it hits nothing beside it; blkif.h leaves open whether it is done or refused",
     finer_than_granularity},
    {"discard-op-echo", "blkif.h: struct blkif_response: operation, copied from request", op_echo},
    {"discard-not-offered",
     "convention: what is not offered is EOPNOTSUPP; blkif.h: feature-discard", unoffered},
    {"discards-among-reads", DISCARD, among_reads},
    {0},
};
