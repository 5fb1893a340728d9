/* SPDX-License-Identifier: MIT */
/* Group operations: read, write, flush, barrier, and what is none. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 1024u /* sectors: where these cases work */

static void write_then_read(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 1, 80);
	cf_check(c, AT, 1, 80, "reading what was written");
	cf_put(c, AT, 1, 81);
	cf_check(c, AT, 1, 81, "reading what was written over it");
}

static void read_changes_nothing(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 2, 82);
	for (unsigned i = 0; i < 3; i++)
		cf_check(c, AT, 2, 82, "reading it again");
}

static void write_leaves_page(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 1, 83);
	cf_same(c, c->mem, CF_PAGE, 83, "the page, after it was written from");
}

static void op_echo(struct cf *c)
{
	cf_connect(c, NULL);
	bool writes = !(c->info.info & VDISK_READONLY);
	for (unsigned op = BLKIF_OP_READ; op <= (writes ? BLKIF_OP_WRITE : BLKIF_OP_READ); op++) {
		struct xenblkfront_request r = cf_rw(c, (uint8_t)op, AT, 0, 1);
		struct xenblkfront_response rsp = cf_ask(c, &r);
		if (rsp.op != op)
			cf_fail(c, "expected operation %u in the response, saw %u", op, rsp.op);
	}
}

static void op_echo_of_others(struct cf *c)
{
	static const uint8_t ops[] = {BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_RESERVED_1, 7, 200, 255};

	cf_connect(c, NULL);
	for (size_t i = 0; i < sizeof ops; i++) {
		struct xenblkfront_request r = {.op = ops[i]};
		struct xenblkfront_response rsp = cf_ask(c, &r);
		if (rsp.op != ops[i])
			cf_fail(c, "expected operation %u in the response, saw %u", ops[i], rsp.op);
	}
}

static void id_echo(struct cf *c)
{
	static const uint64_t ids[] = {0, 1, 0x8000000000000000, UINT64_MAX, 42};

	cf_connect(c, NULL);
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
		c->next_id = ids[i];
		cf_want(c, &r, BLKIF_RSP_OKAY, "reading");
	}
}

/* ---- flush and barrier ---- */

static void want_offered(struct cf *c, uint8_t op)
{
	bool offered = op == BLKIF_OP_FLUSH_DISKCACHE ? c->info.flush : c->info.barrier;

	if (!offered)
		cf_skip(c, "not offered: %s",
		        op == BLKIF_OP_FLUSH_DISKCACHE ? "feature-flush-cache" : "feature-barrier");
}

static void empty(struct cf *c)
{
	struct xenblkfront_request r = {.op = (uint8_t)c->at->number};

	cf_connect(c, NULL);
	want_offered(c, r.op);
	cf_want_optional(c, &r, "a request without segments");
}

static void empty_ignores_sector(struct cf *c)
{
	struct xenblkfront_request r = {.op = (uint8_t)c->at->number, .sector = UINT64_MAX};

	cf_connect(c, NULL);
	want_offered(c, r.op);
	cf_want_optional(c, &r, "a request without segments, its sector -1");
}

static void with_data(struct cf *c)
{
	cf_connect_rw(c, NULL);
	want_offered(c, (uint8_t)c->at->number);
	struct xenblkfront_request r = cf_rw(c, (uint8_t)c->at->number, AT, 0, 3);
	cf_fill(c->mem, 3 * CF_PAGE, 84);
	cf_want_optional(c, &r, "a request with three pages");
	cf_check(c, AT, 3, 84, "reading what it wrote");
}

static void beyond_the_end(struct cf *c)
{
	cf_connect_rw(c, NULL);
	want_offered(c, (uint8_t)c->at->number);
	struct xenblkfront_request r = cf_rw(c, (uint8_t)c->at->number, c->info.sectors, 0, 1);
	if (cf_ask(c, &r).status == BLKIF_RSP_OKAY)
		cf_fail(c, "with data beyond the end: expected no OKAY, saw OKAY");
}

static void unoffered(struct cf *c)
{
	struct xenblkfront_request r = {.op = (uint8_t)c->at->number};
	char what[80];

	cf_connect(c, NULL);
	bool is_flush = r.op == BLKIF_OP_FLUSH_DISKCACHE;
	if (is_flush ? c->info.flush : c->info.barrier)
		cf_skip(c, "it is offered");
	snprintf(what, sizeof what, "a %s that is not offered", is_flush ? "flush" : "barrier");
	cf_want(c, &r, BLKIF_RSP_EOPNOTSUPP, what);
}

