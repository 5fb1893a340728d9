/* SPDX-License-Identifier: MIT */
/*
 * What it costs to take turns at blocks, where sectors are smaller than they are: as many ranges in
 * flight as 16 queues of 256 requests have, each replaced by another one, at random or one after
 * the other, and by 1 or 16 threads at once.
 *
 * usage: blocks [ROUNDS]     (200000 of each thread)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "disk/blocks.h"

#define QUEUES 16u
#define DEPTH 256u
#define BLOCK 4096ull
#define DISK (64ull << 30)

struct worker {
	pthread_t thread;
	struct block_range range[DEPTH];
	unsigned queue, rounds, blocks; /* of each range */
	bool sequential, whole;
	uint64_t rng, at;
};

static struct blocks blocks;
static struct worker worker[QUEUES];

static uint64_t place(struct worker *w)
{
	w->rng = w->rng * 6364136223846793005u + 1442695040888963407u;
	if (!w->sequential)
		return (w->rng >> 20) % (DISK / BLOCK - w->blocks) * BLOCK;
	/* Streams, 1 GiB apart. */
	w->at += w->blocks;
	return ((uint64_t)w->queue << 30) + w->at * BLOCK;
}

/* Those that have to wait come by themselves; nobody asks when. */
static void take(struct worker *w, struct block_range *r)
{
	uint32_t wake;

	r->queue = w->queue;
	r->at = place(w);
	r->end = r->at + w->blocks * BLOCK;
	r->whole = w->whole;
	blocks_lock(&blocks, r, &wake);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++) {
		struct block_range *r = &w->range[i % DEPTH];
		blocks_unlock(&blocks, r);
		take(w, r);
	}
	return NULL;
}

static void run(const char *what, unsigned threads, bool sequential, bool whole, unsigned size,
                unsigned rounds)
{
	blocks_init(&blocks);
	for (unsigned q = 0; q < QUEUES; q++) {
		struct worker *w = &worker[q];
		*w = (struct worker){.queue = q,
		                     .rounds = rounds,
		                     .blocks = size,
		                     .sequential = sequential,
		                     .whole = whole,
		                     .rng = q + 1};
		for (unsigned i = 0; i < DEPTH; i++)
			take(w, &w->range[i]);
	}
	uint64_t begun = clock_ns();
	for (unsigned i = 0; i < threads; i++)
		pthread_create(&worker[i].thread, NULL, work, &worker[i]);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(worker[i].thread, NULL);
	printf("%-32s %2u threads: %6llu ns each\n", what, threads,
	       (unsigned long long)((clock_ns() - begun) / rounds / threads));
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;

	for (unsigned threads = 1; threads <= QUEUES; threads *= QUEUES) {
		run("parts, 4 KiB at random", threads, false, false, 1, rounds);
		run("parts, one after the other", threads, true, false, 1, rounds);
		run("parts, 1 MiB at random", threads, false, false, 256, rounds);
		run("whole, 4 KiB at random", threads, false, true, 1, rounds);
		run("whole, one after the other", threads, true, true, 1, rounds);
		run("whole, 1 MiB at random", threads, false, true, 256, rounds);
	}
	return 0;
}
