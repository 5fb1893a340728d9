/* SPDX-License-Identifier: MIT */
/* Group negotiation: what the front end may write of its ring, and what it must not. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

static void offer_connects(struct cf *c, const char *when)
{
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	cf_works(c, when);
}

/* Renames our single page's key; returns nothing, the value stays. */
static void rename_ring_ref(struct cf *c, const char *to)
{
	struct xenblkfront_options one = {.order_key = !strcmp(to, "ring-ref")};
	const char *from = one.order_key ? "ring-ref0" : "ring-ref";
	char ref[32];

	cf_offer(c, &one);
	cf_must(c, xenblkfront_read_key(c->f, from, ref, sizeof ref), "reading our key");
	cf_key(c, from, NULL);
	cf_key(c, to, ref);
}

static void one_page_ring_ref(struct cf *c)
{
	cf_offer(c, NULL);
	offer_connects(c, "with ring-ref");
}

static void order_0_with_ring_ref(struct cf *c)
{
	rename_ring_ref(c, "ring-ref");
	offer_connects(c, "with ring-page-order 0 and ring-ref");
}

static void order_0_with_ring_ref0(struct cf *c)
{
	cf_offer(c, CF_OPTIONS(.order_key = true));
	offer_connects(c, "with ring-page-order 0 and ring-ref0");
}

static void num_queues_1_in_root(struct cf *c)
{
	cf_offer(c, NULL);
	cf_key(c, "multi-queue-num-queues", "1");
	offer_connects(c, "with multi-queue-num-queues 1 and keys in the root");
}

static void tolerated(struct cf *c)
{
	char when[80];

	cf_offer(c, NULL);
	cf_key(c, c->at->key, c->at->value);
	snprintf(when, sizeof when, "with %s = %s", c->at->key, c->at->value);
	offer_connects(c, when);
}

/* Units stay 512 bytes: the second of two pages is at sector 8. */
static void large_sector_size_ignored(struct cf *c)
{
	cf_offer(c, NULL);
	cf_key(c, "feature-large-sector-size", "1");
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	if (c->info.info & VDISK_READONLY)
		cf_skip(c, "the disk is read-only");
	cf_put(c, 0, 1, 1);
	cf_put(c, 8, 1, 2);
	cf_check(c, 0, 1, 1, "reading sector 0 with feature-large-sector-size 1");
	cf_check(c, 8, 1, 2, "reading sector 8 with feature-large-sector-size 1");
}

/* ---- what must not connect ---- */

static void refused_key(struct cf *c)
{
	char what[120];

	cf_offer(c, CF_OPTIONS(.ring_order = c->at->number));
	cf_key(c, c->at->key, c->at->value);
	cf_state(c, XS_INITIALISED);
	snprintf(what, sizeof what, "%s %s%s", c->at->value ? c->at->key : "no",
	         c->at->value ? "= " : "", c->at->value ?: c->at->key);
	cf_refused(c, what);
}

static void order_above_maximum(struct cf *c)
{
	char order[16], key[24], ref[32], what[64];
	uint64_t max = 0;

	cf_offer(c, CF_OPTIONS(.order_key = true));
	cf_back_number(c, "max-ring-page-order", 30, &max);
	/* The key alone would be refused for the references that are missing. */
	cf_must(c, xenblkfront_read_key(c->f, "ring-ref0", ref, sizeof ref), "reading our key");
	if (max + 1 > 6)
		cf_skip(c, "max-ring-page-order is %llu: too many pages to grant",
		        (unsigned long long)max);
	uint32_t refs[64];
	void *pages;
	unsigned n = 1u << (max + 1);
	cf_must(c, xenblkfront_alloc(c->f, n, true, &pages, refs), "granting pages");
	for (unsigned i = 1; i < n; i++) {
		snprintf(key, sizeof key, "ring-ref%u", i);
		snprintf(ref, sizeof ref, "%u", refs[i]);
		cf_key(c, key, ref);
	}
	snprintf(order, sizeof order, "%llu", (unsigned long long)max + 1);
	cf_key(c, "ring-page-order", order);
	cf_state(c, XS_INITIALISED);
	snprintf(what, sizeof what, "ring-page-order %s, above the maximum", order);
	/* The keys beyond what the library knows are removed by its next connect. */
	cf_refused(c, what);
}

