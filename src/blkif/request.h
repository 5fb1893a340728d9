/* SPDX-License-Identifier: MIT */
/*
 * Checks a decoded request against the disk and says what to do: a pure function over the private
 * copy. Rules: xen/io/blkif.h, which leaves the order of checks open: request.c documents it.
 */
#ifndef BLKIF_REQUEST_H
#define BLKIF_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "blkif/abi.h"

#define BLKIF_MAX_INDIRECT_SEGS 256 /* largest feature-max-indirect-segments that we advertise */
_Static_assert(BLKIF_MAX_INDIRECT_SEGS * sizeof(struct blkif_seg) <= 4096, "one page of them");

/* What was advertised to this front end. */
struct blkif_limits {
	uint64_t sectors;     /* disk size, 512-byte units */
	uint32_t sector_size; /* bytes: 512 … 4096; requests must be aligned to it */
	bool readonly;
	bool flush, barrier; /* operation accepted */
	bool discard, discard_secure;
	/* It was offered, and the device turned out not to have it: a front end that asks for it
	 * must not be told that it was done. */
	bool discard_secure_withdrawn;
	/* Units of a front end that does not keep to 512 bytes: sector numbers and counts, and
	 * first and last of segments, are to be multiplied by 1 << shift. 0: as the specification
	 * says. */
	uint32_t sector_shift, segment_shift;
	uint32_t
	    indirect_segments; /* of one indirect request, up to BLKIF_MAX_INDIRECT_SEGS; 0: none */
};

enum blkif_kind {
	BLKIF_KIND_READ,
	BLKIF_KIND_WRITE,
	BLKIF_KIND_FLUSH,   /* flush, then write if length > 0 */
	BLKIF_KIND_BARRIER, /* all before, this (with its data, if any), all after */
	BLKIF_KIND_DISCARD,
};

struct blkif_plan {
	enum blkif_kind kind;
	bool secure;     /* DISCARD */
	uint64_t offset; /* bytes */
	uint64_t
	    length; /* bytes of data or of the discarded range; 0 for a bare flush or barrier */
	uint16_t nr_segments;
};

/* Why a request was refused; counted per reason, shown in statistics. */
enum blkif_refusal {
	BLKIF_OK = 0,
	BLKIF_UNKNOWN_OP,   /* → EOPNOTSUPP */
	BLKIF_UNSUPPORTED,  /* known, but not offered on this disk → EOPNOTSUPP */
	BLKIF_BAD_SEGMENTS, /* count of 0 where data is needed, or too many → ERROR, like the rest
	                     */
	BLKIF_BAD_SEGMENT,  /* first > last, or last beyond the page */
	BLKIF_MISALIGNED,   /* sector or a segment's length not a multiple of sector_size */
	BLKIF_OUT_OF_RANGE, /* beyond the end, or wraps */
	BLKIF_READONLY,     /* write, discard or barrier with data on a read-only disk */
	BLKIF_BAD_DISCARD,  /* empty */
	BLKIF_BAD_INDIRECT, /* an inner operation that is neither READ nor WRITE */
	BLKIF_BAD_GRANT,    /* a page of it cannot be reached: found when it is copied, so never an
	                       answer of blkif_check */
	BLKIF_REFUSALS
};
const char *blkif_refusal_name(enum blkif_refusal r); /* "out-of-range" … */
/* What is wrong with the request, as a clause for people: "it reaches beyond the end …". */
const char *blkif_refusal_text(enum blkif_refusal r);

/* How many descriptors must be copied from the start of page req->indirect[0] before blkif_check
 * can say anything: 0 for a request that has its segments in itself, or that will be refused in any
 * case. What we accept fits one page; more pages of descriptors are never looked at. */
uint32_t blkif_descriptors(const struct blkif_req *req, const struct blkif_limits *lim);

/* seg: req->seg, or for an indirect request as many descriptors as blkif_descriptors says (private
 * copies). BLKIF_OK with *plan filled, or the reason. A bare FLUSH on a read-only disk is fine. A
 * discard need not fit the granularity advertised. */
enum blkif_refusal blkif_check(const struct blkif_req *req, const struct blkif_seg *seg,
                               const struct blkif_limits *lim, struct blkif_plan *plan);

/* BLKIF_RSP_ERROR or BLKIF_RSP_EOPNOTSUPP for a refusal. */
int16_t blkif_refusal_status(enum blkif_refusal r);

/* The operation a response to this request names: the inner one for INDIRECT. */
uint8_t blkif_response_op(const struct blkif_req *req);

#endif
