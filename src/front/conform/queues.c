/* SPDX-License-Identifier: MIT */
/* Groups rings and ordering: several queues. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 2048u /* sectors: where these cases work */

static unsigned most(struct cf *c)
{
	uint64_t max = 1;

	cf_open(c, NULL);
	cf_back_number(c, "multi-queue-max-queues", UINT32_MAX, &max);
	if (max < 2)
		cf_skip(c, "not offered: multi-queue-max-queues");
	return max < 16 ? (unsigned)max : 16;
}

static void each_works(struct cf *c, unsigned n)
{
	for (unsigned q = 0; q < n; q++) {
		char when[48];
		snprintf(when, sizeof when, "in queue %u of %u", q, n);
		cf_select(c, q);
		cf_works(c, when);
	}
}

static void two(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	each_works(c, 2);
}

static void all(struct cf *c)
{
	unsigned n = most(c);

	cf_connect_queues(c, n, NULL);
	each_works(c, n);
}

static void larger_rings(struct cf *c)
{
	struct xenblkfront_response rsp[64];
	uint64_t max = 0;

	cf_open(c, NULL);
	cf_back_number(c, "max-ring-page-order", UINT32_MAX, &max);
	if (!max)
		cf_skip(c, "not offered: max-ring-page-order");
	cf_connect_queues(c, 2, CF_OPTIONS(.ring_order = 1));
	for (unsigned q = 0; q < 2; q++) {
		cf_select(c, q);
		for (unsigned i = 0; i < 64; i++) {
			struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
			cf_queue(c, &r);
		}
		cf_kick(c);
		cf_collect(c, 64, rsp);
		for (unsigned i = 0; i < 64; i++)
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "one of 64 requests");
	}
	each_works(c, 2);
}

static void x86_32(struct cf *c)
{
	cf_connect_queues(c, 2, CF_OPTIONS(.abi = "x86_32"));
	each_works(c, 2);
}

static void all_full(struct cf *c)
{
	struct xenblkfront_response rsp[32];
	unsigned n = most(c);

	cf_connect_queues(c, n, NULL);
	uint64_t first = c->next_id;
	for (unsigned q = 0; q < n; q++) {
		cf_select(c, q);
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
			cf_queue(c, &r);
		}
		cf_kick(c);
	}
	for (unsigned q = 0; q < n; q++) {
		cf_select(c, q);
		cf_collect(c, 32, rsp);
		for (unsigned i = 0; i < 32; i++) {
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "a request in a full queue");
			if ((rsp[i].id - first) / 32 != q)
				cf_fail(c,
				        "expected the responses of queue %u's requests in it, "
				        "saw one of queue %llu",
				        q, (unsigned long long)(rsp[i].id - first) / 32);
		}
	}
}

static void event_of_its_own(struct cf *c)
{
	struct xenblkfront_request r;

	cf_connect_queues(c, 2, NULL);
	cf_select(c, 1);
	r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading in queue 1");
	while (xenblkfront_await_event(c->f, CF_QUIET_MS / 2) > 0)
		cf_ms(c, 1);
	cf_must(c, xenblkfront_set_rsp_event(c->f, 2), "writing rsp_event");
	cf_queue(c, &r);
	cf_kick(c);
	if (!cf_must(c, xenblkfront_await_event(c->f, cf_ms(c, 10000)), "waiting for an event"))
		cf_fail(c, "expected an event at the port of queue 1 for its response, saw none");
}

static void fewer_after_more(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	each_works(c, 2);
	cf_disconnect(c);
	cf_connect(c, NULL);
	cf_works(c, "with one queue after two");
	cf_disconnect(c);
	cf_connect_queues(c, 2, NULL);
	each_works(c, 2);
}

static void errors_apart(struct cf *c)
{
	struct xenblkfront_request bad;

	cf_connect_queues(c, 2, NULL);
	cf_select(c, 1);
	bad = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 12);
	for (unsigned i = 0; i < 32; i++)
		cf_queue(c, &bad);
	cf_kick(c);
	cf_select(c, 0);
	cf_works(c, "in queue 0 while queue 1 has bad requests");
}

