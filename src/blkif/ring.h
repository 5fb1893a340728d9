/* SPDX-License-Identifier: MIT */
/*
 * The shared ring, both ends. The only code that touches shared ring pages: everybody else gets
 * private copies. Rules: xen/io/ring.h. The other end may change any byte at any time; every
 * index is read exactly once per call.
 *
 * Layout: header of 64 bytes (req_prod, req_event, rsp_prod, rsp_event, 32 bit each), then slots;
 * 32 << order of them in 4096 << order bytes, for every ABI. Indices run freely and wrap at 2^32.
 */
#ifndef BLKIF_RING_H
#define BLKIF_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "blkif/abi.h"

/* One end's view. Owned by the thread that serves the ring. */
struct blkif_ring {
	void *shared; /* the mapped pages */
	enum blkif_protocol proto;
	uint32_t slots; /* N, a power of two */
	uint32_t slot_size;
};

/* shared: 4096 << order bytes, mapped until the last use. order 0..4. Touches no shared byte. */
void blkif_ring_attach(struct blkif_ring *r, void *shared, unsigned order,
                       enum blkif_protocol proto);

/* ---- back end ---- */

/* req_prod, with acquire: requests before it may be copied. */
uint32_t blkif_ring_req_prod(const struct blkif_ring *r);
/* Copies the slot of request index idx once; dst has room for BLKIF_SLOT_MAX. */
void blkif_ring_copy_req(const struct blkif_ring *r, uint32_t idx, void *dst);
/* Writes the response of index idx into its slot (not yet visible: blkif_ring_publish). */
void blkif_ring_put_rsp(struct blkif_ring *r, uint32_t idx, const struct blkif_rsp *rsp);
/* rsp_prod as it is in the ring (the back end's own store, or what the guest made of it). */
uint32_t blkif_ring_rsp_prod(const struct blkif_ring *r);
/* Makes responses before `to` visible (release) and tells whether the front end wants an event,
 * given that `from` was published before (ring.h RING_PUSH_RESPONSES_AND_CHECK_NOTIFY). */
bool blkif_ring_publish(struct blkif_ring *r, uint32_t from, uint32_t to);
/* Asks for an event at the request after cons: req_event = cons + 1, full barrier, re-reads
 * req_prod and returns it; only if it still equals cons may the caller block. */
uint32_t blkif_ring_arm_req(struct blkif_ring *r, uint32_t cons);

/* ---- front end ---- */

/* Initialises the shared header (SHARED_RING_INIT): producers 0, events 1, rest zeroed. */
void blkif_ring_init(struct blkif_ring *r);
/* raw: an encoded slot. */
void blkif_ring_put_req(struct blkif_ring *r, uint32_t idx, const void *raw);
bool blkif_ring_push_req(struct blkif_ring *r, uint32_t from, uint32_t to); /* true: notify */
uint32_t blkif_ring_peek_rsp(const struct blkif_ring *r); /* rsp_prod, with acquire */
void blkif_ring_get_rsp(const struct blkif_ring *r, uint32_t idx, struct blkif_rsp *rsp);
uint32_t blkif_ring_arm_rsp(struct blkif_ring *r, uint32_t cons); /* as blkif_ring_arm_req */

/* ---- tests: a hostile front end, and one that looks closely ---- */

/* The four indices; each is read once, not all at one moment. */
struct blkif_ring_indices {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
};
void blkif_ring_get_indices(const struct blkif_ring *r, struct blkif_ring_indices *out);
void blkif_ring_poke_req_prod(struct blkif_ring *r, uint32_t value);
void blkif_ring_poke_rsp_prod(struct blkif_ring *r, uint32_t value);
void blkif_ring_poke_rsp_event(struct blkif_ring *r, uint32_t value);

#endif
