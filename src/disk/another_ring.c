/* SPDX-License-Identifier: MIT */
/*
 * All that recovery relies on is looked up in the ring: indices, unpublished answers, and requests
 * over which no answer was written yet. A new ring that passes holds the same requests, byte by
 * byte, at the same places, so that it makes no difference whose they are.
 */
#include "disk/another_ring.h"

#include <string.h>

#include <xen/io/blkif.h>

#include "blkif/request.h"

/* An answer may have been cut off while it was written: each word is the old one or the new one. */
static bool is_mixture(const void *now, const void *before, const void *after, uint32_t bytes)
{
	const uint8_t *n = now, *b = before, *a = after;

	for (uint32_t at = 0; at < bytes; at += 4)
		if (memcmp(n + at, b + at, 4) && memcmp(n + at, a + at, 4))
			return false;
	return true;
}

/* Whose answer it was, the journal does not know yet. */
static bool half_answered(const struct journal *j, const struct journal_recovery *rec,
                          const struct blkif_ring *ring, const void *raw, const void *now)
{
	static const int16_t statuses[] = {BLKIF_RSP_OKAY, BLKIF_RSP_ERROR, BLKIF_RSP_EOPNOTSUPP};
	uint8_t answer[BLKIF_SLOT_MAX];
	struct blkif_req req;

	for (uint32_t i = 0; i < rec->nr_taken; i++) {
		blkif_decode_req(ring->proto, j->slot[rec->taken[i]].raw, &req);
		for (uint32_t s = 0; s < sizeof statuses / sizeof *statuses; s++) {
			struct blkif_rsp rsp = {req.id, blkif_response_op(&req), statuses[s]};
			blkif_encode_rsp(ring->proto, &rsp, answer);
			if (is_mixture(now, raw, answer, ring->slot_size))
				return true;
		}
	}
	return false;
}

/* pvt: responses written, published or not; they stand over the requests before it. */
static bool requests_stand(const struct journal *j, const struct journal_recovery *rec,
                           const struct blkif_ring *ring, const uint32_t *list, uint32_t n)
{
	uint64_t pvt = rec->published + rec->nr_answered;
	uint8_t now[BLKIF_SLOT_MAX];

	for (uint32_t i = 0; i < n; i++) {
		const struct journal_slot *s = &j->slot[list[i]];
		if (s->seq < pvt)
			continue;
		blkif_ring_copy_req(ring, (uint32_t)s->seq, now);
		if (memcmp(now, s->raw, ring->slot_size) &&
		    !(s->seq == pvt && half_answered(j, rec, ring, s->raw, now)))
			return false;
	}
	return true;
}

static bool answers_stand(const struct journal *j, const struct journal_recovery *rec,
                          const struct blkif_ring *ring)
{
	struct blkif_req req;
	struct blkif_rsp rsp;

	for (uint32_t i = 0; i < rec->nr_answered; i++) {
		const struct journal_slot *s = &j->slot[rec->answered[i]];
		blkif_decode_req(ring->proto, s->raw, &req);
		blkif_ring_get_rsp(ring, (uint32_t)s->rsp, &rsp);
		if (rsp.id != req.id || rsp.op != blkif_response_op(&req) ||
		    rsp.status != s->status)
			return false;
	}
	return true;
}

bool another_ring(const struct journal *j, const struct journal_recovery *rec,
                  const struct blkif_ring *ring, uint32_t rsp_prod)
{
	uint32_t req_prod = blkif_ring_req_prod(ring), pub = (uint32_t)rec->published;

	if (rsp_prod || req_prod > ring->slots)
		return false;
	if (rsp_prod != pub && rsp_prod != pub + rec->nr_answered)
		return true;
	/* Fewer requests than were taken. */
	if (req_prod - (uint32_t)rec->cons > ring->slots)
		return true;
	return !requests_stand(j, rec, ring, rec->taken, rec->nr_taken) ||
	       !requests_stand(j, rec, ring, rec->answered, rec->nr_answered) ||
	       (rsp_prod == pub && !answers_stand(j, rec, ring));
}
