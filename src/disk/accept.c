/* SPDX-License-Identifier: MIT */
/* What becomes of a request that was taken: its descriptors are copied, it is checked, and waits
 * for its turn or is refused. */
#include "disk/request.h"

/* Copies the descriptors of all indirect requests in the list, once: what is checked later is what
 * was copied here. */
static void copy_descriptors(struct queue *q, const struct fifo *list)
{
	uint32_t n = 0;

	for (struct request *r = list->head; r; r = r->next) {
		uint32_t count = blkif_descriptors(&r->req, &q->c.limits);
		r->seg = r->req.seg;
		r->nr_copies = 0;
		r->unreadable = false;
		if (!count)
			continue;
		struct blkif_seg *seg = q->descriptors + (size_t)r->slot * BLKIF_MAX_INDIRECT_SEGS;
		r->seg = seg;
		r->nr_copies = 1;
		q->copies[n++] = (struct xen_copy){.local = seg,
		                                   .ref = r->req.indirect[0],
		                                   .length = (uint16_t)(count * sizeof *seg)};
		q->descriptors_touched = true;
	}
	if (n)
		xen_gnttab_copy(q->gnttab, q->c.domid, q->copies, n);
	n = 0;
	for (struct request *r = list->head; r; r = r->next)
		if (r->nr_copies)
			r->unreadable = q->copies[n++].status != 0;
}

void request_finish_at_once(struct queue *q, struct request *r, int16_t status)
{
	/* Nothing of it runs, so it holds back nobody. Counted as started, as request_finish
	 * expects. */
	r->alone = r->suspect = false;
	q->inflight++;
	request_finish(q, r, status);
}

/* The limits as they are now: an image can change its size, and a device take back what it
 * promised. */
static struct blkif_limits limits_now(const struct queue *q)
{
	struct blkif_limits lim = q->c.limits;
	/* Relaxed: set by any queue when it learns it; what was checked before that is told by the
	 * storage. */
	uint32_t withdrawn = __atomic_load_n(&q->c.shared->withdrawn, __ATOMIC_RELAXED);

	lim.sectors = storage_size(q->c.storage) >> BLKIF_SECTOR_SHIFT;
	if (withdrawn & WM_NO_FLUSH)
		lim.flush = lim.barrier = false;
	if (withdrawn & WM_NO_DISCARD)
		lim.discard = false;
	lim.discard_secure_withdrawn = withdrawn & WM_NO_SECURE_DISCARD;
	return lim;
}

/* Checks the private copy; refused requests are finished at once. */
static void accept_one(struct queue *q, struct request *r, const struct blkif_limits *lim)
{
	enum blkif_refusal why =
	    r->unreadable ? BLKIF_BAD_GRANT : blkif_check(&r->req, r->seg, lim, &r->plan);

	r->refusal = (uint8_t)why;
	r->started = r->waited = false;
	if (why) {
		request_finish_at_once(q, r, blkif_refusal_status(why));
		return;
	}
	r->alone |= r->plan.kind == BLKIF_KIND_BARRIER;
	fifo_put(&q->waiting, r);
}

void queue_accept(struct queue *q, struct fifo *list)
{
	struct blkif_limits lim = limits_now(q);
	struct request *r;

	copy_descriptors(q, list);
	while ((r = fifo_get(list)))
		accept_one(q, r, &lim);
}
