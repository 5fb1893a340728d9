/* SPDX-License-Identifier: MIT */
/* Group rings: who is told when. The library's own waiting, which writes rsp_event, is kept out. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "front/conform/case.h"

/* Connected, nothing in flight, no event left over from before. */
static void quiet(struct cf *c)
{
	struct xenblkfront_request r;

	cf_connect(c, NULL);
	r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading");
	while (xenblkfront_await_event(c->f, CF_QUIET_MS / 2) > 0)
		cf_ms(c, 1);
}

static struct xenblkfront_indices indices(struct cf *c)
{
	struct xenblkfront_indices i;

	cf_must(c, xenblkfront_get_indices(c->f, &i), "looking at the ring");
	return i;
}

static void send_read(struct cf *c)
{
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);

	cf_queue(c, &r);
	cf_kick(c);
}

/* Looks, and asks for no event. */
static void until_rsp_prod(struct cf *c, uint32_t value)
{
	uint64_t end = clock_ns() + (uint64_t)cf_ms(c, 10000) * NS_PER_MS;

	while (indices(c).rsp_prod != value) {
		if (clock_ns() > end)
			cf_fail(c, "expected rsp_prod %u, saw %u", value, indices(c).rsp_prod);
		nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS / 2}, NULL);
	}
}

static void want_event(struct cf *c, const char *what)
{
	int rc = xenblkfront_await_event(c->f, cf_ms(c, (int)(c->o->disk.timeout_ms ?: 10000)));

	if (!cf_must(c, rc, "waiting for an event"))
		cf_fail(c, "%s: expected an event, saw none", what);
}

static void want_no_event(struct cf *c, const char *what)
{
	if (cf_must(c, xenblkfront_await_event(c->f, CF_QUIET_MS), "waiting for no event"))
		cf_fail(c, "%s: expected no event, saw one", what);
}

static void event_when_asked(struct cf *c)
{
	quiet(c);
	uint32_t at = indices(c).rsp_prod;
	cf_must(c, xenblkfront_set_rsp_event(c->f, at + 1), "writing rsp_event");
	send_read(c);
	want_event(c, "rsp_event one ahead, one response");
	if (indices(c).rsp_prod != at + 1)
		cf_fail(c,
		        "expected the response to be there when its event comes, saw rsp_prod %u",
		        indices(c).rsp_prod);
}

static void event_every_time(struct cf *c)
{
	quiet(c);
	for (unsigned i = 0; i < 50; i++) {
		uint32_t at = indices(c).rsp_prod;
		cf_must(c, xenblkfront_set_rsp_event(c->f, at + 1), "writing rsp_event");
		send_read(c);
		want_event(c, "one of 50 responses, rsp_event one ahead");
		until_rsp_prod(c, at + 1);
		struct xenblkfront_response rsp;
		cf_must(c, xenblkfront_reap(c->f, &rsp, 1, 0), "taking the response");
	}
}

static void no_event_unasked(struct cf *c)
{
	quiet(c);
	uint32_t at = indices(c).rsp_prod;
	cf_must(c, xenblkfront_set_rsp_event(c->f, at + 1000), "writing rsp_event");
	send_read(c);
	until_rsp_prod(c, at + 1);
	want_no_event(c, "rsp_event 1000 ahead, one response");
}

static void event_at_third(struct cf *c)
{
	quiet(c);
	uint32_t at = indices(c).rsp_prod;
	cf_must(c, xenblkfront_set_rsp_event(c->f, at + 3), "writing rsp_event");
	for (unsigned i = 0; i < 2; i++) {
		send_read(c);
		until_rsp_prod(c, at + 1 + i);
	}
	send_read(c);
	want_event(c, "rsp_event three ahead, three responses");
	if (indices(c).rsp_prod != at + 3)
		cf_fail(c, "expected 3 responses with the event, saw %u", indices(c).rsp_prod - at);
}

/* All answered together, if the back end likes: the one that was asked for is among them. */
static void event_within_batch(struct cf *c)
{
	struct xenblkfront_response rsp[16];

	quiet(c);
	for (uint32_t n = 1; n <= 16; n++) {
		uint32_t at = indices(c).rsp_prod;
		cf_must(c, xenblkfront_set_rsp_event(c->f, at + n), "writing rsp_event");
		for (unsigned i = 0; i < 16; i++) {
			struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, i, 1);
			cf_queue(c, &r);
		}
		cf_kick(c);
		want_event(c, "16 requests at once, rsp_event at one of them");
		until_rsp_prod(c, at + 16);
		cf_collect(c, 16, rsp);
		while (xenblkfront_await_event(c->f, 0) > 0)
			;
	}
}

