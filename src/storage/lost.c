/* SPDX-License-Identifier: MIT */
/*
 * Exactly once in each queue, whenever somebody is killed: a flush that is to fail first puts its
 * own number into the queue's word. Killed before that, whatever flush comes next tells. Killed
 * after it, the request either is done again, and fails again by its number; or its answer was
 * journaled, and is published by the successor.
 */
#include "storage/lost.h"

#define TO_BE_TOLD UINT64_MAX

void lost_note(struct lost *l)
{
	/* Relaxed, here and below: no queue's thread runs; the start of one orders it. */
	for (unsigned i = 0; l->word && i < LOST_QUEUES; i++)
		__atomic_store_n(&l->word[i], TO_BE_TOLD, __ATOMIC_RELAXED);
}

bool lost_tell(struct lost *l, unsigned queue, uint64_t request)
{
	if (!l->word || queue >= LOST_QUEUES)
		return false;
	uint64_t *word = &l->word[queue];
	/* Relaxed: this thread's own; a successor finds it no later than the answer, for the
	 * journal's stores are releases. */
	uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	if (now == TO_BE_TOLD)
		__atomic_store_n(word, request + 1, __ATOMIC_RELAXED);
	return now == TO_BE_TOLD || now == request + 1;
}

void lost_renew(struct lost *l)
{
	for (unsigned i = 0; l->word && i < LOST_QUEUES; i++)
		if (__atomic_load_n(&l->word[i], __ATOMIC_RELAXED) != TO_BE_TOLD)
			__atomic_store_n(&l->word[i], 0, __ATOMIC_RELAXED);
}

void lost_forget(struct lost *l)
{
	for (unsigned i = 0; l->word && i < LOST_QUEUES; i++)
		__atomic_store_n(&l->word[i], 0, __ATOMIC_RELAXED);
}
