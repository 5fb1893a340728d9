/* SPDX-License-Identifier: MIT */
/* The faults of front_fake_full.h, and how it moves data, rightly or not. */
#ifndef TESTS_FRONT_FAKE_FAULTS_H
#define TESTS_FRONT_FAKE_FAULTS_H

#include "front_fake.h"

#define FULL_INDIRECT 64 /* segments that are offered */
#define FULL_PAGES 48    /* that are kept mapped */

enum full_fault {
	NO_FAULT,
	/* discards */
	DISCARDS_BEYOND,     /* what is beyond the end is cut off, and the rest is done */
	DISCARD_SUM_WRAPS,   /* start + count in 64 bits */
	DISCARDS_MORE,       /* the 16 pages around it */
	DISCARD_UNDONE_OKAY, /* not offered, and "done" all the same */
	SECURE_REFUSED,      /* not offered, and the flag refused */
	/* indirect requests */
	INDIRECT_OUTER_OP, /* the response names INDIRECT */
	INDIRECT_11,       /* only the first 11 segments */
	INDIRECT_ALL_REFS, /* each of the 8 references that is not 0 must be good */
	INDIRECT_MAPS_RW,  /* the descriptors' page must be writable */
	INDIRECT_MORE,     /* takes more than it offers */
	INDIRECT_ANY_OP,   /* whatever is not WRITE is a READ */
	INDIRECT_RANGES,   /* first and last are not looked at */
	/* persistent grants */
	KEEPS_PAGES,          /* mapped without having been asked to, until Closed */
	KEEPS_AFTER_CLOSED,   /* … those of feature-persistent */
	PERSISTENT_FULL,      /* more than FULL_PAGES: ERROR */
	PERSISTENT_STALE,     /* what a page held when it was mapped */
	PERSISTENT_READ_ONLY, /* mapped for the first request's direction */
	/* queues */
	QUEUE_0_IDS,     /* one table of requests, by slot, which queue 0 fills */
	TELLS_QUEUE_0,   /* events for all of them */
	QUEUES_APART,    /* each has a disk of its own */
	QUEUE_BARRIERS,  /* a barrier lets one pass, but in queue 0 */
	QUEUE_NUMBERS,   /* whatever number is asked for becomes a good one */
	QUEUE_0_FOR_ALL, /* what queue-1 does not have is taken from queue-0 */
	/* hostile guests */
	NO_OVERFLOW_CHECK,
	DEAD_BY_OVERFLOW, /* its disk is not served any more */
	DROPS_BAD,        /* requests that make no sense are not answered */
	NOISE_OKAY,       /* … are OKAY */
	DEAF_AT_NO_STATE, /* after a state that is none */
	/* others */
	ANY_PROTOCOL,      /* takes it for x86_64 */
	WANTS_REF_0,       /* whenever the order is written */
	NOT_FOR_MINIOS,    /* waits for Initialised */
	RINGS_STAY_MAPPED, /* after Closed */
	UNKNOWN_IS_ERROR,  /* an operation */
	EMPTY_OKAY,        /* a read or write of nothing */
	BYTES_WRAP,        /* sector times 512 in 64 bits */
	BARRIER_LETS_PASS, /* the write behind it */
	READONLY_HONEST,   /* no fault, on a disk that must not be written */
	READONLY_WRITES,   /* does not look */
	READONLY_DISCARDS, /* looks only if there is data */
};

/* The thread's. */
struct full {
	enum full_fault fault;
	bool stopped[FAKE_QUEUES], deaf, persistent;
	struct full_page {
		uint32_t ref;
		bool writable;
		uint8_t *at, first[4096]; /* what it held at first */
	} page[512];
	unsigned nr_pages;
	void *leaked[4096];
	unsigned nr_leaked;
	uint8_t *disks; /* of the queues, if they are apart */
	struct blkif_limits lim;
	uint64_t ids[512]; /* of queue 0's requests, by slot */
};

static inline bool full_has(const struct fake *b, enum full_fault fault)
{
	return ((const struct full *)b->own)->fault == fault;
}

static inline bool full_readonly(const struct fake *b)
{
	return ((const struct full *)b->own)->fault >= READONLY_HONEST;
}

/* ---- data ---- */

/* The page, mapped already or now; NULL: it cannot be. */
static inline struct full_page *full_page(struct fake *b, uint32_t ref, bool writable)
{
	struct full *u = b->own;
	struct full_page *p;
	void *at;

	for (p = u->page; p < u->page + u->nr_pages; p++)
		if (p->ref == ref)
			return p;
	if (u->nr_pages == sizeof u->page / sizeof *u->page ||
	    xen_gnttab_map(b->gnttab, GUEST, 1, &ref, writable, &at))
		return NULL;
	*p = (struct full_page){.ref = ref, .writable = writable, .at = at};
	memcpy(p->first, at, sizeof p->first);
	u->nr_pages++;
	return p;
}

