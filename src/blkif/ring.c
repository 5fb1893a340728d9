/* SPDX-License-Identifier: MIT */
/*
 * The shared ring: the only accesses to pages that the other end may change at any time. All of
 * them are atomic 32-bit loads and stores, each done exactly once, so that neither the compiler nor
 * the other end can make us see two values of one field.
 */
#include "blkif/ring.h"

#include <string.h>

/* Byte offsets in the shared header. */
enum {
	AT_REQ_PROD = 0,
	AT_REQ_EVENT = 4,
	AT_RSP_PROD = 8,
	AT_RSP_EVENT = 12,
	HEADER_SIZE = 64,
	SLOT_WORDS_MAX = BLKIF_SLOT_MAX / 4,
};

static uint32_t *word_at(const struct blkif_ring *r, uint32_t offset)
{
	return (uint32_t *)(void *)((uint8_t *)r->shared + offset);
}

static uint32_t slot_offset(const struct blkif_ring *r, uint32_t idx)
{
	return HEADER_SIZE + (idx & (r->slots - 1)) * r->slot_size;
}

static void copy_out(const struct blkif_ring *r, uint32_t idx, void *dst)
{
	const uint32_t *from = word_at(r, slot_offset(r, idx));
	uint8_t *to = dst;

	for (uint32_t i = 0; i < r->slot_size / 4; i++) {
		/* Relaxed: the caller's acquire of the producer index orders it; once per word. */
		uint32_t w = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		memcpy(to + 4 * i, &w, 4);
	}
}

static void copy_in(struct blkif_ring *r, uint32_t idx, const void *src)
{
	uint32_t *to = word_at(r, slot_offset(r, idx));
	const uint8_t *from = src;

	for (uint32_t i = 0; i < r->slot_size / 4; i++) {
		uint32_t w;
		memcpy(&w, from + 4 * i, 4);
		/* Relaxed: the release of our producer index makes it visible to the other end. */
		__atomic_store_n(&to[i], w, __ATOMIC_RELAXED);
	}
}

/* An event was asked for somewhere in (from, to]: the other end may sleep. */
static bool push(struct blkif_ring *r, uint32_t at_prod, uint32_t at_event, uint32_t from,
                 uint32_t to)
{
	/* Release: the consumer that sees the new index also sees the slots before it. */
	__atomic_store_n(word_at(r, at_prod), to, __ATOMIC_RELEASE);
	/* Full: index stored before event is read; pairs with the fence in the consumer's arm(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* Relaxed: ordered by the fence; the consumer writes no data under it. */
	uint32_t event = __atomic_load_n(word_at(r, at_event), __ATOMIC_RELAXED);
	return (uint32_t)(to - event) < (uint32_t)(to - from);
}

static uint32_t arm(struct blkif_ring *r, uint32_t at_prod, uint32_t at_event, uint32_t cons)
{
	/* Relaxed: ordered by the fence; the producer only compares it. */
	__atomic_store_n(word_at(r, at_event), cons + 1, __ATOMIC_RELAXED);
	/* Full: event stored before the index is read again; pairs with the producer's push(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* Acquire: the caller may go on with the slots that the producer released. */
	return __atomic_load_n(word_at(r, at_prod), __ATOMIC_ACQUIRE);
}

void blkif_ring_attach(struct blkif_ring *r, void *shared, unsigned order,
                       enum blkif_protocol proto)
{
	r->shared = shared;
	r->proto = proto;
	r->slots = 32u << order;
	r->slot_size = (uint32_t)blkif_slot_size(proto);
}

uint32_t blkif_ring_req_prod(const struct blkif_ring *r)
{
	/* Acquire: pairs with the front end's release of req_prod after it wrote the slots. */
	return __atomic_load_n(word_at(r, AT_REQ_PROD), __ATOMIC_ACQUIRE);
}

void blkif_ring_copy_req(const struct blkif_ring *r, uint32_t idx, void *dst)
{
	copy_out(r, idx, dst);
}

