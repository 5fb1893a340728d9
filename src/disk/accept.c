/* SPDX-License-Identifier: MIT */
/* What becomes of a request that was taken: its descriptors are copied, it is checked, and waits
 * for its turn or is refused. */
#include <errno.h>

#include "base/clock.h"
#include "base/shortage.h"
#include "disk/request.h"

/* status: of the piece; rc: of the whole batch. */
static int why_unreadable(int16_t status, int rc)
{
	if (!status)
		return 0;
	return shortage_pause_ns(rc, 0) ? rc : -EFAULT;
}

/* Copies the descriptors of the first requests of q->taken: what is checked later is what was
 * copied here. How many of these can be accepted: those before the first that has to be tried
 * again. */
static uint32_t copy_descriptors(struct queue *q)
{
	uint32_t n = 0, all = 0, ready;
	struct request *r;

	for (r = q->taken.head; r && all < COPY_BATCH; r = r->next, all++) {
		uint32_t count = blkif_descriptors(&r->req, &q->c.limits);
		r->seg = r->req.seg;
		r->nr_copies = 0;
		r->unreadable = 0;
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
	int rc = n ? xen_gnttab_copy(q->gnttab, q->c.domid, q->copies, n) : 0;
	ready = all;
	n = 0;
	r = q->taken.head;
	for (uint32_t i = 0; i < all; i++, r = r->next) {
		if (r->nr_copies)
			r->unreadable = why_unreadable(q->copies[n++].status, rc);
		if (r->unreadable && copies_again(r, rc) && ready > i)
			ready = i;
	}
	return ready;
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

/* The kernel was short of memory for too long: not the guest's fault, so the host hears of it. */
static void give_up(struct queue *q, struct request *r)
{
	r->plan = (struct blkif_plan){.kind = r->req.inner_op == BLKIF_OP_READ ? BLKIF_KIND_READ
	                                                                       : BLKIF_KIND_WRITE,
	                              .offset = r->req.sector << BLKIF_SECTOR_SHIFT};
	request_note_failed(q, r, r->unreadable);
	r->refusal = BLKIF_OK;
	request_finish_at_once(q, r, BLKIF_RSP_ERROR);
}

/* Checks the private copy; refused requests are finished at once. */
static void accept_one(struct queue *q, struct request *r, const struct blkif_limits *lim)
{
	enum blkif_refusal why =
	    r->unreadable ? BLKIF_BAD_GRANT : blkif_check(&r->req, r->seg, lim, &r->plan);

	r->refusal = (uint8_t)why;
	r->started = r->waited = false;
	r->tries = 0;
	if (r->unreadable && r->unreadable != -EFAULT) {
		give_up(q, r);
		return;
	}
	if (why) {
		request_finish_at_once(q, r, blkif_refusal_status(why));
		return;
	}
	r->alone |= r->plan.kind == BLKIF_KIND_BARRIER;
	fifo_put(&q->waiting, r);
}

/* All wait behind the first one that does, or a barrier could be overtaken. */
void queue_accept(struct queue *q)
{
	struct blkif_limits lim;

	if (!q->taken.head)
		return;
	lim = limits_now(q);
	while (q->taken.head && (!q->taken.head->due_ns || q->taken.head->due_ns <= clock_ns()))
		for (uint32_t n = copy_descriptors(q); n; n--)
			accept_one(q, fifo_get(&q->taken), &lim);
}
