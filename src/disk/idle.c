/* SPDX-License-Identifier: MIT */
/*
 * What a busy queue holds and an idle one gives back: its buffers a second after the last request,
 * pages mapped for good when their own time has come. In between the thread sleeps; once all is
 * given back it sleeps without end.
 */
#include <sys/mman.h>

#include "base/clock.h"
#include "disk/invariants.h"

#define TRIM_NS NS_PER_S

size_t queue_descriptor_bytes(const struct queue *q)
{
	return (size_t)q->ring.slots * BLKIF_MAX_INDIRECT_SEGS * sizeof *q->descriptors;
}

void queue_busy(struct queue *q)
{
	bool holds = q->buffers.touched || q->descriptors_touched || q->grants.count;

	q->idle_ns = holds ? clock_ns() + TRIM_NS : 0;
}

void queue_tidy(struct queue *q)
{
	uint64_t now = clock_ns();

	q->idle_ns = 0;
	invariants_check_all(q);
	if (q->grants.count)
		q->idle_ns = grants_release_idle(&q->grants, now);
	__atomic_store_n(&q->c.stats->persistent, q->grants.count, __ATOMIC_RELAXED);
	/* What hangs in the storage needs its memory still; its end makes the queue busy again. */
	if (q->inflight || q->waiting.head)
		return;
	buffers_trim(&q->buffers);
	if (q->descriptors_touched)
		madvise(q->descriptors, queue_descriptor_bytes(q), MADV_DONTNEED);
	q->descriptors_touched = false;
}
