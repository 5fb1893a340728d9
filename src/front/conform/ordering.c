/* SPDX-License-Identifier: MIT */
/* Group ordering: what may overtake what, and that nothing gets lost or mixed up on the way. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 2048u /* sectors: where these cases work */

static void want_barrier(struct cf *c)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_WRITE_BARRIER};

	cf_connect_rw(c, NULL);
	if (!c->info.barrier)
		cf_skip(c, "not offered: feature-barrier");
	cf_want_optional(c, &r, "an empty barrier");
}

static void want_flush(struct cf *c)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	cf_connect_rw(c, NULL);
	if (!c->info.flush)
		cf_skip(c, "not offered: feature-flush-cache");
	cf_want_optional(c, &r, "an empty flush");
}

static void all_okay(struct cf *c, const struct xenblkfront_response *rsp, unsigned n,
                     const char *what)
{
	for (unsigned i = 0; i < n; i++)
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, what);
}

static void read_after_write(struct cf *c)
{
	cf_connect_rw(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		cf_put(c, AT, 1, 100 + i);
		cf_check(c, AT, 1, 100 + i, "reading what a request wrote that was answered");
	}
}

static void many_writes(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	cf_connect_rw(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 200 + i);
		cf_queue(c, &w);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	all_okay(c, rsp, 32, "one of 32 writes in flight");
	memset(c->mem, 0, CF_PAGES * CF_PAGE);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT + 8 * i, 31 - i, 1);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	all_okay(c, rsp, 32, "one of 32 reads in flight");
	for (unsigned i = 0; i < 32; i++)
		cf_same(c, c->mem + (31 - i) * CF_PAGE, CF_PAGE, 200 + i,
		        "one of 32 reads in flight");
}

/* Large and small ones, good and bad ones, as they come: the id says which it was. */
static void ids_name_requests(struct cf *c)
{
	struct xenblkfront_response rsp[32];
	uint64_t first;

	cf_connect(c, NULL);
	first = c->next_id;
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1 + i % 11);
		if (i % 3 == 0)
			r.sector = CF_FAR; /* an error, known at once */
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t which = rsp[i].id - first;
		if (which >= 32)
			cf_fail(c, "expected an id from %#llx on, saw %#llx",
			        (unsigned long long)first, (unsigned long long)rsp[i].id);
		cf_check_status(c, &rsp[i], which % 3 ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR,
		                which % 3 ? "a good request among bad ones"
		                          : "a bad request among good ones");
	}
}

static void duplicate_ids(struct cf *c)
{
	struct xenblkfront_response rsp[8];

	cf_connect(c, NULL);
	for (unsigned i = 0; i < 8; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		c->next_id = 0x5555;
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 8, rsp);
	for (unsigned i = 0; i < 8; i++) {
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 8 requests with one id");
		if (rsp[i].id != 0x5555)
			cf_fail(c, "expected id 0x5555, saw %#llx", (unsigned long long)rsp[i].id);
	}
}

/* ---- barriers ---- */

/* `before` writes, a barrier of one page, `after` writes: where the barrier's response is. */
static void barrier_among(struct cf *c, unsigned before, unsigned after)
{
	struct xenblkfront_response rsp[32];
	unsigned n = before + 1 + after;
	uint64_t first = c->next_id, barrier = first + before;

	for (unsigned i = 0; i < n; i++) {
		uint8_t op = i == before ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_WRITE;
		struct xenblkfront_request w = cf_rw(c, op, AT + 8 * i, i, 1);
		cf_queue(c, &w);
	}
	cf_kick(c);
	cf_collect(c, n, rsp);
	all_okay(c, rsp, n, "a write or the barrier between them");
	for (unsigned i = 0; i < n; i++) {
		bool early = i < before, is_early = rsp[i].id < barrier;
		if (i == before ? rsp[i].id != barrier : early != is_early)
			cf_fail(c,
			        "%u writes, a barrier, %u writes: expected the barrier's "
			        "response as number %u, saw a %s in place %u",
			        before, after, before + 1,
			        rsp[i].id == barrier ? "barrier"
			        : is_early           ? "write from before it"
			                             : "write from after it",
			        i + 1);
	}
}

static void barrier_after_writes(struct cf *c)
{
	want_barrier(c);
	for (unsigned i = 0; i < 10; i++)
		barrier_among(c, 20, 0);
}

static void barrier_before_writes(struct cf *c)
{
	want_barrier(c);
	for (unsigned i = 0; i < 10; i++)
		barrier_among(c, 0, 20);
}

static void barrier_in_full_ring(struct cf *c)
{
	want_barrier(c);
	for (unsigned i = 0; i < 10; i++)
		barrier_among(c, 15, 16);
}