static void reset_of_two(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	each_works(c, 2);
	cf_abandon(c);
	cf_connect(c, NULL);
	cf_works(c, "after a reset of a disk with two queues");
}

#define MQ "blkif.h: Multiple hardware queues/rings"

const struct conform_case conform_queues[] = {
    {"two-queues-serve", MQ, two},
    {"all-queues-serve", MQ ": up to multi-queue-max-queues", all},
    {"queues-of-two-pages", MQ ": together with multi-page rings", larger_rings},
    {"queues-x86_32", MQ "; protocol", x86_32},
    {"all-queues-full", MQ ": responses come in the request's ring", all_full},
    {"event-of-its-own-queue", MQ ": an event-channel for each", event_of_its_own},
    {"fewer-queues-after-more", MQ "; STATE DIAGRAMS: parameters of this connection",
     fewer_after_more},
    {"bad-requests-in-one-queue", "blkif.h: struct blkif_response: a status for each request",
     errors_apart},
    {"reset-of-two-queues", "convention: kexec, with two queues", reset_of_two},
    {0},
};

/* ---- ordering ---- */

static void seen_in_others(struct cf *c)
{
	cf_connect_queues(c, 2, NULL);
	if (c->info.info & VDISK_READONLY)
		cf_skip(c, "the disk is read-only");
	for (unsigned i = 0; i < 16; i++) {
		cf_select(c, i % 2);
		cf_put(c, AT, 2, 900 + i);
		cf_select(c, 1 - i % 2);
		cf_check(c, AT, 2, 900 + i, "reading in one queue what the other one wrote");
	}
}

static void flush_in_another(struct cf *c)
{
	struct xenblkfront_request flush = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	cf_connect_queues(c, 2, NULL);
	if (c->info.info & VDISK_READONLY)
		cf_skip(c, "the disk is read-only");
	if (!c->info.flush)
		cf_skip(c, "not offered: feature-flush-cache");
	cf_put(c, AT, 4, 920);
	cf_select(c, 1);
	cf_want_optional(c, &flush, "a flush in queue 1 after a write in queue 0");
	cf_check(c, AT, 4, 920, "what was written in queue 0 before a flush in queue 1");
}

/* Writes, a barrier, writes in queue 1, while queue 0 is full of reads. */
static void barrier_in_its_queue(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	cf_connect_queues(c, 2, NULL);
	if (c->info.info & VDISK_READONLY)
		cf_skip(c, "the disk is read-only");
	if (!c->info.barrier)
		cf_skip(c, "not offered: feature-barrier");
	for (unsigned round = 0; round < 5; round++) {
		cf_select(c, 0);
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
			cf_queue(c, &r);
		}
		cf_kick(c);
		cf_select(c, 1);
		uint64_t barrier = c->next_id + 10;
		for (unsigned i = 0; i < 21; i++) {
			struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
			if (i == 10)
				w.op = BLKIF_OP_WRITE_BARRIER;
			cf_queue(c, &w);
		}
		cf_kick(c);
		cf_collect(c, 21, rsp);
		if (rsp[10].id != barrier)
			cf_fail(c, "10 writes, a barrier, 10 writes in queue 1: expected the "
			           "barrier's response as number 11, saw another one there");
		cf_select(c, 0);
		cf_collect(c, 32, rsp);
	}
}

const struct conform_case conform_queue_order[] = {
    {"write-seen-in-other-queues", MQ ": it is one disk", seen_in_others},
    {"flush-in-another-queue", "blkif.h: BLKIF_OP_FLUSH_DISKCACHE: the device's cache",
     flush_in_another},
    {"barrier-in-its-queue",
     "convention: a barrier orders its own queue (xen-blkback); blkif.h: BLKIF_OP_WRITE_BARRIER",
     barrier_in_its_queue},
    {0},
};
