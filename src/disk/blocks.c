/* SPDX-License-Identifier: MIT */
/* Ranges in the order they came: one is held when none before it overlaps. */
#include "disk/blocks.h"

#include <stddef.h>

void blocks_init(struct blocks *b)
{
	*b = (struct blocks){.lock = PTHREAD_MUTEX_INITIALIZER};
	b->last = &b->first;
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		b->granted_last[i] = &b->granted[i];
}

static bool is_free(const struct blocks *b, const struct block_range *r)
{
	for (const struct block_range *e = b->first; e != r; e = e->next)
		if (e->at < r->end && r->at < e->end)
			return false;
	return true;
}

bool blocks_lock(struct blocks *b, struct block_range *r)
{
	pthread_mutex_lock(&b->lock);
	r->next = r->next_granted = NULL;
	*b->last = r;
	b->last = &r->next;
	r->held = is_free(b, r);
	bool held = r->held;
	pthread_mutex_unlock(&b->lock);
	return held;
}

static void take_out(struct blocks *b, struct block_range *r)
{
	struct block_range **at = &b->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (b->last == &r->next)
		b->last = at;
}

uint32_t blocks_unlock(struct blocks *b, struct block_range *r)
{
	uint32_t queues = 0;

	pthread_mutex_lock(&b->lock);
	struct block_range *later = r->next;
	take_out(b, r);
	for (; later; later = later->next) {
		if (later->held || !(later->at < r->end && r->at < later->end) ||
		    !is_free(b, later))
			continue;
		later->held = true;
		*b->granted_last[later->queue] = later;
		b->granted_last[later->queue] = &later->next_granted;
		queues |= 1u << later->queue;
	}
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
