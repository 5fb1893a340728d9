/* SPDX-License-Identifier: MIT */
/*
 * Is this request allowed, and what does it ask for?
 *
 * Order of checks; the first that fails gives the reason:
 *   1 unknown-op     operation above 6, or the reserved 4
 *   2 unsupported    known, but this disk does not offer it at all, or to this front end
 *     bad-indirect   the inner operation of an indirect request is neither READ nor WRITE
 *   3 read-only      it would change data; asked before the request's shape, because on such a disk
 *                    no shape of it could succeed
 *   4 bad-segments   count of segments: 1 … 11, indirect 1 … the limit, and 0 only for flush and
 *                    barrier
 *   5 bad-segment    any segment that is not a range within its page
 *   6 misaligned     sector, any segment's start or its length; for discards the length
 *   7 out-of-range   end beyond the disk
 * A discard has no segments: instead of 4 and 5 it must not be empty (bad-discard). Granularity and
 * alignment are advice: what does not fit them is the storage's to round, not an error in a guest's
 * fstrim. A flush or barrier without segments moves nothing: its sector number means nothing and is
 * ignored (front ends leave -1 there).
 */
#include "blkif/request.h"

#include <string.h>

/* Sectors whose byte offsets fit off_t: no disk is larger, whatever its limits say. */
#define SECTORS_MAX ((uint64_t)INT64_MAX >> BLKIF_SECTOR_SHIFT)

const char *blkif_refusal_name(enum blkif_refusal r)
{
	switch (r) {
	case BLKIF_OK:
		return "ok";
	case BLKIF_UNKNOWN_OP:
		return "unknown-op";
	case BLKIF_UNSUPPORTED:
		return "unsupported";
	case BLKIF_BAD_SEGMENTS:
		return "bad-segments";
	case BLKIF_BAD_SEGMENT:
		return "bad-segment";
	case BLKIF_MISALIGNED:
		return "misaligned";
	case BLKIF_OUT_OF_RANGE:
		return "out-of-range";
	case BLKIF_READONLY:
		return "read-only";
	case BLKIF_BAD_DISCARD:
		return "bad-discard";
	case BLKIF_BAD_INDIRECT:
		return "bad-indirect";
	case BLKIF_BAD_GRANT:
		return "bad-grant";
	case BLKIF_REFUSALS:
		break;
	}
	return "invalid";
}

const char *blkif_refusal_text(enum blkif_refusal r)
{
	switch (r) {
	case BLKIF_OK:
		return "nothing is wrong";
	case BLKIF_UNKNOWN_OP:
		return "there is no such operation";
	case BLKIF_UNSUPPORTED:
		return "the operation is not offered on this disk";
	case BLKIF_BAD_SEGMENTS:
		return "it has no segments, or more than are offered";
	case BLKIF_BAD_SEGMENT:
		return "a segment is not a range within its page";
	case BLKIF_MISALIGNED:
		return "it does not begin and end at a sector of the disk";
	case BLKIF_OUT_OF_RANGE:
		return "it reaches beyond the end of the disk";
	case BLKIF_READONLY:
		return "it writes, and the disk is read-only";
	case BLKIF_BAD_DISCARD:
		return "it discards nothing";
	case BLKIF_BAD_INDIRECT:
		return "an indirect request is neither read nor write";
	case BLKIF_BAD_GRANT:
		return "a page of it is not granted, or read-only where it must be written";
	case BLKIF_REFUSALS:
		break;
	}
	return "the reason is unknown";
}

int16_t blkif_refusal_status(enum blkif_refusal r)
{
	switch (r) {
	case BLKIF_OK:
		return BLKIF_RSP_OKAY;
	case BLKIF_UNKNOWN_OP:
	case BLKIF_UNSUPPORTED:
		return BLKIF_RSP_EOPNOTSUPP;
	case BLKIF_BAD_SEGMENTS:
	case BLKIF_BAD_SEGMENT:
	case BLKIF_MISALIGNED:
	case BLKIF_OUT_OF_RANGE:
	case BLKIF_READONLY:
	case BLKIF_BAD_DISCARD:
	case BLKIF_BAD_INDIRECT:
	case BLKIF_BAD_GRANT:
	case BLKIF_REFUSALS:
		break;
	}
	return BLKIF_RSP_ERROR;
}

uint8_t blkif_response_op(const struct blkif_req *req)
{
	return req->op == BLKIF_OP_INDIRECT ? req->inner_op : req->op;
}

/* Checks 1 and 2. */
static enum blkif_refusal check_op(const struct blkif_req *req, const struct blkif_limits *lim,
                                   enum blkif_kind *kind)
{
	bool offered = true;

	switch (req->op) {
	case BLKIF_OP_READ:
		*kind = BLKIF_KIND_READ;
		break;
	case BLKIF_OP_WRITE:
		*kind = BLKIF_KIND_WRITE;
		break;
	case BLKIF_OP_WRITE_BARRIER:
		*kind = BLKIF_KIND_BARRIER;
		offered = lim->barrier;
		break;
	case BLKIF_OP_FLUSH_DISKCACHE:
		*kind = BLKIF_KIND_FLUSH;
		offered = lim->flush;
		break;
	case BLKIF_OP_DISCARD:
		*kind = BLKIF_KIND_DISCARD;
		offered = lim->discard;
		break;
	case BLKIF_OP_INDIRECT:
		if (!lim->indirect_segments)
			return BLKIF_UNSUPPORTED;
		*kind = req->inner_op == BLKIF_OP_WRITE ? BLKIF_KIND_WRITE : BLKIF_KIND_READ;
		if (req->inner_op != BLKIF_OP_READ && req->inner_op != BLKIF_OP_WRITE)
			return BLKIF_BAD_INDIRECT;
		break;
	default: /* what a guest may write has 256 values */
		return BLKIF_UNKNOWN_OP;
	}
	return offered ? BLKIF_OK : BLKIF_UNSUPPORTED;
}

