/* SPDX-License-Identifier: MIT */
/* Group hostile: a ring that lies. After each case the runner demands a fresh connection that
 * serves the right data; most cases ask for no more than that. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "front/conform/case.h"

static void pause_quietly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = CF_QUIET_MS * (long)NS_PER_MS}, NULL);
}

static void one_read(struct cf *c)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);

	cf_want(c, &r, BLKIF_RSP_OKAY, "reading, before the attack");
}

static void fill_with_reads(struct cf *c)
{
	for (unsigned i = 0; i < c->info.ring_slots; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * (i % 64), i, 1);
		cf_queue(c, &r);
	}
}

/* req_prod jumps by number over what was consumed. */
static void req_prod_jumps(struct cf *c)
{
	cf_connect(c, NULL);
	one_read(c);
	xenblkfront_poke_req_prod(c->f, 1 + c->at->number);
	pause_quietly();
}

static void req_prod_jumps_in_flight(struct cf *c)
{
	cf_connect(c, NULL);
	fill_with_reads(c);
	cf_kick(c);
	xenblkfront_poke_req_prod(c->f, c->info.ring_slots + 5);
	pause_quietly();
}

static void overflow_stops(struct cf *c)
{
	struct xenblkfront_indices i;

	cf_connect(c, NULL);
	one_read(c);
	xenblkfront_poke_req_prod(c->f, 1 + c->info.ring_slots + 1);
	pause_quietly();
	cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	if (i.rsp_prod != 1)
		cf_fail(c, "req_prod more than a ring ahead: expected no response, saw %u",
		        i.rsp_prod - 1);
}

static void rsp_prod_overwritten(struct cf *c)
{
	struct xenblkfront_indices i;

	/* There is no call for that: rsp_prod belongs to the back end. A queue that was pushed and
	 * then taken back does the same to who trusts the shared copy. */
	cf_connect(c, NULL);
	fill_with_reads(c);
	cf_kick(c);
	xenblkfront_poke_req_prod(c->f, 0);
	pause_quietly();
	cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	if (i.rsp_prod > c->info.ring_slots)
		cf_fail(c, "expected at most %u responses, saw %u", c->info.ring_slots, i.rsp_prod);
}

/* Deterministic noise. */
static uint32_t noise(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 8;
}

/* Slots of noise; operations that could harm the rest of the disk are left out: this suite owns it,
 * but the next case wants to find its data. */
static void garbage_slots(struct cf *c)
{
	uint8_t slot[XENBLKFRONT_SLOT_MAX];
	struct xenblkfront_response rsp[32];
	uint32_t x = 1;

	cf_connect(c, NULL);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 32; i++) {
			for (unsigned k = 0; k < sizeof slot; k++)
				slot[k] = (uint8_t)noise(&x);
			slot[0] %= 8;
			cf_must(c, xenblkfront_queue_raw(c->f, slot), "putting noise on the ring");
		}
		cf_kick(c);
		cf_collect(c, 32, rsp);
	}
}

/* Requests that change while they are looked at: each slot flips between a good and a bad one. */
static void slots_change(struct cf *c)
{
	uint8_t good[XENBLKFRONT_SLOT_MAX], bad[XENBLKFRONT_SLOT_MAX];
	struct xenblkfront_response rsp[32];
	struct xenblkfront_indices i;
	uint32_t base = 0;

	cf_connect(c, NULL);
	for (unsigned round = 0; round < 50; round++, base += 32) {
		fill_with_reads(c);
		cf_must(c, xenblkfront_get_slot(c->f, base, good), "looking at a slot");
		memset(bad, 0xff, sizeof bad);
		memcpy(bad + 4, good + 4, 12); /* the id, in either layout */
		cf_kick(c);
		do {
			for (unsigned k = 0; k < 32; k++)
				xenblkfront_set_slot(c->f, base + k, k % 2 ? bad : good);
			cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
			cf_ms(c, 1);
		} while (i.rsp_prod == base);
		/* Responses may be overwritten by us as well: their number is what counts. */
		cf_collect(c, 32, rsp);
	}
}

static void event_storm(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 5000; i++)
		cf_must(c, xenblkfront_notify(c->f), "sending an event");
	cf_works(c, "after 5000 events");
}

static void wild_rsp_event(struct cf *c)
{
	static const uint32_t values[] = {0, 0x7fffffff, 0x80000000, 0xffffffff, 1, 2};
	struct xenblkfront_indices i;

	cf_connect(c, NULL);
	for (unsigned k = 0; k < 30; k++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
		struct xenblkfront_response rsp;
		cf_must(c, xenblkfront_set_rsp_event(c->f, values[k % 6]), "writing rsp_event");
		cf_queue(c, &r);
		cf_kick(c);
		do {
			xenblkfront_await_event(c->f, cf_ms(c, 1));
			cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
		} while (i.rsp_prod != k + 1);
		cf_must(c, xenblkfront_reap(c->f, &rsp, 1, 0), "taking the response");
		cf_check_status(c, &rsp, BLKIF_RSP_OKAY, "reading with a wild rsp_event");
	}
}