static inline bool full_copy_mapped(struct fake *b, bool read, const struct blkif_seg *s,
                                    void *disk)
{
	struct full *u = b->own;
	bool narrow = u->fault == PERSISTENT_READ_ONLY;
	struct full_page *p = full_page(b, s->gref, narrow ? read : true);
	size_t n = (s->last - s->first + 1u) * 512;

	if (!p || (read && !p->writable))
		return false;
	if (read)
		memcpy(p->at + 512 * s->first, disk, n);
	else
		memcpy(disk, (u->fault == PERSISTENT_STALE ? p->first : p->at) + 512 * s->first, n);
	return true;
}

static inline bool full_copy(struct fake *b, bool read, const struct blkif_seg *s, void *disk)
{
	struct full *u = b->own;
	struct xen_copy piece = {.local = disk,
	                         .ref = s->gref,
	                         .offset = (uint16_t)(s->first * 512),
	                         .length = (uint16_t)((s->last - s->first + 1) * 512),
	                         .to_guest = read};

	if (u->persistent && (u->nr_pages < FULL_PAGES || u->fault == PERSISTENT_FULL)) {
		if (u->nr_pages < FULL_PAGES)
			return full_copy_mapped(b, read, s, disk);
		for (unsigned i = 0; i < u->nr_pages; i++)
			if (u->page[i].ref == s->gref)
				return full_copy_mapped(b, read, s, disk);
		return false;
	}
	if (!u->persistent && u->fault == KEEPS_PAGES && !full_page(b, s->gref, false))
		return false;
	return !xen_gnttab_copy(b->gnttab, GUEST, &piece, 1) && !piece.status;
}

/* All of it from the guest before any of it is on the disk. */
static inline int16_t full_move(struct fake *b, unsigned queue, const struct blkif_seg *seg,
                                const struct blkif_plan *plan)
{
	static uint8_t buf[BLKIF_MAX_INDIRECT_SEGS * 4096];
	struct full *u = b->own;
	uint8_t *disk = (u->disks ? u->disks + queue * b->bytes : b->disk) + plan->offset;
	bool read = plan->kind == BLKIF_KIND_READ;
	size_t done = 0;

	if (read)
		memcpy(buf, disk, plan->length);
	for (unsigned i = 0; i < plan->nr_segments && done < plan->length; i++) {
		if (!full_copy(b, read, &seg[i], buf + done))
			return BLKIF_RSP_ERROR;
		done += (seg[i].last - seg[i].first + 1u) * 512;
	}
	if (!read)
		memcpy(disk, buf, done);
	return BLKIF_RSP_OKAY;
}

static inline int16_t full_discard(struct fake *b, const struct blkif_req *r)
{
	uint64_t end = b->bytes / 512, from = r->sector, to = r->sector + r->nr_sectors;

	if (full_has(b, DISCARD_UNDONE_OKAY))
		return BLKIF_RSP_OKAY;
	if (full_has(b, DISCARDS_MORE)) {
		from &= ~127ull;
		to = (to + 127) & ~127ull;
	}
	to = to < end ? to : end;
	if (from < to)
		memset(b->disk + from * 512, 0, (to - from) * 512);
	return BLKIF_RSP_OKAY;
}

/* Whether this fault has a request done that the others refuse, or refused one that they do. */
static inline bool full_wrong_status(struct fake *b, const struct blkif_req *r,
                                     enum blkif_refusal why, int16_t *status)
{
	uint64_t end = b->bytes / 512;
	bool discard = r->op == BLKIF_OP_DISCARD;

	*status = BLKIF_RSP_OKAY;
	switch (((struct full *)b->own)->fault) {
	case DISCARDS_BEYOND:
		return discard && why == BLKIF_OUT_OF_RANGE;
	case DISCARD_SUM_WRAPS:
		return discard && why == BLKIF_OUT_OF_RANGE && r->sector + r->nr_sectors <= end;
	case DISCARD_UNDONE_OKAY:
		return discard;
	case READONLY_DISCARDS:
		if (discard && why == BLKIF_READONLY)
			full_discard(b, r);
		return discard && why == BLKIF_READONLY;
	case NOISE_OKAY:
		return why == BLKIF_BAD_SEGMENTS || why == BLKIF_BAD_SEGMENT ||
		       why == BLKIF_BAD_INDIRECT;
	case EMPTY_OKAY:
		return why == BLKIF_BAD_SEGMENTS && !r->nr_segments;
	case BYTES_WRAP:
		return why == BLKIF_OUT_OF_RANGE && r->nr_segments == 1 &&
		       r->sector << 9 < b->bytes;
	case SECURE_REFUSED:
		*status = BLKIF_RSP_EOPNOTSUPP;
		return discard && (r->flag & BLKIF_DISCARD_SECURE);
	case UNKNOWN_IS_ERROR:
		*status = BLKIF_RSP_ERROR;
		return why == BLKIF_UNKNOWN_OP;
	default:
		return false;
	}
}

#endif
