/* SPDX-License-Identifier: MIT */
/* The arena: runs of 2^order units at multiples of their size, so that a search is a few masks. */
#include "disk/buffers.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

int buffers_make(struct buffers *b)
{
	void *base = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*b = (struct buffers){0};
	if (base == MAP_FAILED)
		return -ENOMEM;
	b->base = base;
	/* A huge page would stay whole for the one request of an idle disk. */
	madvise(base, BUFFERS_BYTES, MADV_NOHUGEPAGE);
	return 0;
}

void buffers_free(struct buffers *b)
{
	if (b->base)
		munmap(b->base, BUFFERS_BYTES);
	b->base = NULL;
}

static unsigned order_of(uint64_t bytes)
{
	uint64_t units = (bytes + BUFFERS_UNIT - 1) / BUFFERS_UNIT;

	return units < 2 ? 0 : 64 - (unsigned)__builtin_clzll(units - 1);
}

uint64_t buffers_units(uint64_t bytes)
{
	return 1ull << order_of(bytes);
}

/* Within a word: the first aligned run of 2^order (below 64) free bits, or -1. */
static int run_in_word(uint64_t used, unsigned order)
{
	static const uint64_t aligned[] = {~0ull,
	                                   0x5555555555555555ull,
	                                   0x1111111111111111ull,
	                                   0x0101010101010101ull,
	                                   0x0001000100010001ull,
	                                   0x0000000100000001ull};
	uint64_t free = ~used;

	/* After each step a bit says that twice as many from it on are free. */
	for (unsigned i = 0; i < order; i++)
		free &= free >> (1u << i);
	free &= aligned[order];
	return free ? __builtin_ctzll(free) : -1;
}

static int64_t find_small(const struct buffers *b, unsigned order)
{
	for (uint32_t w = b->first; w < BUFFERS_WORDS; w++) {
		int bit = b->used[w] == ~0ull ? -1 : run_in_word(b->used[w], order);
		if (bit >= 0)
			return (int64_t)w * 64 + bit;
	}
	return -1;
}

static int64_t find_large(const struct buffers *b, uint32_t words)
{
	for (uint32_t w = 0; w + words <= BUFFERS_WORDS; w += words) {
		uint64_t any = 0;
		for (uint32_t i = 0; i < words; i++)
			any |= b->used[w + i];
		if (!any)
			return (int64_t)w * 64;
	}
	return -1;
}

static uint64_t mask_of(unsigned order)
{
	return order >= 6 ? ~0ull : (1ull << (1u << order)) - 1;
}

static uint32_t words_of(unsigned order)
{
	return order >= 6 ? 1u << (order - 6) : 1;
}

void *buffers_take(struct buffers *b, uint64_t bytes)
{
	unsigned order = order_of(bytes);
	int64_t at = order < 6 ? find_small(b, order) : find_large(b, words_of(order));

	if (at < 0)
		return NULL;
	for (uint32_t i = 0; i < words_of(order); i++)
		b->used[at / 64 + i] |= mask_of(order) << at % 64;
	while (b->first < BUFFERS_WORDS && b->used[b->first] == ~0ull)
		b->first++;
	b->taken++;
	b->touched = true;
	return b->base + (size_t)at * BUFFERS_UNIT;
}

void buffers_give(struct buffers *b, void *buffer, uint64_t bytes)
{
	unsigned order = order_of(bytes);
	size_t at = (size_t)((char *)buffer - b->base) / BUFFERS_UNIT;

	for (uint32_t i = 0; i < words_of(order); i++)
		b->used[at / 64 + i] &= ~(mask_of(order) << at % 64);
	if (at / 64 < b->first)
		b->first = (uint32_t)(at / 64);
	b->taken--;
}

void buffers_trim(struct buffers *b)
{
	if (b->taken || !b->touched)
		return;
	madvise(b->base, BUFFERS_BYTES, MADV_DONTNEED);
	b->touched = false;
}