static void revoke(struct cf *c, const uint32_t *refs, unsigned n)
{
	int rc = xenblkfront_revoke(c->f, refs, n);

	if (rc == -ENOTSUP)
		cf_skip(c, "a real Xen does not revoke grants");
	cf_must(c, rc, "revoking grants");
}

static void revoked_in_flight(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	cf_connect(c, NULL);
	fill_with_reads(c);
	cf_kick(c);
	revoke(c, c->ref, CF_PAGES);
	cf_collect(c, 32, rsp); /* each is answered, this way or that */
}

static void ring_revoked(struct cf *c)
{
	char text[32];
	uint64_t ref = 0;

	cf_connect(c, NULL);
	one_read(c);
	cf_must(c, xenblkfront_read_key(c->f, "ring-ref", text, sizeof text), "reading our key");
	for (const char *p = text; *p; p++)
		ref = ref * 10 + (uint64_t)(*p - '0');
	revoke(c, (const uint32_t[]){(uint32_t)ref}, 1);
	/* A mapped page stays mapped: it goes on, or it ends. */
	fill_with_reads(c);
	cf_kick(c);
	pause_quietly();
}

static void vanish(struct cf *c)
{
	cf_connect(c, NULL);
	fill_with_reads(c);
	cf_kick(c);
	cf_abandon(c);
}

static void vanish_quietly(struct cf *c)
{
	cf_connect(c, NULL);
	cf_abandon(c);
}

static void closed_in_flight(struct cf *c)
{
	cf_connect(c, NULL);
	fill_with_reads(c);
	cf_kick(c);
	cf_state(c, XS_CLOSED);
	cf_wait(c, CF_STATE(XS_CLOSED), "after Closed with a full ring in flight");
}

static void indirect_garbage(struct cf *c)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_INDIRECT};
	struct xenblkfront_response rsp[32];
	uint32_t x = 7;

	cf_connect(c, NULL);
	for (unsigned i = 0; i < CF_PAGES * CF_PAGE; i++)
		c->mem[i] = (uint8_t)noise(&x);
	for (unsigned i = 0; i < 32; i++) {
		r.inner_op = (uint8_t)(i % 4 ? BLKIF_OP_READ : noise(&x));
		r.nr_segments = (uint16_t)(i % 2 ? noise(&x) : noise(&x) % 300);
		for (unsigned k = 0; k < 8; k++)
			r.indirect[k] = k % 3 ? c->ref[k] : noise(&x);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++)
		if (rsp[i].status == BLKIF_RSP_OKAY)
			cf_fail(c, "an indirect request of noise: expected no OKAY, saw OKAY");
}

#define OVERFLOW "ring.h: RING_REQUEST_PROD_OVERFLOW: ill-behaved front end; the host must bear it"
#define BEAR "convention: whatever a guest does, the disk can be connected again afterwards"

const struct conform_case conform_hostile_ring[] = {
    {"req-prod-one-over", OVERFLOW, req_prod_jumps, 33},
    {"req-prod-far-ahead", OVERFLOW, req_prod_jumps, 0x40000000},
    {"req-prod-half-way-round", OVERFLOW, req_prod_jumps, 0x80000000},
    {"req-prod-backwards", OVERFLOW, req_prod_jumps, 0xffffffff},
    {"req-prod-over-in-flight", OVERFLOW, req_prod_jumps_in_flight},
    {"req-prod-taken-back", OVERFLOW, rsp_prod_overwritten},
    {"req-prod-overflow-stops-the-ring",
     "convention: xen-blkback halts the ring on RING_REQUEST_PROD_OVERFLOW (QEMU and tapdisk do "
     "not "
     "look)",
     overflow_stops},
    {"slots-of-noise", "blkif.h: struct blkif_response: every request is answered", garbage_slots},
    {"slots-change-in-flight", "ring.h: RING_COPY_REQUEST: a local copy (XSA-155)", slots_change},
    {"event-storm", BEAR " (XSA-332)", event_storm},
    {"wild-rsp-event", "ring.h: RING_PUSH_RESPONSES_AND_CHECK_NOTIFY: any value of rsp_event",
     wild_rsp_event},
    {"indirect-noise", "blkif.h: struct blkif_request_indirect; or not offered", indirect_garbage},
    {"revoked-in-flight", "blkif.h: struct blkif_response: every request is answered",
     revoked_in_flight},
    {"ring-revoked", BEAR, ring_revoked},
    {"vanishes-in-flight", BEAR, vanish},
    {"vanishes-idle", BEAR, vanish_quietly},
    {"closed-in-flight", BEAR " (XSA-350)", closed_in_flight},
    {0},
};
