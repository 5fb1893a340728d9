/* SPDX-License-Identifier: MIT */
/*
 * The memory of one queue's requests in flight: an arena of which each takes a run of pages, the
 * lowest that is free, so that the same pages are used again and again. A request that finds no
 * room waits for its turn; as what is in flight always ends, that turn comes.
 */
#ifndef DISK_BUFFERS_H
#define DISK_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>

#define BUFFERS_BYTES (16u << 20)
#define BUFFERS_UNIT 4096u
#define BUFFERS_WORDS (BUFFERS_BYTES / BUFFERS_UNIT / 64)

/* Owned by the queue's thread. */
struct buffers {
	char *base;                   /* NULL: not made */
	uint64_t used[BUFFERS_WORDS]; /* a bit a unit */
	uint32_t first;               /* no unit is free in the words before it */
	uint32_t taken;               /* buffers out */
	bool touched;                 /* since the last trim */
};

int buffers_make(struct buffers *b); /* 0 or -ENOMEM; takes address space, no memory yet */
void buffers_free(struct buffers *b);
/* Contiguous, page aligned, of at least `bytes` (1 to 4 MiB); contents undefined. NULL: no room
 * now. */
void *buffers_take(struct buffers *b, uint64_t bytes);
void buffers_give(struct buffers *b, void *buffer, uint64_t bytes); /* bytes as taken */
/* How many units a buffer of so many bytes takes. */
uint64_t buffers_units(uint64_t bytes);
/* Gives the memory back to the system if no buffer is out. */
void buffers_trim(struct buffers *b);

#endif
