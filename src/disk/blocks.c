/* SPDX-License-Identifier: MIT */
/* Ranges in the order they came: one is held when none before it overlaps. All buckets are under
 * one lock, so that order is the same in each. */
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
	r->links = 1 + ((r->end - 1) / BLOCKS_REGION != r->at / BLOCKS_REGION);
	for (unsigned i = 0; i < r->links; i++) {
		struct block_bucket *in = bucket(b, r, i);
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
	}
}

static bool overlap(const struct block_range *a, const struct block_range *b)
{
	return a->at < b->end && b->at < a->end;
}

static bool is_free(struct blocks *b, const struct block_range *r)
{
	for (unsigned i = 0; i < r->links; i++)
		for (const struct block_link *l = bucket(b, r, i)->first; l != &r->link[i];
		     l = l->next)
			if (overlap(l->range, r))
				return false;
	return true;
}

bool blocks_lock(struct blocks *b, struct block_range *r)
{
	pthread_mutex_lock(&b->lock);
	r->next_granted = NULL;
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
			later->held = true;
			*b->granted_last[later->queue] = later;
			b->granted_last[later->queue] = &later->next_granted;
			queues |= 1u << later->queue;
		}
	return queues;
}

uint32_t blocks_unlock(struct blocks *b, struct block_range *r)
{
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