void blkif_ring_put_rsp(struct blkif_ring *r, uint32_t idx, const struct blkif_rsp *rsp)
{
	uint32_t slot[SLOT_WORDS_MAX];

	blkif_encode_rsp(r->proto, rsp, slot);
	copy_in(r, idx, slot);
}

uint32_t blkif_ring_rsp_prod(const struct blkif_ring *r)
{
	/* Relaxed: our own index; the front end has nothing to publish under it. */
	return __atomic_load_n(word_at(r, AT_RSP_PROD), __ATOMIC_RELAXED);
}

bool blkif_ring_publish(struct blkif_ring *r, uint32_t from, uint32_t to)
{
	return push(r, AT_RSP_PROD, AT_RSP_EVENT, from, to);
}

uint32_t blkif_ring_arm_req(struct blkif_ring *r, uint32_t cons)
{
	return arm(r, AT_REQ_PROD, AT_REQ_EVENT, cons);
}

void blkif_ring_init(struct blkif_ring *r)
{
	for (uint32_t at = 0; at < HEADER_SIZE; at += 4) {
		uint32_t v = at == AT_REQ_EVENT || at == AT_RSP_EVENT;
		/* Relaxed: the back end learns of the ring through xenstore, later. */
		__atomic_store_n(word_at(r, at), v, __ATOMIC_RELAXED);
	}
}

void blkif_ring_put_req(struct blkif_ring *r, uint32_t idx, const void *raw)
{
	copy_in(r, idx, raw);
}

bool blkif_ring_push_req(struct blkif_ring *r, uint32_t from, uint32_t to)
{
	return push(r, AT_REQ_PROD, AT_REQ_EVENT, from, to);
}

uint32_t blkif_ring_peek_rsp(const struct blkif_ring *r)
{
	/* Acquire: pairs with the back end's release of rsp_prod in blkif_ring_publish. */
	return __atomic_load_n(word_at(r, AT_RSP_PROD), __ATOMIC_ACQUIRE);
}

void blkif_ring_get_rsp(const struct blkif_ring *r, uint32_t idx, struct blkif_rsp *rsp)
{
	uint32_t slot[SLOT_WORDS_MAX];

	copy_out(r, idx, slot);
	blkif_decode_rsp(r->proto, slot, rsp);
}

uint32_t blkif_ring_arm_rsp(struct blkif_ring *r, uint32_t cons)
{
	return arm(r, AT_RSP_PROD, AT_RSP_EVENT, cons);
}

void blkif_ring_poke_req_prod(struct blkif_ring *r, uint32_t value)
{
	/* Release: as an honest front end's push, so that tests may fill slots first. */
	__atomic_store_n(word_at(r, AT_REQ_PROD), value, __ATOMIC_RELEASE);
}

void blkif_ring_poke_rsp_prod(struct blkif_ring *r, uint32_t value)
{
	/* Relaxed: it lies about slots, and publishes none. */
	__atomic_store_n(word_at(r, AT_RSP_PROD), value, __ATOMIC_RELAXED);
}

void blkif_ring_get_indices(const struct blkif_ring *r, struct blkif_ring_indices *out)
{
	/* Acquire: the caller may look at the slots before rsp_prod, as blkif_ring_peek_rsp. */
	out->rsp_prod = __atomic_load_n(word_at(r, AT_RSP_PROD), __ATOMIC_ACQUIRE);
	/* Relaxed, all three: looked at, never followed. */
	out->req_prod = __atomic_load_n(word_at(r, AT_REQ_PROD), __ATOMIC_RELAXED);
	out->req_event = __atomic_load_n(word_at(r, AT_REQ_EVENT), __ATOMIC_RELAXED);
	out->rsp_event = __atomic_load_n(word_at(r, AT_RSP_EVENT), __ATOMIC_RELAXED);
}

void blkif_ring_poke_rsp_event(struct blkif_ring *r, uint32_t value)
{
	/* Relaxed: the caller orders it by pushing requests afterwards; the back end compares it.
	 */
	__atomic_store_n(word_at(r, AT_RSP_EVENT), value, __ATOMIC_RELAXED);
}
