/* SPDX-License-Identifier: MIT */
/*
 * A back end that offers all that the conformance suite can judge (queues, persistent grants,
 * indirect requests, discards) and is right in all of it, but for one fault: most of them are those
 * of back ends in use (docs/conformance.md). It lives in the shell of front_fake.h.
 */
#ifndef TESTS_FRONT_FAKE_FULL_H
#define TESTS_FRONT_FAKE_FULL_H

#include "front_fake_faults.h"

/* ---- connection ---- */

static inline void full_unmap_pages(struct fake *b)
{
	struct full *u = b->own;

	for (unsigned i = 0; i < u->nr_pages; i++)
		if (u->fault == KEEPS_AFTER_CLOSED && u->nr_leaked < 4096)
			u->leaked[u->nr_leaked++] = u->page[i].at;
		else
			MUST(xen_gnttab_unmap(b->gnttab, u->page[i].at, 1));
	u->nr_pages = 0;
}

static inline void full_disconnect(struct fake *b)
{
	full_unmap_pages(b);
	if (!full_has(b, RINGS_STAY_MAPPED)) {
		fake_disconnect(b);
		return;
	}
	for (unsigned i = 0; i < b->nr_queues; i++)
		MUST(xen_evtchn_unbind(b->evtchn, (uint32_t)b->queue[i].port));
	b->nr_queues = 0;
}

static inline void full_end(struct fake *b)
{
	struct full *u = b->own;

	full_disconnect(b);
	for (unsigned i = 0; i < u->nr_leaked; i++)
		MUST(xen_gnttab_unmap(b->gnttab, u->leaked[i], 1));
	free(u->disks);
}

static inline int full_refs(struct fake *b, const char *dir, uint32_t *refs)
{
	uint64_t v;

	for (unsigned i = 0; i < 1u << b->order; i++) {
		char key[24] = "ring-ref";
		if (b->order_key)
			snprintf(key, sizeof key, "ring-ref%u", i);
		if (b->order_key && !b->order && !full_has(b, WANTS_REF_0) &&
		    !store_exists(b->store, XBT_NULL, dir, key))
			strcpy(key, "ring-ref");
		int rc = store_read_u64(b->store, XBT_NULL, dir, key, 0, UINT32_MAX, &v);
		if (rc && full_has(b, QUEUE_0_FOR_ALL))
			rc = store_read_u64(b->store, XBT_NULL, FRONT "/queue-0", key, 0,
			                    UINT32_MAX, &v);
		if (rc)
			return rc;
		refs[i] = (uint32_t)v;
	}
	return 0;
}

/* Adds a queue; 0, or it must be refused. */
static inline int full_add_queue(struct fake *b, const char *dir, enum blkif_protocol proto)
{
	struct fake_queue *q = &b->queue[b->nr_queues];
	uint32_t refs[16];
	uint64_t port;
	int rc = full_refs(b, dir, refs);

	rc = rc ?: store_read_u64(b->store, XBT_NULL, dir, "event-channel", 1, UINT32_MAX, &port);
	rc = rc ?: xen_gnttab_map(b->gnttab, GUEST, 1u << b->order, refs, true, &q->shared);
	if (rc)
		return rc;
	q->port = xen_evtchn_bind_interdomain(b->evtchn, GUEST, (uint32_t)port);
	if (q->port < 0) {
		MUST(xen_gnttab_unmap(b->gnttab, q->shared, 1u << b->order));
		return q->port;
	}
	blkif_ring_attach(&q->ring, q->shared, b->order, proto);
	q->req_cons = q->rsp_prod = blkif_ring_rsp_prod(&q->ring);
	((struct full *)b->own)->stopped[b->nr_queues++] = false;
	return 0;
}

static inline int full_protocol(struct fake *b, enum blkif_protocol *proto)
{
	int rc = store_read(b->store, XBT_NULL, FRONT, "protocol", b->protocol, sizeof b->protocol);

	*proto = BLKIF_PROTO_X86_32;
	if (rc == -ENOENT)
		return 0;
	rc = rc < 0 ? rc : blkif_protocol_parse(b->protocol, proto);
	if (rc < 0 && full_has(b, ANY_PROTOCOL)) {
		*proto = BLKIF_PROTO_X86_64;
		return 0;
	}
	return rc < 0 ? rc : 0;
}

static inline int full_map_rings(struct fake *b)
{
	enum blkif_protocol proto;
	uint64_t order = 0, n = 1;
	char dir[64];
	int rc = store_read_u64(b->store, XBT_NULL, FRONT, "ring-page-order", 0, 4, &order);

	b->order_key = !rc;
	b->order = (unsigned)order;
	rc = rc == -ENOENT ? 0 : rc;
	rc = rc ?: full_protocol(b, &proto);
	if (rc)
		return rc;
	rc =
	    store_read_u64(b->store, XBT_NULL, FRONT, "multi-queue-num-queues", 1, FAKE_QUEUES, &n);
	if (rc && rc != -ENOENT && !full_has(b, QUEUE_NUMBERS))
		return rc;
	for (unsigned i = 0; i < n; i++) {
		snprintf(dir, sizeof dir, n > 1 ? FRONT "/queue-%u" : FRONT, i);
		rc = full_add_queue(b, dir, proto);
		if (rc)
			return rc;
	}
	return 0;
}

