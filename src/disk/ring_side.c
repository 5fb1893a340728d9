/* SPDX-License-Identifier: MIT */
/*
 * Between ring and requests: take, order, answer, publish. The order of stores to journal and ring
 * is the crash protocol; the journal's functions name the steps.
 */
#include <unistd.h>

#include "disk/crash.h"
#include "disk/invariants.h"

void queue_stop_ring(struct queue *q, const char *reason)
{
	uint64_t one = 1;

	if (q->stopped)
		return;
	journal_stop(&q->journal);
	/* The control thread reads it after the notice. */
	__atomic_store_n(&q->stopped, reason, __ATOMIC_RELEASE);
	if (write(q->c.notice_fd, &one, sizeof one) < 0) {
	}
}

/* By what the guest asks for, sound or not. After the journal's store: a worker that is killed in
 * between has counted too few, never one twice. */
static void count_taken(struct queue *q, const struct blkif_req *req)
{
	struct stats_queue *st = q->c.stats;
	uint8_t op = blkif_response_op(req);

	if (op == BLKIF_OP_READ)
		COUNT(st->rd_req, 1);
	else if (op == BLKIF_OP_WRITE)
		COUNT(st->wr_req, 1);
	else if (req->op == BLKIF_OP_FLUSH_DISKCACHE || req->op == BLKIF_OP_WRITE_BARRIER)
		COUNT(st->f_req, 1);
	else if (req->op == BLKIF_OP_DISCARD)
		COUNT(st->ds_req, 1);
}

static void put_taken(struct queue *q, struct request *r)
{
	r->tries = 0;
	r->due_ns = 0;
	fifo_put(&q->taken, r);
}

/* Copies, journals and decodes the next n requests. */
static void take_some(struct queue *q, uint32_t n)
{
	while (n--) {
		struct request *r = &q->request[q->free_slots[--q->nr_free]];
		blkif_ring_copy_req(&q->ring, (uint32_t)q->cons, q->journal.slot[r->slot].raw);
		journal_take(&q->journal, r->slot, q->cons);
		q->cons++;
		blkif_decode_req(q->ring.proto, q->journal.slot[r->slot].raw, &r->req);
		count_taken(q, &r->req);
		r->alone = r->suspect = r->replayed = false;
		put_taken(q, r);
	}
}

static uint32_t take_new(struct queue *q)
{
	uint32_t prod, n;

	if (q->stopped || __atomic_load_n(&q->stopping, __ATOMIC_ACQUIRE))
		return 0;
	prod = blkif_ring_req_prod(&q->ring);
	n = prod - (uint32_t)q->cons;
	/* A slot is free again only when its response was published: else the guest lies. */
	if (n > q->ring.slots - (uint32_t)(q->cons - q->pub)) {
		queue_stop_ring(q, "the front end's req_prod overran the ring");
		return 0;
	}
	MUST(q, n <= q->nr_free, "more requests to take than slots are free");
	take_some(q, n);
	return n;
}

uint32_t queue_take(struct queue *q)
{
	uint32_t n = take_new(q);

	/* Also what was taken before, and could not be accepted. */
	queue_accept(q);
	return n;
}

void queue_start_ready(struct queue *q)
{
	struct request *r;

	while ((r = q->waiting.head) && !q->alone_running && !(r->alone && q->inflight)) {
		/* In order: a large one that must wait is not overtaken for ever by small ones. */
		if (!request_prepare(q, r)) {
			if (!r->waited && !r->replayed)
				COUNT(q->c.stats->oo_req, 1);
			r->waited = true;
			return;
		}
		if (r->suspect && !shared_suspect_enter(q->c.shared, q->c.index))
			return;
		fifo_get(&q->waiting);
		q->inflight++;
		q->alone_running = r->alone;
		r->started = true;
		if (r->suspect)
			journal_suspect(&q->journal, r->slot, true);
		crash_point(CRASH_START, r->plan.offset >> BLKIF_SECTOR_SHIFT);
		request_begin(q, r);
	}
}

/* Its answer stands in the journal: no later worker comes here with it. */
static void count_answered(struct queue *q, const struct request *r)
{
	struct stats_queue *st = q->c.stats;

	if (r->refusal)
		COUNT(st->refused[r->refusal], 1);
	if (r->status != BLKIF_RSP_OKAY && (!r->refusal || r->refusal == BLKIF_BAD_GRANT))
		COUNT(st->errors, 1);
}