static void refused_queues(struct cf *c)
{
	uint64_t max;
	char value[16], what[64];

	cf_offer(c, NULL);
	if (!cf_back_number(c, "multi-queue-max-queues", UINT32_MAX - 1, &max))
		cf_skip(c, "not offered: multi-queue-max-queues");
	snprintf(value, sizeof value, "%llu", c->at->number ? (unsigned long long)max + 1 : 0);
	cf_key(c, "multi-queue-num-queues", value);
	cf_state(c, XS_INITIALISED);
	snprintf(what, sizeof what, "multi-queue-num-queues %s of %llu", value,
	         (unsigned long long)max);
	cf_refused(c, what);
}

/* A back end that refused must take a better offer afterwards: without a new attach. */
static void mended_after_refusal(struct cf *c)
{
	cf_offer(c, NULL);
	cf_key(c, "event-channel", NULL);
	cf_state(c, XS_INITIALISED);
	cf_refused(c, "no event-channel");
	cf_offer(c, NULL);
	offer_connects(c, "after an offer that was refused");
}

const struct conform_case conform_keys[] = {
    {"one-page-with-ring-ref", "blkif.h: ring-ref, Note 6: a single page's reference is ring-ref",
     one_page_ring_ref},
    {"order-0-with-ring-ref",
     "blkif.h: ring-page-order (default 0), Note 6: a single page's reference is ring-ref, whether "
     "or not the order is written (xen-blkback up to 6.x falls back to it; QEMU wants ring-ref0)",
     order_0_with_ring_ref},
    {"order-0-with-ring-ref0",
     "convention: with ring-page-order written, ring-ref0 also for one page (xen-blkback, QEMU)",
     order_0_with_ring_ref0},
    {"num-queues-1-in-root",
     "blkif.h: Multiple hardware queues/rings: for one queue the usual keys are written as before",
     num_queues_1_in_root},
    {"feature-persistent-1", "blkif.h: feature-persistent (front end), Values 0/1", tolerated, 0,
     "feature-persistent", "1"},
    {"feature-persistent-0", "blkif.h: feature-persistent (front end), Values 0/1", tolerated, 0,
     "feature-persistent", "0"},
    {"feature-large-sector-size-ignored",
     "blkif.h: Note 12: back ends make no decisions based on feature-large-sector-size",
     large_sector_size_ignored},
    {"unknown-key-ignored",
     "convention: front ends write keys of their own (Windows: feature-surprise-remove, target-id)",
     tolerated, 0, "feature-surprise-remove", "1"},
    {"no-ring-ref-refused", "blkif.h: ring-ref: there is no ring without it", refused_key, 0,
     "ring-ref", NULL},
    {"no-event-channel-refused", "blkif.h: event-channel: there are no events without it",
     refused_key, 0, "event-channel", NULL},
    {"missing-ring-ref1-refused",
     "blkif.h: ring-ref%u: a list of as many nodes as there are ring pages", refused_key, 1,
     "ring-ref1", NULL},
    {"order-above-maximum-refused", "blkif.h: ring-page-order, Maximum Value: max-ring-page-order",
     order_above_maximum},
    {"unknown-protocol-refused",
     "convention: blkif.h lists XEN_IO_PROTO_ABI_* and no reaction to others (xen-blkback and "
     "tapdisk refuse, QEMU takes the native layout)",
     refused_key, 0, "protocol", "z80-abi"},
    {"num-queues-0-refused",
     "blkif.h: Multiple hardware queues/rings: the number must be greater than zero",
     refused_queues, 0},
    {"num-queues-above-maximum-refused",
     "blkif.h: Multiple hardware queues/rings: no more than multi-queue-max-queues", refused_queues,
     1},
    {"mended-after-refusal",
     "convention: Closed and Initialising bring a refused device back to InitWait (xenbus)",
     mended_after_refusal},
    {0},
};
