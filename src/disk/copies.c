/* SPDX-License-Identifier: MIT */
/* Data between the guest's pages and the buffers of requests, in batches of grant copies. */
#include <string.h>

#include "base/clock.h"
#include "base/shortage.h"
#include "disk/request.h"

bool copies_again(struct request *r, int rc)
{
	uint64_t ns = shortage_pause_ns(rc, r->tries);

	if (!ns)
		return false;
	r->tries++;
	r->due_ns = clock_ns() + ns;
	return true;
}

uint64_t queue_copies_due(const struct queue *q)
{
	uint64_t due = q->taken.head ? q->taken.head->due_ns : 0;

	for (const struct request *r = q->parked.head; r; r = r->next)
		if (!due || r->due_ns < due)
			due = r->due_ns;
	return due;
}

/* Puts back what has waited long enough. */
static void unpark(struct queue *q)
{
	struct request *r = q->parked.head, *next;
	uint64_t now = clock_ns();

	fifo_init(&q->parked);
	for (; r; r = next) {
		next = r->next;
		if (r->due_ns > now)
			fifo_put(&q->parked, r);
		else
			fifo_put(r->plan.kind == BLKIF_KIND_READ ? &q->copy_out : &q->copy_in, r);
	}
}

/* The guest's fault, or, if the kernel was short of memory for too long, the host's. */
static void finish_failed(struct queue *q, struct request *r, int rc)
{
	if (shortage_pause_ns(rc, 0))
		request_note_failed(q, r, rc);
	else
		r->refusal = BLKIF_BAD_GRANT;
	request_finish(q, r, BLKIF_RSP_ERROR);
}

/* Runs the copies of the requests of the batch, as many as are in q->copies, and lets each go on.
 * If the kernel had no memory for them, they are parked; what it did of them does no harm to do
 * again.
 */
static void copies_run(struct queue *q, struct fifo *batch, uint32_t n)
{
	struct xen_copy *c = q->copies;
	struct request *r;

	int rc = n ? xen_gnttab_copy(q->gnttab, q->c.domid, c, n) : 0;
	while ((r = fifo_get(batch))) {
		bool ok = true;
		for (unsigned i = 0; i < r->nr_copies; i++)
			ok &= (c++)->status == 0;
		if (ok)
			request_next(q, r);
		else if (copies_again(r, rc))
			fifo_put(&q->parked, r);
		else
			finish_failed(q, r, rc);
	}
}

/* The data of a request stands in its buffer without gaps, so that one storage operation moves it.
 * What lies in pages that are mapped is copied here; the rest is put into c. */
static void copies_of(struct queue *q, struct request *r, struct xen_copy *c, bool to_guest)
{
	uint64_t now = q->grants.limit ? clock_ns() : 0;
	char *at = r->buf + (r->plan.offset - r->at);
	unsigned shift = BLKIF_SECTOR_SHIFT + q->c.limits.segment_shift;

	r->nr_copies = 0;
	for (unsigned i = 0; i < r->plan.nr_segments; i++) {
		const struct blkif_seg *seg = &r->seg[i];
		uint16_t offset = (uint16_t)(seg->first << shift);
		uint16_t length = (uint16_t)((seg->last - seg->first + 1) << shift);
		char *page = grants_page(&q->grants, seg->gref, now);
		if (page && to_guest)
			memcpy(page + offset, at, length);
		else if (page)
			memcpy(at, page + offset, length);
		else
			c[r->nr_copies++] = (struct xen_copy){
			    .local = at,
			    .ref = seg->gref,
			    .offset = offset,
			    .length = length,
			    .to_guest = to_guest,
			};
		at += length;
	}
}

static void copies_flush(struct queue *q, struct fifo *list, bool to_guest)
{
	struct fifo batch;
	struct request *r;
	uint32_t n = 0;

	fifo_init(&batch);
	while ((r = fifo_get(list))) {
		if (n + r->plan.nr_segments > COPY_BATCH) {
			copies_run(q, &batch, n);
			n = 0;
		}
		copies_of(q, r, &q->copies[n], to_guest);
		n += r->nr_copies;
		fifo_put(&batch, r);
	}
	copies_run(q, &batch, n);
}

void queue_copies(struct queue *q)
{
	if (q->parked.head)
		unpark(q);
	/* A null engine's write is done at once and never comes back here; a flush that was done at
	 * once makes a new copy-in, hence the loop. */
	while (q->copy_in.head)
		copies_flush(q, &q->copy_in, false);
	if (q->copy_out.head)
		copies_flush(q, &q->copy_out, true);
}