/* All to one place: the last one must be there in the end. */
static void barriers_in_a_row(struct cf *c)
{
	struct xenblkfront_response rsp[16];

	want_barrier(c);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 16; i++) {
			struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE_BARRIER, AT, i, 1);
			cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 300 + 16 * round + i);
			cf_queue(c, &w);
		}
		cf_kick(c);
		cf_collect(c, 16, rsp);
		all_okay(c, rsp, 16, "one of 16 barriers in a row");
		cf_check(c, AT, 1, 300 + 16 * round + 15, "the place all 16 barriers wrote to");
	}
}

static void barrier_orders_data(struct cf *c)
{
	struct xenblkfront_response rsp[21];

	want_barrier(c);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 21; i++) {
			uint8_t op = i == 10 ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_WRITE;
			/* Two writes a place, one on each side. */
			struct xenblkfront_request w = cf_rw(c, op, AT + 8 * (i % 11), i, 1);
			cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 400 + 21 * round + i);
			cf_queue(c, &w);
		}
		cf_kick(c);
		cf_collect(c, 21, rsp);
		all_okay(c, rsp, 21, "a write or the barrier between them");
		for (unsigned i = 11; i < 21; i++)
			cf_check(c, AT + 8 * (i % 11), 1, 400 + 21 * round + i,
			         "a place written before and after a barrier");
	}
}

static void empty_barrier_orders(struct cf *c)
{
	struct xenblkfront_response rsp[21];

	want_barrier(c);
	for (unsigned round = 0; round < 5; round++) {
		uint64_t barrier = c->next_id + 10;
		for (unsigned i = 0; i < 21; i++) {
			struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
			if (i == 10)
				w = (struct xenblkfront_request){.op = BLKIF_OP_WRITE_BARRIER};
			cf_queue(c, &w);
		}
		cf_kick(c);
		cf_collect(c, 21, rsp);
		all_okay(c, rsp, 21, "a write or the empty barrier between them");
		if (rsp[10].id != barrier)
			cf_fail(c, "10 writes, an empty barrier, 10 writes: expected the barrier's "
			           "response as number 11, saw another one there");
	}
}

/* ---- flushes ---- */

static void flush_after_writes(struct cf *c)
{
	struct xenblkfront_request f = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	want_flush(c);
	for (unsigned i = 0; i < 4; i++)
		cf_put(c, AT + 8 * i, 1, 500 + i);
	cf_want(c, &f, BLKIF_RSP_OKAY, "a flush after four writes");
	for (unsigned i = 0; i < 4; i++)
		cf_check(c, AT + 8 * i, 1, 500 + i, "what was written before a flush");
}

static void flush_among_writes(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	want_flush(c);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 600 + i);
		if (i % 8 == 7)
			w = (struct xenblkfront_request){.op = BLKIF_OP_FLUSH_DISKCACHE};
		cf_queue(c, &w);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	all_okay(c, rsp, 32, "writes and flushes in flight together");
	for (unsigned i = 0; i < 32; i++)
		if (i % 8 != 7)
			cf_check(c, AT + 8 * i, 1, 600 + i, "a write among flushes");
}

static void many_flushes(struct cf *c)
{
	struct xenblkfront_request f = {.op = BLKIF_OP_FLUSH_DISKCACHE};
	struct xenblkfront_response rsp[32];

	want_flush(c);
	for (unsigned i = 0; i < 32; i++)
		cf_queue(c, &f);
	cf_kick(c);
	cf_collect(c, 32, rsp);
	all_okay(c, rsp, 32, "one of 32 flushes in flight");
}

#define BARRIER "blkif.h: BLKIF_OP_WRITE_BARRIER: "

const struct conform_case conform_ordering[] = {
    {"read-sees-answered-write", "blkif.h: BLKIF_RSP_OKAY: completed", read_after_write},
    {"many-writes-in-flight", "ring.h: RING_FULL: all entries may be in flight", many_writes},
    {"ids-name-the-requests", "blkif.h: struct blkif_response: id; responses come in any order",
     ids_name_requests},
    {"duplicate-ids-are-answered", "blkif.h: struct blkif_request: id, private guest value",
     duplicate_ids},
    {"barrier-after-writes", BARRIER "writes issued prior are completed prior",
     barrier_after_writes},
    {"barrier-before-writes", BARRIER "writes after it execute after its completion",
     barrier_before_writes},
    {"barrier-in-a-full-ring", BARRIER "both sides", barrier_in_full_ring},
    {"barriers-in-a-row", BARRIER "each one orders", barriers_in_a_row},
    {"barrier-orders-data", BARRIER "the later of two writes to a place is there in the end",
     barrier_orders_data},
    {"empty-barrier-orders", "convention: a barrier without segments orders as one with",
     empty_barrier_orders},
    {"flush-after-writes", "blkif.h: BLKIF_OP_FLUSH_DISKCACHE", flush_after_writes},
    {"flushes-among-writes", "blkif.h: BLKIF_OP_FLUSH_DISKCACHE: it takes nothing away",
     flush_among_writes},
    {"many-flushes", "blkif.h: BLKIF_OP_FLUSH_DISKCACHE", many_flushes},
    {0},
};