static void none_before_third(struct cf *c)
{
	quiet(c);
	uint32_t at = indices(c).rsp_prod;
	cf_must(c, xenblkfront_set_rsp_event(c->f, at + 3), "writing rsp_event");
	for (unsigned i = 0; i < 2; i++) {
		send_read(c);
		until_rsp_prod(c, at + 1 + i);
	}
	want_no_event(c, "rsp_event three ahead, two responses");
}

static void req_event_rearmed(struct cf *c)
{
	struct xenblkfront_indices i;

	quiet(c);
	uint64_t end = clock_ns() + (uint64_t)cf_ms(c, 10000) * NS_PER_MS;
	/* It may look on for a while before it sleeps. */
	for (;;) {
		i = indices(c);
		if (i.req_event == i.req_prod + 1)
			return;
		if (clock_ns() > end)
			cf_fail(c,
			        "expected an idle back end to ask for an event at request %u "
			        "(req_event), saw %u",
			        i.req_prod + 1, i.req_event);
		nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
	}
}

/* The back end slept in between, however long it likes to look on. */
static void wakes_after_pause(struct cf *c)
{
	quiet(c);
	for (unsigned i = 0; i < 3; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
		nanosleep(&(struct timespec){.tv_nsec = CF_QUIET_MS * (long)NS_PER_MS}, NULL);
		cf_want(c, &r, BLKIF_RSP_OKAY, "reading after a pause");
	}
}

static void spurious_events(struct cf *c)
{
	quiet(c);
	uint32_t at = indices(c).rsp_prod;
	for (unsigned i = 0; i < 20; i++)
		cf_must(c, xenblkfront_notify(c->f), "sending an event");
	nanosleep(&(struct timespec){.tv_nsec = CF_QUIET_MS * (long)NS_PER_MS}, NULL);
	if (indices(c).rsp_prod != at)
		cf_fail(c, "expected no response to events without a request, saw %u",
		        indices(c).rsp_prod - at);
	cf_works(c, "after events without a request");
}

/* One event for many, and what was pushed quietly is found with it. */
static void one_event_for_many(struct cf *c)
{
	struct xenblkfront_response rsp[16];

	quiet(c);
	for (unsigned i = 0; i < 15; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		cf_queue(c, &r);
		cf_must(c, xenblkfront_push(c->f), "pushing");
	}
	send_read(c);
	cf_must(c, xenblkfront_notify(c->f), "sending an event");
	cf_collect(c, 16, rsp);
	for (unsigned i = 0; i < 16; i++)
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 16 requests, one event");
}

const struct conform_case conform_events[] = {
    {"event-when-asked",
     "ring.h: Notification hold-off, RING_PUSH_RESPONSES_AND_CHECK_NOTIFY: rsp_event reached",
     event_when_asked},
    {"event-every-time", "ring.h: Notification hold-off, RING_FINAL_CHECK_FOR_RESPONSES",
     event_every_time},
    {"no-event-unasked",
     "convention: blkif.h lets notifications be conditional on rsp_event; all back ends in use do, "
     "and Linux's front end counts others as spurious (XSA-391)",
     no_event_unasked},
    {"event-at-third-response",
     "ring.h: Notification hold-off: the event field set for batches, rsp_event = rsp_cons + 3",
     event_at_third},
    {"event-within-a-batch",
     "ring.h: RING_PUSH_RESPONSES_AND_CHECK_NOTIFY: rsp_event anywhere between old and new",
     event_within_batch},
    {"no-event-before-third-response",
     "convention: as no-event-unasked; rsp_event = rsp_cons + 3, two responses", none_before_third},
    {"req-event-rearmed",
     "blkif.h: Front->back notifications: back ends must set req_event appropriately; ring.h: "
     "RING_FINAL_CHECK_FOR_REQUESTS",
     req_event_rearmed},
    {"wakes-after-a-pause", "ring.h: RING_FINAL_CHECK_FOR_REQUESTS, before sleeping",
     wakes_after_pause},
    {"spurious-events-harmless",
     "convention: an event is a hint; the ring says what there is (XSA-332)", spurious_events},
    {"one-event-for-many-requests",
     "ring.h: RING_PUSH_REQUESTS: everything before req_prod is there to be taken",
     one_event_for_many},
    {0},
};
