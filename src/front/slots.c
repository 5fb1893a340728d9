/* SPDX-License-Identifier: MIT */
/* The requests of synchronous I/O and their pages: granted on first use, then kept. */
#include "front/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/failure.h"

#define DIRECT_BYTES (XENBLKFRONT_SEGS * XEN_PAGE_SIZE)
#define MANY_PAGES 4096 /* of a queue's indirect requests; those that find none left are direct */

int xbf_slots_make(struct xenblkfront *f)
{
	uint32_t n = f->q->ring.slots;
	uint32_t offered = f->info.max_indirect_segments;

	f->segs = offered < f->max_segs ? offered : f->max_segs;
	if (f->segs < XENBLKFRONT_SEGS)
		f->segs = XENBLKFRONT_SEGS;
	if (f->q->slots)
		return 0;
	f->q->slots = calloc(n, sizeof *f->q->slots);
	f->q->free_slots = calloc(n, sizeof *f->q->free_slots);
	if (!f->q->slots || !f->q->free_slots) {
		xbf_slots_free(f->q);
		return xbf_fail(f, -ENOMEM, "no memory for %u requests", n);
	}
	for (uint32_t i = 0; i < n; i++)
		f->q->free_slots[i] = (uint16_t)(n - 1 - i);
	f->q->nr_free = n;
	return 0;
}

void xbf_slots_free(struct xbf_queue *q)
{
	for (uint32_t i = 0; q->slots && i < q->ring.slots; i++)
		free(q->slots[i].many_refs);
	free(q->slots);
	free(q->free_slots);
	q->slots = NULL;
	q->free_slots = NULL;
	q->nr_free = q->nr_busy = q->nr_mine = q->nr_many = 0;
}

int xbf_slots_release(struct xenblkfront *f, int (*unshare)(struct xenblkfront *, void *, unsigned))
{
	int rc = 0;

	/* Once is patience enough for a back end that still maps pages; closing the handle revokes
	 * the rest. */
	for (uint32_t i = 0; i < f->q->ring.slots && rc != -EBUSY; i++) {
		struct xbf_slot *s = &f->q->slots[i];
		int r = s->pages ? unshare(f, s->pages, XENBLKFRONT_SEGS) : 0;
		if (r != -EBUSY && s->many)
			r = unshare(f, s->many, s->many_pages) ?: r;
		rc = rc && r != -EBUSY ? rc : r;
	}
	xbf_slots_free(f->q);
	return rc;
}

static int grant(struct xenblkfront *f, unsigned count, uint32_t *refs, uint8_t **pages)
{
	void *addr;
	int rc = xen_gntshr_share(f->gntshr, f->back_domid, count, true, refs, &addr);

	if (rc)
		return xbf_fail(f, rc, "cannot grant %u pages to domain %u: %s", count,
		                f->back_domid, error_name(rc));
	*pages = addr;
	return 0;
}

/* The pages of indirect requests; false if the slot gets none. */
static bool slot_many(struct xenblkfront *f, struct xbf_slot *s)
{
	unsigned count = f->segs + 1;

	if (s->many || f->q->nr_many + count > MANY_PAGES)
		return s->many;
	s->many_refs = malloc(count * sizeof *s->many_refs);
	if (!s->many_refs || grant(f, count, s->many_refs, &s->many)) {
		free(s->many_refs);
		s->many_refs = NULL;
		xbf_clear_error(f); /* direct requests will do */
		return false;
	}
	s->many_pages = count;
	f->q->nr_many += count;
	return true;
}

int xbf_slot_pages(struct xenblkfront *f, struct xbf_slot *s, uint64_t *length)
{
	int rc = 0;

	if (*length > DIRECT_BYTES && slot_many(f, s)) {
		s->data = s->many + XEN_PAGE_SIZE;
		return 0;
	}
	if (*length > DIRECT_BYTES)
		*length = DIRECT_BYTES;
	if (!s->pages)
		rc = grant(f, XENBLKFRONT_SEGS, s->refs, &s->pages);
	s->data = s->pages;
	return rc;
}

void xbf_slot_segments(const struct xbf_slot *s, struct xenblkfront_request *req)
{
	bool many = s->many && s->data != s->pages;
	struct blkif_request_segment *descriptor = (void *)s->many;

	for (uint32_t left = s->length >> BLKIF_SECTOR_SHIFT; left; req->nr_segments++) {
		uint32_t i = req->nr_segments;
		uint32_t here = left < BLKIF_SECTS_PER_PAGE ? left : BLKIF_SECTS_PER_PAGE;
		uint8_t last = (uint8_t)(here - 1);
		if (many)
			descriptor[i] = (struct blkif_request_segment){.gref = s->many_refs[i + 1],
			                                               .last_sect = last};
		else
			req->seg[i] = (struct xenblkfront_seg){.gref = s->refs[i], .last = last};
		left -= here;
	}
	if (many) {
		req->inner_op = req->op;
		req->op = BLKIF_OP_INDIRECT;
		req->indirect[0] = s->many_refs[0];
	}
}
