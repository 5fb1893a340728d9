/* SPDX-License-Identifier: MIT */
/* Ranges in the order they came: a part is held when none before it overlaps and no write of whole
 * blocks is counted beside it, a write of whole blocks when no part before it overlaps. All lists
 * are under one lock, so that order is the same in each. */
#include "disk/blocks.h"

#include <stddef.h>

void blocks_init(struct blocks *b)
{
	*b = (struct blocks){.lock = PTHREAD_MUTEX_INITIALIZER};
	for (unsigned i = 0; i < BLOCKS_BUCKETS; i++)
		b->bucket[i].last = &b->bucket[i].first;
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		b->granted_last[i] = &b->granted[i];
}

/* Of r's link i: neighbours have different ones. */
static struct block_bucket *bucket(struct blocks *b, const struct block_range *r, unsigned i)
{
	return &b->bucket[(r->at / BLOCKS_REGION + i) % BLOCKS_BUCKETS];
}

static void put(struct blocks *b, struct block_range *r)
{
	for (unsigned i = 0; i < r->links; i++) {
		struct block_bucket *in = bucket(b, r, i);
		/* Before is_free looks for whole ones: sequentially consistent with enter_whole. */
		if (!r->whole)
			__atomic_add_fetch(&in->parts, 1, __ATOMIC_SEQ_CST);
		r->link[i] = (struct block_link){.range = r, .here = in->last};
		*in->last = &r->link[i];
		in->last = &r->link[i].next;
	}
}

static void take_out(struct blocks *b, struct block_range *r)
{
	for (unsigned i = 0; i < r->links; i++) {
		struct block_link *l = &r->link[i];
		*l->here = l->next;
		if (l->next)
			l->next->here = l->here;
		else
			bucket(b, r, i)->last = l->here;
		if (!r->whole)
			__atomic_sub_fetch(&bucket(b, r, i)->parts, 1, __ATOMIC_SEQ_CST);
	}
}

static bool overlap(const struct block_range *a, const struct block_range *b)
{
	return a->at < b->end && b->at < a->end;
}

/* Whole ones wait for parts alone, those that came before them; parts, for whatever came before. */
static bool is_free(struct blocks *b, const struct block_range *r)
{
	for (unsigned i = 0; i < r->links; i++) {
		const struct block_bucket *in = bucket(b, r, i);
		if (!r->whole && __atomic_load_n(&in->whole, __ATOMIC_SEQ_CST))
			return false;
		for (const struct block_link *l = in->first; l != &r->link[i]; l = l->next)
			if (!(r->whole && l->range->whole) && overlap(l->range, r))
				return false;
	}
	return true;
}

static void grant(struct blocks *b, struct block_range *r)
{
	r->held = true;
	*b->granted_last[r->queue] = r;
	b->granted_last[r->queue] = &r->next_granted;
}

/* ---- writes of whole blocks ---- */

static bool parts_listed(struct blocks *b, const struct block_range *r)
{
	for (unsigned i = 0; i < r->links; i++)
		if (__atomic_load_n(&bucket(b, r, i)->parts, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

static void count_whole(struct blocks *b, const struct block_range *r, uint32_t by)
{
	/* Before parts_listed looks: sequentially consistent with put and is_free. */
	for (unsigned i = 0; i < r->links; i++)
		__atomic_add_fetch(&bucket(b, r, i)->whole, by, __ATOMIC_SEQ_CST);
}

/* r is not counted any more: who waited for that is held now. */
static uint32_t grant_beside(struct blocks *b, const struct block_range *r)
{
	uint32_t queues = 0;

	for (unsigned i = 0; i < r->links; i++)
		for (struct block_link *l = bucket(b, r, i)->first; l; l = l->next) {
			if (l->range->held || !is_free(b, l->range))
				continue;
			grant(b, l->range);
			queues |= 1u << l->range->queue;
		}
	return queues;
}

/* False: there are parts, it must join them. */
static bool enter_whole(struct blocks *b, struct block_range *r, uint32_t *wake)
{
	count_whole(b, r, 1);
	if (!parts_listed(b, r))
		return true;
	pthread_mutex_lock(&b->lock);
	count_whole(b, r, -1u);
	*wake = grant_beside(b, r);
	pthread_mutex_unlock(&b->lock);
	return false;
}

static uint32_t leave_whole(struct blocks *b, struct block_range *r)
{
	uint32_t queues = 0;

	count_whole(b, r, -1u);
	if (!parts_listed(b, r))
		return 0;
	pthread_mutex_lock(&b->lock);
	queues = grant_beside(b, r);
	pthread_mutex_unlock(&b->lock);
	return queues;
}

/* ---- all ---- */

bool blocks_lock(struct blocks *b, struct block_range *r, uint32_t *wake)
{
	*wake = 0;
	r->links = 1 + ((r->end - 1) / BLOCKS_REGION != r->at / BLOCKS_REGION);
	r->next_granted = NULL;
	r->counted = r->whole && enter_whole(b, r, wake);
	if (r->counted)
		return r->held = true;
	pthread_mutex_lock(&b->lock);
	put(b, r);
	r->held = is_free(b, r);
	bool held = r->held;
	pthread_mutex_unlock(&b->lock);
	return held;
}

/* r has been taken out: who waited for it alone is held now. Later ones follow it in its buckets.
 */
static uint32_t grant_after(struct blocks *b, const struct block_range *r)
{
	uint32_t queues = 0;

	for (unsigned i = 0; i < r->links; i++)
		for (struct block_link *l = r->link[i].next; l; l = l->next) {
			struct block_range *later = l->range;
			if (later->held || !overlap(later, r) || !is_free(b, later))
				continue;
			grant(b, later);
			queues |= 1u << later->queue;
		}
	return queues;
}

uint32_t blocks_unlock(struct blocks *b, struct block_range *r)
{
	if (r->counted)
		return leave_whole(b, r);
	pthread_mutex_lock(&b->lock);
	take_out(b, r);
	uint32_t queues = grant_after(b, r);
	pthread_mutex_unlock(&b->lock);
	return queues;
}

struct block_range *blocks_granted(struct blocks *b, unsigned queue)
{
	pthread_mutex_lock(&b->lock);
	struct block_range *list = b->granted[queue];
	b->granted[queue] = NULL;
	b->granted_last[queue] = &b->granted[queue];
	pthread_mutex_unlock(&b->lock);
	return list;
}
