/* SPDX-License-Identifier: MIT */
/* Group hostile: nonsense in the front end's keys. Where a ring cannot be had from them, the back
 * end must not be Connected; elsewhere it is enough that the disk can be connected again. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

/* at->key = at->value, offered; at->number: ring order. */
static void offer_nonsense(struct cf *c, char *what, size_t cap)
{
	cf_offer(c, CF_OPTIONS(.ring_order = c->at->number));
	cf_key(c, c->at->key, c->at->value);
	cf_state(c, XS_INITIALISED);
	snprintf(what, cap, "%s \"%s\"", c->at->key, c->at->value);
}

static void refused(struct cf *c)
{
	char what[120];

	offer_nonsense(c, what, sizeof what);
	cf_refused(c, what);
}

/* Connected or not: if it is, with the right data. */
static void borne(struct cf *c)
{
	char what[120];

	offer_nonsense(c, what, sizeof what);
	int state = xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES,
	                                     cf_ms(c, CF_REFUSE_MS));
	if (state == XS_CONNECTED)
		cf_note(c, "connected with %s", what);
}

static void queues_refused(struct cf *c)
{
	uint64_t max;
	char what[120];

	cf_open(c, NULL);
	if (!cf_back_number(c, "multi-queue-max-queues", UINT32_MAX, &max))
		cf_skip(c, "not offered: multi-queue-max-queues");
	offer_nonsense(c, what, sizeof what);
	cf_refused(c, what);
}

static void long_protocol(struct cf *c)
{
	char text[901];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	cf_offer(c, NULL);
	cf_key(c, "protocol", text);
	cf_state(c, XS_INITIALISED);
	xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES, cf_ms(c, CF_REFUSE_MS));
}

static void ref_repeated(struct cf *c)
{
	char ref[32];
	uint64_t max = 0;

	cf_offer(c, CF_OPTIONS(.order_key = true));
	cf_back_number(c, "max-ring-page-order", UINT32_MAX, &max);
	if (!max)
		cf_skip(c, "not offered: max-ring-page-order");
	cf_must(c, xenblkfront_read_key(c->f, "ring-ref0", ref, sizeof ref), "reading our key");
	cf_key(c, "ring-page-order", "1");
	cf_key(c, "ring-ref1", ref);
	cf_state(c, XS_INITIALISED);
	xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES, cf_ms(c, CF_REFUSE_MS));
}

/* A data page where the ring should be. */
static void ring_is_data(struct cf *c)
{
	void *page;
	uint32_t ref;
	char text[16];

	cf_offer(c, NULL);
	cf_must(c, xenblkfront_alloc(c->f, 1, true, &page, &ref), "granting a page");
	memset(page, 0xa5, CF_PAGE);
	snprintf(text, sizeof text, "%u", ref);
	cf_key(c, "ring-ref", text);
	cf_state(c, XS_INITIALISED);
	xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES, cf_ms(c, CF_REFUSE_MS));
}

static void ring_is_readonly(struct cf *c)
{
	void *page;
	uint32_t ref;
	char text[16];

	cf_offer(c, NULL);
	cf_must(c, xenblkfront_alloc(c->f, 1, false, &page, &ref), "granting a read-only page");
	snprintf(text, sizeof text, "%u", ref);
	cf_key(c, "ring-ref", text);
	cf_state(c, XS_INITIALISED);
	cf_refused(c, "a ring granted read-only");
}

static void keys_change_while_connected(struct cf *c)
{
	static const char *const keys[] = {"ring-ref", "event-channel", "protocol",
	                                   "ring-page-order", "multi-queue-num-queues"};
	static const char *const values[] = {"nonsense", "4294967295", "", "-1", NULL};

	cf_connect(c, NULL);
	for (unsigned i = 0; i < 25; i++)
		cf_key(c, keys[i / 5], values[i % 5]);
}

#define REF "blkif.h: ring-ref: <uint32_t>, a grant reference"
#define PORT "blkif.h: event-channel: <uint32_t>, an event channel"
#define ORDER                                                                                \
	"convention: a ring-page-order that is not a number is refused, or taken as absent " \
	"(xen-blkback); the disk can be connected again"
#define QUEUES "blkif.h: multi-queue-num-queues: greater than zero, no more than the maximum"
#define BEAR "convention: the disk can be connected again, whatever the keys were"
#define KEY(name, key, text, source, run)       \
	{                                       \
		name, source, run, 0, key, text \
	}

const struct conform_case conform_hostile_keys[] = {
    KEY("ring-ref-negative", "ring-ref", "-1", REF, refused),
    KEY("ring-ref-huge", "ring-ref", "18446744073709551616", REF, refused),
    KEY("ring-ref-text", "ring-ref", "abc", REF, refused),
    KEY("ring-ref-empty", "ring-ref", "", REF, refused),
    KEY("ring-ref-never-granted", "ring-ref", "4294967280", REF, refused),
    KEY("event-channel-negative", "event-channel", "-1", PORT, refused),
    KEY("event-channel-huge", "event-channel", "99999999999", PORT, refused),
    KEY("event-channel-text", "event-channel", "abc", PORT, refused),
    KEY("event-channel-empty", "event-channel", "", PORT, refused),
    KEY("event-channel-never-allocated", "event-channel", "4000000000", PORT, refused),
    KEY("event-channel-0", "event-channel", "0", PORT, refused),
    KEY("ring-page-order-negative", "ring-page-order", "-1", ORDER, borne),
    KEY("ring-page-order-huge", "ring-page-order", "4294967296", ORDER, borne),
    KEY("ring-page-order-text", "ring-page-order", "abc", ORDER, borne),
    KEY("ring-page-order-empty", "ring-page-order", "", ORDER, borne),
    KEY("ring-page-order-31", "ring-page-order", "31",
        "blkif.h: ring-page-order, Maximum Value: max-ring-page-order", refused),
    KEY("num-queues-negative", "multi-queue-num-queues", "-1", QUEUES, queues_refused),
    KEY("num-queues-huge", "multi-queue-num-queues", "4294967295", QUEUES, queues_refused),
    KEY("feature-persistent-negative", "feature-persistent", "-1", BEAR, borne),
    KEY("feature-persistent-huge", "feature-persistent", "99999999999", BEAR, borne),
    KEY("feature-persistent-text", "feature-persistent", "yes", BEAR, borne),
    KEY("feature-persistent-empty", "feature-persistent", "", BEAR, borne),
    KEY("protocol-empty", "protocol", "", BEAR, borne),
    KEY("protocol-other-case", "protocol", "X86_64-ABI", BEAR, borne),
    {"protocol-900-bytes", BEAR, long_protocol},
    {"ring-ref-repeated", BEAR " (xen-blkback connects: the guest's own loss)", ref_repeated},
    {"ring-ref-is-data", BEAR " (rsp_prod and req_prod of noise)", ring_is_data},
    {"ring-ref-readonly", "grant_table.h: GTF_readonly: responses cannot be written there",
     ring_is_readonly},
    {"keys-change-while-connected",
     BEAR " (xen-blkback does not read them again; one that does may take it for another ring)",
     keys_change_while_connected},
    {0},
};