static bool changes_data(const struct blkif_req *req, enum blkif_kind kind)
{
	switch (kind) {
	case BLKIF_KIND_READ:
		return false;
	case BLKIF_KIND_WRITE:
	case BLKIF_KIND_DISCARD:
		return true;
	case BLKIF_KIND_FLUSH:
	case BLKIF_KIND_BARRIER:
		return req->nr_segments > 0;
	}
	return true;
}

/* Checks 6 and 7 for `sectors` sectors (> 0), and the plan's bytes. more: bits of other sector
 * numbers or lengths that must be aligned, too. */
static enum blkif_refusal place(const struct blkif_req *req, const struct blkif_limits *lim,
                                uint64_t sectors, uint32_t more, struct blkif_plan *plan)
{
	uint32_t mask = (lim->sector_size >> BLKIF_SECTOR_SHIFT) - 1;
	uint64_t size = lim->sectors < SECTORS_MAX ? lim->sectors : SECTORS_MAX;
	uint64_t sector = req->sector << lim->sector_shift;

	if ((sector | sectors | more) & mask)
		return BLKIF_MISALIGNED;
	/* No sum of what the guest wrote: it could wrap. */
	if (sectors > size || sector > size - sectors || req->sector > size)
		return BLKIF_OUT_OF_RANGE;
	plan->offset = sector << BLKIF_SECTOR_SHIFT;
	plan->length = sectors << BLKIF_SECTOR_SHIFT;
	return BLKIF_OK;
}

static uint32_t most_segments(const struct blkif_req *req, const struct blkif_limits *lim)
{
	return req->op == BLKIF_OP_INDIRECT ? lim->indirect_segments : BLKIF_DIRECT_SEGS;
}

uint32_t blkif_descriptors(const struct blkif_req *req, const struct blkif_limits *lim)
{
	enum blkif_kind kind;

	if (req->op != BLKIF_OP_INDIRECT || check_op(req, lim, &kind) ||
	    (lim->readonly && changes_data(req, kind)) ||
	    req->nr_segments > most_segments(req, lim))
		return 0;
	return req->nr_segments;
}

static enum blkif_refusal check_segments(const struct blkif_req *req, const struct blkif_seg *segs,
                                         const struct blkif_limits *lim, struct blkif_plan *plan)
{
	uint32_t sectors = 0, bits = 0;

	for (unsigned i = 0; i < req->nr_segments; i++) {
		const struct blkif_seg *seg = &segs[i];
		if (seg->first > seg->last ||
		    seg->last >= BLKIF_SECTS_PER_PAGE >> lim->segment_shift)
			return BLKIF_BAD_SEGMENT;
		uint32_t n = (seg->last - seg->first + 1u) << lim->segment_shift;
		sectors += n;
		bits |= n | (uint32_t)seg->first
		                << lim->segment_shift; /* each piece on its own can be direct I/O */
	}
	plan->nr_segments = req->nr_segments;
	return place(req, lim, sectors, bits, plan);
}

static enum blkif_refusal check_discard(const struct blkif_req *req, const struct blkif_limits *lim,
                                        struct blkif_plan *plan)
{
	enum blkif_refusal why;

	if (!req->nr_sectors)
		return BLKIF_BAD_DISCARD;
	if (lim->sector_shift && req->nr_sectors > SECTORS_MAX)
		return BLKIF_OUT_OF_RANGE;
	why = place(req, lim, req->nr_sectors << lim->sector_shift, 0, plan);
	if (why)
		return why;
	if ((req->flag & BLKIF_DISCARD_SECURE) && lim->discard_secure_withdrawn)
		return BLKIF_UNSUPPORTED;
	/* blkif.h: the flag is ignored where discard-secure is 0. */
	plan->secure = lim->discard_secure && (req->flag & BLKIF_DISCARD_SECURE);
	return BLKIF_OK;
}

enum blkif_refusal blkif_check(const struct blkif_req *req, const struct blkif_seg *seg,
                               const struct blkif_limits *lim, struct blkif_plan *plan)
{
	enum blkif_refusal why;

	memset(plan, 0, sizeof *plan);
	why = check_op(req, lim, &plan->kind);
	if (why)
		return why;
	if (lim->readonly && changes_data(req, plan->kind))
		return BLKIF_READONLY;
	if (plan->kind == BLKIF_KIND_DISCARD)
		return check_discard(req, lim, plan);
	if (req->nr_segments > most_segments(req, lim))
		return BLKIF_BAD_SEGMENTS;
	if (req->nr_segments)
		return check_segments(req, seg, lim, plan);
	if (plan->kind == BLKIF_KIND_FLUSH || plan->kind == BLKIF_KIND_BARRIER)
		return BLKIF_OK;
	return BLKIF_BAD_SEGMENTS;
}
