/* SPDX-License-Identifier: MIT */
/* Group rings: sizes, fullness, wrap-around, indices. */
#include <errno.h>
#include <string.h>

#include "front/conform/case.h"

/* n reads of one page each, whose responses must all be OKAY and each id come once. */
static void reads(struct cf *c, unsigned n, const char *what)
{
	struct xenblkfront_response rsp[CF_RING_MAX];
	bool seen[CF_RING_MAX] = {false};
	uint64_t first = c->next_id;

	for (unsigned i = 0; i < n; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * (i % 64), i, 1);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, n, rsp);
	for (unsigned i = 0; i < n; i++) {
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, what);
		if (rsp[i].id - first >= n || seen[rsp[i].id - first])
			cf_fail(c, "%s: expected each id from %#llx to %#llx once, saw %#llx%s",
			        what, (unsigned long long)first, (unsigned long long)first + n - 1,
			        (unsigned long long)rsp[i].id,
			        rsp[i].id - first < n ? " twice" : "");
		seen[rsp[i].id - first] = true;
	}
}

static void connect_order(struct cf *c, unsigned order, const char *abi)
{
	uint64_t max = 0;

	cf_open(c, NULL);
	cf_back_number(c, "max-ring-page-order", UINT32_MAX, &max);
	if (order > max)
		cf_skip(c, "not offered: max-ring-page-order is %llu", (unsigned long long)max);
	cf_connect(c, CF_OPTIONS(.ring_order = order, .abi = abi));
}

/* Full twice over, so that every slot has been used and the masks are right. */
static void order_serves(struct cf *c)
{
	connect_order(c, c->at->number, NULL);
	for (unsigned i = 0; i < 3; i++)
		reads(c, c->info.ring_slots, "reading with a full ring");
	cf_works(c, "after three rings full");
}

static void x86_32_order(struct cf *c)
{
	connect_order(c, 2, "x86_32");
	for (unsigned i = 0; i < 3; i++)
		reads(c, c->info.ring_slots, "reading with a full ring");
	cf_works(c, "after three rings full");
}

static void full_ring(struct cf *c)
{
	cf_connect(c, NULL);
	reads(c, 32, "reading with a full ring of 32");
}

static void index_wraps(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 320; i++)
		reads(c, 1, "one of 320 requests one after the other");
}

static void odd_batches_wrap(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 40; i++)
		reads(c, 1 + 7 * i % 32, "one of many batches of different sizes");
}

/* Each response makes room for a request: the ring is never empty. */
static void never_empty(struct cf *c)
{
	struct xenblkfront_response rsp[32];
	unsigned sent = 0, done = 0;

	cf_connect(c, NULL);
	while (done < 500) {
		while (sent < 500 && sent - done < 32) {
			struct xenblkfront_request r =
			    cf_rw(c, BLKIF_OP_READ, 8 * (sent % 64), sent, 1);
			cf_queue(c, &r);
			sent++;
		}
		cf_kick(c);
		int n = xenblkfront_reap(c->f, rsp, 32,
		                         cf_ms(c, (int)(c->o->disk.timeout_ms ?: 10000)));
		cf_must(c, n, "taking responses");
		for (int i = 0; i < n; i++)
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 500 requests");
		done += (unsigned)n;
	}
}

static void as_many_responses(struct cf *c)
{
	struct xenblkfront_indices i;

	cf_connect(c, NULL);
	reads(c, 32, "reading");
	reads(c, 5, "reading");
	/* For one too many to show. */
	xenblkfront_await_event(c->f, CF_QUIET_MS / 2);
	cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	if (i.req_prod != 37 || i.rsp_prod != 37)
		cf_fail(c, "after 37 requests: expected req_prod 37 and rsp_prod 37, saw %u and %u",
		        i.req_prod, i.rsp_prod);
}

/* What belongs to the front end. */
static void our_indices_untouched(struct cf *c)
{
	struct xenblkfront_indices i;

	cf_connect(c, NULL);
	cf_must(c, xenblkfront_set_rsp_event(c->f, 0x1234567), "writing rsp_event");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
	cf_queue(c, &r);
	cf_kick(c);
	do {
		xenblkfront_await_event(c->f, cf_ms(c, 2));
		cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	} while (i.rsp_prod == 0);
	if (i.req_prod != 1 || i.rsp_event != 0x1234567)
		cf_fail(c, "expected req_prod 1 and rsp_event %#x as we wrote them, saw %u and %#x",
		        0x1234567, i.req_prod, i.rsp_event);
}

/* Slots beyond req_prod do not count yet. */
static void not_beyond_req_prod(struct cf *c)
{
	struct xenblkfront_indices i;
	struct xenblkfront_response rsp;

	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
	cf_queue(c, &r);
	cf_kick(c);
	cf_queue(c, &r); /* on the ring, not pushed */
	cf_collect(c, 1, &rsp);
	xenblkfront_notify(c->f);
	xenblkfront_await_event(c->f, CF_QUIET_MS);
	cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	if (i.rsp_prod != 1)
		cf_fail(c, "expected one response to one pushed request, saw rsp_prod %u",
		        i.rsp_prod);
	cf_kick(c);
	cf_collect(c, 1, &rsp);
	cf_check_status(c, &rsp, BLKIF_RSP_OKAY, "the request that was pushed later");
}

#define ORDER_SOURCE                                                                            \
	"blkif.h: ring-page-order, ring-ref%u; ring.h: __RING_SIZE: as many entries as fit, a " \
	"power of two"

const struct conform_case conform_rings[] = {
    {"order-0-serves", "blkif.h: ring-ref; ring.h: __RING_SIZE: 32 entries", order_serves, 0},
    {"order-1-serves", ORDER_SOURCE, order_serves, 1},
    {"order-2-serves", ORDER_SOURCE, order_serves, 2},
    {"order-3-serves", ORDER_SOURCE, order_serves, 3},
    {"order-4-serves", ORDER_SOURCE, order_serves, 4},
    {"x86_32-order-2-serves",
     "blkif.h: protocol; ring.h: __RING_SIZE: 128 entries of 108 bytes in 4 pages", x86_32_order},
    {"full-ring", "ring.h: RING_FULL: all entries may be in flight", full_ring},
    {"index-wraps-over-ring",
     "ring.h: RING_SIZE, a power of two: entries are found by idx & (RING_SIZE - 1)", index_wraps},
    {"odd-batches-wrap",
     "ring.h: RING_SIZE, a power of two: entries are found by idx & (RING_SIZE - 1)",
     odd_batches_wrap},
    {"ring-never-empty", "ring.h: RING_FREE_REQUESTS: a response frees its entry", never_empty},
    {"as-many-responses-as-requests",
     "ring.h: RING_RESPONSE_PROD_OVERFLOW; blkif.h: struct blkif_response", as_many_responses},
    {"our-indices-untouched",
     "ring.h: RING_PUSH_RESPONSES, RING_FINAL_CHECK_FOR_REQUESTS: the "
     "back end writes rsp_prod and req_event only",
     our_indices_untouched},
    {"not-beyond-req-prod", "ring.h: XEN_RING_NR_UNCONSUMED_REQUESTS: up to req_prod",
     not_beyond_req_prod},
    {0},
};