/* The response is written over the request that stood in slot pvt: taken long ago, as pvt < cons.
 */
static void answer(struct queue *q, struct request *r)
{
	struct blkif_rsp rsp = {
	    .id = r->req.id,
	    .op = blkif_response_op(&r->req),
	    .status = r->status,
	};

	crash_point(CRASH_ANSWER_DONE, q->journal.slot[r->slot].seq);
	blkif_ring_put_rsp(&q->ring, (uint32_t)q->pvt, &rsp);
	journal_answer(&q->journal, r->slot, r->status, q->pvt);
	q->pvt++;
	q->inflight--;
	if (r->alone)
		q->alone_running = false;
	if (r->buf)
		buffers_give(&q->buffers, r->buf, r->span);
	r->buf = NULL;
	if (r->suspect && r->started) {
		journal_suspect(&q->journal, r->slot, false);
		shared_suspect_leave(q->c.shared, q->c.index);
	}
	count_answered(q, r);
	fifo_put(&q->answered, r);
}

static void publish(struct queue *q, bool always_notify)
{
	struct request *r;
	bool notify = blkif_ring_publish(&q->ring, (uint32_t)q->pub, (uint32_t)q->pvt);

	crash_point(CRASH_PUBLISH_RING, q->pvt);
	journal_published(&q->journal, q->pvt);
	crash_point(CRASH_PUBLISH_RSP, q->pvt);
	q->pub = q->pvt;
	while ((r = fifo_get(&q->answered))) {
		journal_free(&q->journal, r->slot);
		crash_point(CRASH_PUBLISH_FREE, q->pvt);
		q->free_slots[q->nr_free++] = r->slot;
	}
	crash_point(CRASH_PUBLISH_NOTIFY, q->pvt);
	if (notify || always_notify) {
		COUNT(q->c.stats->notify, 1);
		xen_evtchn_notify(q->evtchn, q->port);
	}
	crash_point(CRASH_PUBLISH_END, q->pvt);
	invariants_check_counters(q);
}

bool queue_answer(struct queue *q)
{
	struct request *r;

	if (!q->finished.head)
		return false;
	while ((r = fifo_get(&q->finished)))
		answer(q, r);
	publish(q, false);
	return true;
}

/* Decoded and checked anew, and their descriptors read again: a front end must not touch these
 * before the answer, and if it did, or took them back, it gets an error. */
static void replay_taken(struct queue *q, const struct journal_recovery *rec)
{
	for (uint32_t i = 0; i < rec->nr_taken; i++) {
		struct request *r = &q->request[rec->taken[i]];
		const struct journal_slot *s = &q->journal.slot[r->slot];
		crash_point(CRASH_RECOVER_ACCEPT, s->seq);
		blkif_decode_req(q->ring.proto, s->raw, &r->req);
		r->alone = r->suspect = s->attempts > 0;
		r->replayed = true;
		if (s->attempts < 3) {
			put_taken(q, r);
			continue;
		}
		/* Poison: three workers died by a fault with this one in hand. */
		r->alone = r->suspect = r->started = false;
		r->refusal = BLKIF_OK;
		request_finish_at_once(q, r, BLKIF_RSP_ERROR);
	}
	queue_accept(q);
}

void queue_replay(struct queue *q, const struct journal_recovery *rec)
{
	for (uint32_t i = 0; i < rec->nr_answered; i++) {
		struct request *r = &q->request[rec->answered[i]];
		/* Decoded anew: a fallen worker may have written the journal. */
		blkif_decode_req(q->ring.proto, q->journal.slot[r->slot].raw, &r->req);
		int16_t status = q->journal.slot[r->slot].status;
		struct blkif_rsp rsp = {
		    .id = r->req.id,
		    .op = blkif_response_op(&r->req),
		    .status = status == BLKIF_RSP_OKAY || status == BLKIF_RSP_EOPNOTSUPP
		                  ? status
		                  : BLKIF_RSP_ERROR,
		};
		blkif_ring_put_rsp(&q->ring, (uint32_t)q->pvt, &rsp);
		crash_point(CRASH_RECOVER_ANSWER, q->pvt);
		q->pvt++;
		fifo_put(&q->answered, r);
	}
	/* Always: nobody knows whether the dead one's event was sent. */
	publish(q, true);
	replay_taken(q, rec);
	crash_point(CRASH_RECOVER_END, q->cons);
}
