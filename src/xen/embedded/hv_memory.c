/* SPDX-License-Identifier: MIT */
/*
 * Page frames of a domain. A frame whose grant is gone is given back only when no map holds it and
 * no copy is under way on it, even of a process that was killed in its middle.
 */
#include "xen/embedded/hv_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "xen/embedded/hv_domain_ref.h"

/* Owned by the hypervisor: a frame without grant and maps that a copy still names. */
struct hv_waiting {
	struct list link;
	struct hv_domain *domain;
	uint32_t frame;
};

static bool run_free(const struct hv_domain *d, uint32_t first, uint32_t count, uint32_t *next)
{
	for (uint32_t i = count; i-- > 0;) {
		if (d->frames[first + i].state != FRAME_FREE) {
			*next = first + i + 1;
			return false;
		}
	}
	return true;
}

int hv_frames_alloc(struct hv_domain *d, uint32_t count, uint32_t *first)
{
	uint32_t at = d->next_frame;

	/* Behind the last one first, then from the start: two passes see every run. */
	for (int pass = 0; pass < 2; pass++, at = 0) {
		while (at + count <= HV_FRAMES) {
			if (!run_free(d, at, count, &at))
				continue;
			for (uint32_t i = 0; i < count; i++)
				d->frames[at + i] = (struct hv_frame){.state = FRAME_SHARED};
			d->next_frame = at + count;
			*first = at;
			return 0;
		}
	}
	return -ENOMEM;
}

/* Its next user finds zeros; the memory goes back to the machine. Only now its reference may stand
 * for another page: a slot that still names it means this one. */
static void frame_free(struct hv_domain *d, uint32_t frame)
{
	if (d->frames[frame].ref)
		d->free_refs[d->free_refs_n++] = d->frames[frame].ref;
	fallocate(d->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)frame * HV_PAGE,
	          HV_PAGE);
	d->frames[frame].state = FRAME_FREE;
}

bool hv_slot_busy(struct hv *hv, uint16_t domid, uint32_t ref)
{
	uint64_t word = hv_slot_word(domid, ref);

	/* Full order: we made the entry invalid before, a copier names it before it looks there. */
	for (uint32_t i = 1; i < hv->slots.size; i++)
		if (hv->slots.slot[i] && atomic_load(&hv->slot_mem[i].grant) == word)
			return true;
	return false;
}

/* An orphan frame without pins. */
static void frame_settle(struct hv_domain *d, uint32_t frame)
{
	struct hv *hv = d->hv;

	/* Memory of a dead domain is given to nobody else, so a late copy harms nobody. */
	if (!d->alive || !hv_slot_busy(hv, d->domid, d->frames[frame].ref)) {
		frame_free(d, frame);
		return;
	}
	struct hv_waiting *w = calloc(1, sizeof *w);
	if (!w)
		return; /* a page lost is better than one used twice */
	w->domain = d;
	w->frame = frame;
	d->users++;
	list_append(&hv->waiting, &w->link);
	loop_timer_arm(hv->loop, &hv->waiting_timer, 10 * NS_PER_MS);
}

static void waiting_expired(struct loop_timer *timer)
{
	struct hv *hv = container_of(timer, struct hv, waiting_timer);
	struct list old;

	list_init(&old);
	list_for_each(it, tmp, &hv->waiting)
	{
		list_remove(it);
		list_append(&old, it);
	}
	list_for_each(it, tmp, &old)
	{
		struct hv_waiting *w = container_of(it, struct hv_waiting, link);
		frame_settle(w->domain, w->frame);
		hv_domain_put(w->domain);
		free(w);
	}
}

void hv_frames_release(struct hv_domain *d, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		d->frames[i].state = FRAME_ORPHAN;
		if (!d->frames[i].pins)
			frame_settle(d, i);
	}
}

void hv_frame_unpin(struct hv_domain *d, uint32_t frame)
{
	struct hv_frame *f = &d->frames[frame];

	if (--f->pins == 0 && f->state == FRAME_ORPHAN)
		frame_settle(d, frame);
}

void hv_memory_init(struct hv *hv)
{
	list_init(&hv->waiting);
	hv->waiting_timer.expired = waiting_expired;
}

void hv_memory_fini(struct hv *hv)
{
	loop_timer_cancel(&hv->waiting_timer);
	list_for_each(it, tmp, &hv->waiting)
	{
		struct hv_waiting *w = container_of(it, struct hv_waiting, link);
		hv_domain_put(w->domain);
		free(w);
	}
}
