/* SPDX-License-Identifier: MIT */
/* Checks of a queue's own state. docs/crash-recovery.md lists them. */
#include "disk/invariants.h"

#include <stdlib.h>

#include "base/log.h"

void invariant_broken(const struct queue *q, const char *what, const char *condition)
{
	log_error("queue %u: internal error: %s: not %s; cons %llu, pvt %llu, pub %llu, %u slots, "
	          "%u free, %u in flight, %u buffers, %u of %u pages; the worker aborts, its "
	          "successor goes on from the journal",
	          q->c.index, what, condition, (unsigned long long)q->cons,
	          (unsigned long long)q->pvt, (unsigned long long)q->pub, q->ring.slots, q->nr_free,
	          q->inflight, q->buffers.taken, q->grants.count, q->grants.limit);
	abort();
}

void invariants_check_counters(const struct queue *q)
{
	uint64_t unanswered = q->cons - q->pvt;

	MUST(q, q->pub <= q->pvt && q->pvt <= q->cons, "counters out of order");
	MUST(q, q->cons - q->pub <= q->ring.slots, "more requests taken than the ring has slots");
	MUST(q, q->nr_free + (q->cons - q->pub) == q->ring.slots,
	     "free and taken slots do not add up");
	MUST(q, q->inflight <= unanswered, "more requests in flight than taken");
	MUST(q, !q->alone_running || q->inflight,
	     "an exclusive request runs, and none is in flight");
	MUST(q, q->block_waiters <= q->inflight,
	     "more requests wait for blocks than are in flight");
	MUST(q, q->buffers.taken <= unanswered, "more buffers out than requests taken");
	MUST(q, q->grants.count <= q->grants.limit, "more pages mapped than allowed");
}

/* ---- slots ---- */

/* Which slots were found on a list. */
struct seen {
	bool slot[JOURNAL_SLOTS_MAX];
	uint32_t count;
};

static void see(const struct queue *q, struct seen *seen, uint32_t slot, uint32_t state)
{
	MUST(q, slot < q->ring.slots, "a list names a slot that the ring does not have");
	MUST(q, !seen->slot[slot], "a slot is on two lists");
	MUST(q, q->journal.slot[slot].state == state, "the journal differs from the lists");
	seen->slot[slot] = true;
	seen->count++;
}

static uint32_t see_list(const struct queue *q, struct seen *seen, const struct fifo *list)
{
	uint32_t before = seen->count;

	for (const struct request *r = list->head; r; r = r->next)
		see(q, seen, r->slot, JOURNAL_TAKEN);
	return seen->count - before;
}

/* Each slot is free, waits, is being copied or about to be, is finished, or is in nobody's list:
 * then the storage has it, or it waits for its blocks. */
static void check_slots(const struct queue *q)
{
	struct seen seen = {.count = 0};
	uint32_t listed;

	for (uint32_t i = 0; i < q->nr_free; i++)
		see(q, &seen, q->free_slots[i], JOURNAL_FREE);
	see_list(q, &seen, &q->taken);
	see_list(q, &seen, &q->waiting);
	listed = see_list(q, &seen, &q->copy_in) + see_list(q, &seen, &q->copy_out) +
	         see_list(q, &seen, &q->parked) + see_list(q, &seen, &q->finished);
	MUST(q, !q->answered.head, "an answer is not published");
	MUST(q, listed <= q->inflight, "more requests on lists than in flight");
	MUST(q, q->ring.slots - seen.count == q->inflight - listed,
	     "requests in flight and slots on no list differ");
	for (uint32_t i = 0; i < q->ring.slots; i++)
		MUST(q, seen.slot[i] || q->journal.slot[i].state == JOURNAL_TAKEN,
		     "the journal differs from what is in flight");
}

/* ---- memory ---- */

static void check_buffers(const struct queue *q)
{
	uint64_t units = 0, used = 0;
	uint32_t out = 0;

	for (uint32_t i = 0; i < q->ring.slots; i++) {
		const struct request *r = &q->request[i];
		out += r->buf != NULL;
		units += r->buf ? buffers_units(r->span) : 0;
	}
	for (uint32_t w = 0; w < BUFFERS_WORDS; w++)
		used += (uint64_t)__builtin_popcountll(q->buffers.used[w]);
	MUST(q, out == q->buffers.taken, "buffers out and requests with one differ");
	MUST(q, units == used, "pages out and pages of requests differ");
}

static void check_grants(const struct queue *q)
{
	const struct grants *g = &q->grants;
	uint32_t listed = 0, hashed = 0;

	for (uint32_t i = g->newest; i && listed <= g->limit; i = g->grant[i - 1].older)
		listed++;
	for (uint32_t i = 0; g->table && i <= g->mask; i++)
		hashed += g->table[i] != 0;
	MUST(q, listed == g->count, "pages mapped and pages listed differ");
	MUST(q, hashed == g->count, "pages mapped and pages hashed differ");
}

void invariants_check_all(const struct queue *q)
{
	MUST(q, q->journal.slots == q->ring.slots, "journal and ring differ in size");
	MUST(q, q->ring.slots <= JOURNAL_SLOTS_MAX, "the ring is larger than any");
	invariants_check_counters(q);
	check_slots(q);
	check_buffers(q);
	check_grants(q);
}
