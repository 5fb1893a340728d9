/* SPDX-License-Identifier: MIT */
/* Groups negotiation and hostile: the keys of several queues. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

/* Two queues are offered, their keys not yet spoilt. */
static void offer_two(struct cf *c)
{
	uint64_t max = 1;

	cf_open(c, NULL);
	cf_back_number(c, "multi-queue-max-queues", UINT32_MAX, &max);
	if (max < 2)
		cf_skip(c, "not offered: multi-queue-max-queues");
	cf_offer(c, CF_OPTIONS(.queues = 2));
}

static void keys_below_queue_n(struct cf *c)
{
	char text[32];

	offer_two(c);
	/* That our side says what blkif.h says. */
	cf_must(c, xenblkfront_read_key(c->f, "queue-1/ring-ref", text, sizeof text),
	        "reading our key");
	if (xenblkfront_read_key(c->f, "ring-ref", text, sizeof text) != -ENOENT)
		cf_fail(c, "this tool wrote ring-ref in the root beside two queues: its own fault");
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	cf_works(c, "with two queues");
}

static void refused(struct cf *c)
{
	char what[100];

	offer_two(c);
	cf_key(c, c->at->key, c->at->value);
	cf_state(c, XS_INITIALISED);
	snprintf(what, sizeof what, "%s %s%s", c->at->value ? c->at->key : "no",
	         c->at->value ? "= " : "", c->at->value ?: c->at->key);
	cf_refused(c, what);
}

/* queue-1's key says what queue-0's does. */
static void shared(struct cf *c)
{
	char from[40], to[40], text[32];

	offer_two(c);
	snprintf(from, sizeof from, "queue-0/%s", c->at->key);
	snprintf(to, sizeof to, "queue-1/%s", c->at->key);
	cf_must(c, xenblkfront_read_key(c->f, from, text, sizeof text), "reading our key");
	cf_key(c, to, text);
	cf_state(c, XS_INITIALISED);
	xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES, cf_ms(c, CF_REFUSE_MS));
}

static void one_overflows(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	cf_select(c, 1);
	xenblkfront_poke_req_prod(c->f, 1000);
	xenblkfront_await_event(c->f, CF_QUIET_MS);
}

static void vanish(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	for (unsigned q = 0; q < 2; q++) {
		cf_select(c, q);
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
			cf_queue(c, &r);
		}
		cf_kick(c);
	}
	cf_abandon(c);
}

#define MQ "blkif.h: Multiple hardware queues/rings"
#define BEAR "convention: the disk can be connected again, whatever the keys were"

const struct conform_case conform_queue_keys[] = {
    {"two-queues-connect", MQ ": keys under queue-N", keys_below_queue_n},
    {"no-ring-ref-in-queue-1-refused", MQ ": ring-ref under queue-N", refused, 0,
     "queue-1/ring-ref", NULL},
    {"no-event-channel-in-queue-1-refused", MQ ": event-channel under queue-N", refused, 0,
     "queue-1/event-channel", NULL},
    {0},
};

const struct conform_case conform_hostile_queues[] = {
    {"queue-ring-ref-text", MQ ": ring-ref under queue-N", refused, 0, "queue-1/ring-ref", "abc"},
    {"queue-event-channel-negative", MQ ": event-channel under queue-N", refused, 0,
     "queue-1/event-channel", "-1"},
    {"queues-share-a-ring", BEAR, shared, 0, "ring-ref"},
    {"queues-share-a-port", BEAR, shared, 0, "event-channel"},
    {"one-queue-overflows", "ring.h: RING_REQUEST_PROD_OVERFLOW, in one of two queues",
     one_overflows},
    {"two-queues-vanish-in-flight", BEAR, vanish},
    {0},
};