static inline void full_connect(struct fake *b)
{
	struct full *u = b->own;
	uint64_t persistent = 0;

	full_disconnect(b);
	if (full_map_rings(b)) {
		full_disconnect(b);
		fake_set_state(b, XS_CLOSING);
		return;
	}
	store_read_u64(b->store, XBT_NULL, FRONT, "feature-persistent", 0, 1, &persistent);
	u->persistent = persistent;
	fake_set_state(b, XS_CONNECTED);
}

static inline void full_start(struct fake *b)
{
	struct full *u = b->own;
	bool discard = !full_has(b, DISCARD_UNDONE_OKAY), secure = !full_has(b, SECURE_REFUSED);
	const struct {
		const char *key;
		unsigned value;
	} keys[] = {{"sectors", (unsigned)(b->bytes / 512)},
	            {"sector-size", 512},
	            {"physical-sector-size", 4096},
	            {"info", full_readonly(b) ? VDISK_READONLY : 0},
	            {"feature-flush-cache", 1},
	            {"feature-barrier", 1},
	            {"feature-persistent", 1},
	            {"feature-max-indirect-segments", FULL_INDIRECT},
	            {"multi-queue-max-queues", FAKE_QUEUES},
	            {"feature-discard", discard},
	            {"discard-granularity", 4096},
	            {"discard-alignment", 0},
	            {"discard-secure", secure}};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (discard || strncmp(keys[i].key, "discard-", 8))
			MUST(store_write(b->store, XBT_NULL, BACK, keys[i].key, "%u",
			                 keys[i].value));
	if (full_readonly(b))
		MUST(store_write(b->store, XBT_NULL, BACK, "mode", "r"));
	u->lim = (struct blkif_limits){.sectors = b->bytes / 512,
	                               .sector_size = 512,
	                               .readonly = full_readonly(b),
	                               .flush = true,
	                               .barrier = true,
	                               .discard = discard,
	                               .discard_secure = secure,
	                               .indirect_segments = FULL_INDIRECT};
	if (u->fault == INDIRECT_MORE)
		u->lim.indirect_segments = BLKIF_MAX_INDIRECT_SEGS;
	if (u->fault == READONLY_WRITES)
		u->lim.readonly = false;
	if (u->fault == QUEUES_APART) {
		u->disks = malloc(FAKE_QUEUES * b->bytes);
		memset(u->disks, 0, FAKE_QUEUES * b->bytes);
	}
}

static inline void full_front_changed(struct fake *b)
{
	struct full *u = b->own;
	int state = store_read_state(b->store, XBT_NULL, FRONT);

	if (state == XS_UNKNOWN && u->fault == DEAF_AT_NO_STATE && b->state == XS_CONNECTED)
		u->deaf = true;
	if (u->deaf)
		return;
	bool ready = state == XS_INITIALISED || (state == XS_CONNECTED && b->state == XS_INITWAIT &&
	                                         u->fault != NOT_FOR_MINIOS);
	if (state == XS_CLOSING && b->state != XS_CLOSED)
		fake_set_state(b, XS_CLOSING);
	else if (state == XS_CLOSED && b->state != XS_CLOSED) {
		full_disconnect(b);
		fake_set_state(b, XS_CLOSED);
	} else if (state == XS_INITIALISING && b->state == XS_CLOSED)
		fake_set_state(b, XS_INITWAIT);
	else if (ready && (b->state == XS_INITWAIT || b->state == XS_CLOSED))
		full_connect(b);
}

/* ---- requests ---- */

/* The descriptors of an indirect request; false: not to be had. */
static inline bool full_descriptors(struct fake *b, struct blkif_req *r, struct blkif_seg *seg)
{
	struct full *u = b->own;
	struct xen_copy piece = {.local = seg, .ref = r->indirect[0]};
	void *at;

	if (u->fault == INDIRECT_ANY_OP && r->inner_op != BLKIF_OP_WRITE)
		r->inner_op = BLKIF_OP_READ;
	unsigned tried =
	    u->fault == INDIRECT_ALL_REFS ? BLKIF_INDIRECT_PAGES : u->fault == INDIRECT_MAPS_RW;
	for (unsigned i = 0; i < tried && r->indirect[i]; i++) {
		if (xen_gnttab_map(b->gnttab, GUEST, 1, &r->indirect[i],
		                   u->fault == INDIRECT_MAPS_RW, &at))
			return false;
		MUST(xen_gnttab_unmap(b->gnttab, at, 1));
	}
	piece.length = (uint16_t)(blkif_descriptors(r, &u->lim) * sizeof *seg);
	if (piece.length && (xen_gnttab_copy(b->gnttab, GUEST, &piece, 1) || piece.status))
		return false;
	for (unsigned i = 0; i < piece.length / sizeof *seg && u->fault == INDIRECT_RANGES; i++) {
		seg[i].last = seg[i].last < 8 ? seg[i].last : 7;
		seg[i].first = seg[i].first < seg[i].last ? seg[i].first : seg[i].last;
	}
	if (u->fault == INDIRECT_11 && r->nr_segments > BLKIF_DIRECT_SEGS)
		r->nr_segments = BLKIF_DIRECT_SEGS;
	return true;
}

