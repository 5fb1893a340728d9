/* SPDX-License-Identifier: MIT */
/* The statistics page's numbers as plain files, for scripts. */
#include "worker/stats_text.h"

#include <stdio.h>
#include <string.h>

/* Of each counter in struct stats_queue. */
#define OFFSET(name) offsetof(struct stats_queue, name),
static const size_t offsets[] = {STATS_TEXTS(OFFSET)};

/* Sum of one counter over the queues. */
static uint64_t counter_sum(const struct stats_page *page, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STATS_MAX_QUEUES; i++)
		sum += __atomic_load_n(
		    (const uint64_t *)(const void *)((const char *)&page->queue[i] + offset),
		    __ATOMIC_RELAXED);
	return sum;
}

void stats_text_write(struct worker *w)
{
	for (size_t i = 0; i < STATS_NR_TEXTS; i++) {
		char text[STATS_TEXT_BYTES];
		uint64_t word[STATS_TEXT_BYTES / sizeof(uint64_t)];
		int n = snprintf(text, sizeof text, "%llu",
		                 (unsigned long long)counter_sum(w->files.stats, offsets[i]));
		memset(text + n, '\n', sizeof text - (size_t)n);
		memcpy(word, text, sizeof word);
		/* Relaxed, but whole words: a reader sees each eight digits as they are or were. */
		for (size_t k = 0; k < sizeof word / sizeof *word; k++)
			__atomic_store_n(&w->files.text[i][k], word[k], __ATOMIC_RELAXED);
	}
}