/* ---- no operation ---- */

static void unknown(struct cf *c)
{
	struct xenblkfront_request r;
	char what[40];

	cf_connect(c, NULL);
	r = cf_rw(c, (uint8_t)c->at->number, AT, 0, 1);
	snprintf(what, sizeof what, "operation %u", c->at->number);
	cf_want(c, &r, BLKIF_RSP_EOPNOTSUPP, what);
}

static void unknown_harmless(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 1, 85);
	cf_fill(c->mem, CF_PAGE, 86);
	for (unsigned op = 7; op < 256; op += 31) {
		struct xenblkfront_request r = cf_rw(c, (uint8_t)op, AT, 0, 1);
		if (cf_ask(c, &r).status == BLKIF_RSP_OKAY)
			cf_fail(c, "operation %u: expected no OKAY, saw OKAY", op);
	}
	cf_same(c, c->mem, CF_PAGE, 86, "the page, after operations that do not exist");
	cf_check(c, AT, 1, 85, "the disk, after operations that do not exist");
}

static void indirect_unoffered(struct cf *c)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_INDIRECT, .inner_op = BLKIF_OP_READ};

	cf_connect(c, NULL);
	if (c->info.max_indirect_segments)
		cf_skip(c, "it is offered");
	r.nr_segments = 1;
	r.indirect[0] = c->ref[0];
	cf_want(c, &r, BLKIF_RSP_EOPNOTSUPP, "an indirect request that is not offered");
}

#define FLUSH BLKIF_OP_FLUSH_DISKCACHE
#define BARRIER BLKIF_OP_WRITE_BARRIER
#define UNOFFERED                                                                               \
	"convention: what is not offered is EOPNOTSUPP (front ends then stop asking); blkif.h " \
	"leaves it open"
#define UNKNOWN                                                                                 \
	"convention: EOPNOTSUPP (xen-blkback, tapdisk, FreeBSD, NetBSD; QEMU: ERROR); blkif.h " \
	"has the status, and no rule for operations that it does not have"

const struct conform_case conform_operations[] = {
    {"write-then-read", "blkif.h: BLKIF_OP_READ, BLKIF_OP_WRITE", write_then_read},
    {"read-changes-nothing", "blkif.h: BLKIF_OP_READ", read_changes_nothing},
    {"write-leaves-the-page", "blkif.h: BLKIF_OP_WRITE", write_leaves_page},
    {"op-echo", "blkif.h: struct blkif_response: operation, copied from request", op_echo},
    {"op-echo-of-other-operations",
     "blkif.h: struct blkif_response: operation, copied from request", op_echo_of_others},
    {"id-echo", "blkif.h: struct blkif_response: id, copied from request", id_echo},
    {"flush-without-segments", "blkif.h: BLKIF_OP_FLUSH_DISKCACHE, feature-flush-cache", empty,
     FLUSH},
    {"flush-ignores-sector",
     "convention: the sector of a flush without segments means nothing; Linux's front end writes "
     "what it likes",
     empty_ignores_sector, FLUSH},
    {"flush-with-data",
     "convention: a flush with segments writes them (xen-blkback, QEMU, FreeBSD)", with_data,
     FLUSH},
    {"flush-beyond-the-end", "convention: a flush with segments is a write as to its range",
     beyond_the_end, FLUSH},
    {"flush-not-offered", UNOFFERED, unoffered, FLUSH},
    {"barrier-without-segments", "convention: an empty barrier only orders (Linux, Windows)", empty,
     BARRIER},
    {"barrier-ignores-sector", "convention: the sector of a barrier without segments means nothing",
     empty_ignores_sector, BARRIER},
    {"barrier-with-data", "blkif.h: BLKIF_OP_WRITE_BARRIER, feature-barrier", with_data, BARRIER},
    {"barrier-beyond-the-end", "blkif.h: BLKIF_OP_WRITE_BARRIER: it is a write", beyond_the_end,
     BARRIER},
    {"barrier-not-offered", UNOFFERED, unoffered, BARRIER},
    {"operation-4-unsupported", UNKNOWN "; BLKIF_OP_RESERVED_1 is reserved", unknown, 4},
    {"operation-7-unsupported", UNKNOWN, unknown, 7},
    {"operation-255-unsupported", UNKNOWN, unknown, 255},
    {"unknown-operations-harmless", "blkif.h: REQUEST CODES: these move no data", unknown_harmless},
    {"indirect-not-offered", UNOFFERED, indirect_unoffered},
    {0},
};