/* *bad: it made no sense. */
static inline int16_t full_serve(struct fake *b, unsigned queue, struct blkif_req *r, bool *bad)
{
	static struct blkif_seg descriptors[BLKIF_MAX_INDIRECT_SEGS];
	const struct blkif_seg *seg = r->seg;
	struct full *u = b->own;
	struct blkif_plan plan;
	int16_t status;

	*bad = false;
	if (r->op == BLKIF_OP_INDIRECT) {
		if (!full_descriptors(b, r, descriptors))
			return BLKIF_RSP_ERROR;
		seg = descriptors;
	}
	enum blkif_refusal why = blkif_check(r, seg, &u->lim, &plan);
	if (full_wrong_status(b, r, why, &status))
		return status;
	if (why) {
		*bad = true;
		return blkif_refusal_status(why);
	}
	if (plan.kind == BLKIF_KIND_DISCARD)
		return full_discard(b, r);
	return plan.length ? full_move(b, queue, seg, &plan) : BLKIF_RSP_OKAY;
}

static inline void full_answer(struct fake *b, struct fake_queue *q, const struct blkif_req *r,
                               int16_t status)
{
	struct blkif_rsp rsp = {.id = r->id, .op = blkif_response_op(r), .status = status};
	struct full *u = b->own;
	uint32_t from = q->rsp_prod++;

	if (u->fault == INDIRECT_OUTER_OP)
		rsp.op = r->op;
	if (q == &b->queue[0])
		u->ids[from & (q->ring.slots - 1)] = r->id;
	else if (u->fault == QUEUE_0_IDS)
		rsp.id = u->ids[from & (q->ring.slots - 1)];
	blkif_ring_put_rsp(&q->ring, from, &rsp);
	if (blkif_ring_publish(&q->ring, from, q->rsp_prod))
		MUST(xen_evtchn_notify(
		    b->evtchn, (uint32_t)(u->fault == TELLS_QUEUE_0 ? &b->queue[0] : q)->port));
}

/* In order, but for a barrier that lets the next one pass. */
static inline void full_batch(struct fake *b, unsigned queue, uint32_t n)
{
	struct fake_queue *q = &b->queue[queue];
	bool passes = full_has(b, BARRIER_LETS_PASS) || (full_has(b, QUEUE_BARRIERS) && queue);
	static struct blkif_req req[512];
	uint8_t raw[BLKIF_SLOT_MAX];
	bool bad;

	for (uint32_t i = 0; i < n; i++) {
		blkif_ring_copy_req(&q->ring, q->req_cons++, raw);
		blkif_decode_req(q->ring.proto, raw, &req[i]);
	}
	for (uint32_t i = 0; i + 1 < n && passes; i++)
		if (req[i].op == BLKIF_OP_WRITE_BARRIER && req[i + 1].op == BLKIF_OP_WRITE) {
			struct blkif_req barrier = req[i];
			req[i] = req[i + 1];
			req[++i] = barrier;
		}
	for (uint32_t i = 0; i < n; i++) {
		int16_t status = full_serve(b, queue, &req[i], &bad);
		if (!bad || !full_has(b, DROPS_BAD))
			full_answer(b, q, &req[i], status);
	}
}

static inline void full_drain_queue(struct fake *b, unsigned queue)
{
	struct fake_queue *q = &b->queue[queue];
	struct full *u = b->own;
	uint32_t prod;

	while (!u->stopped[queue] &&
	       (prod = blkif_ring_arm_req(&q->ring, q->req_cons)) != q->req_cons) {
		uint32_t n = prod - q->req_cons;
		if (n > q->ring.slots && u->fault == NO_OVERFLOW_CHECK) {
			full_batch(b, queue, q->ring.slots);
			q->req_cons = prod;
		} else if (n > q->ring.slots) {
			u->stopped[queue] = true;
			u->deaf = u->fault == DEAD_BY_OVERFLOW;
		} else {
			full_batch(b, queue, n);
		}
	}
}

static inline void full_drain(struct fake *b)
{
	for (unsigned i = 0; i < b->nr_queues; i++)
		full_drain_queue(b, i);
}

static const struct fake_kind full_kind = {full_start, full_front_changed, full_drain, full_end};

#endif
