/* SPDX-License-Identifier: MIT */
/*
 * Ranges of a disk whose blocks are being read, changed and written as a whole, because the front
 * end was told of smaller sectors than the device has. A write of a part of a block and any other
 * that touches that block come one after the other, whichever queues they are in: else the second
 * one's bytes could be lost to the first one's old copy of the block. Writes of whole blocks have
 * no old copy, and do not wait for each other. Only such disks use this.
 *
 * Writes of whole blocks are counted, by region, without a lock, as long as no part is in their
 * regions. Each side makes itself seen before it looks for the other: a part that finds whole
 * writes counted waits until there are none, wherever in its regions they write; and a whole write
 * that finds parts in the list joins them, and waits for those that it overlaps.
 *
 * Ranges are found by the regions of the disk that they lie in, hashed: what is compared is what
 * lies near each other, however much is in flight. Memory is fixed. bench/blocks measures it: with
 * 4096 requests of 4 KiB in flight, one of a part takes and gives its range in 0.5 us if they are
 * at random places, 1.5 us if they are one after the other, and one of whole blocks in 0.06 us.
 */
#ifndef DISK_BLOCKS_H
#define DISK_BLOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/message.h"

#define BLOCKS_REGION (1ull << 20) /* bytes */
#define BLOCKS_BUCKETS 256u

/* A range's place in a bucket. */
struct block_link {
	struct block_range *range;
	struct block_link *next, **here; /* here: what points to this one */
};

/* Embedded in its owner, who is waited for. Under the lock while it is in a bucket. */
struct block_range {
	uint64_t at,
	    end;        /* bytes, whole blocks; at most a region and one block, so in two regions */
	unsigned queue; /* the owner's */
	bool whole;     /* covers all blocks that it touches */
	bool counted;   /* held, and in no list */
	bool held;
	unsigned links;
	struct block_link link[2];
	struct block_range *next_granted;
};

/* Held and waiting, in the order they came. */
struct block_bucket {
	struct block_link *first, **last;
	uint32_t parts; /* atomic: links of parts in the list. Changed under the lock */
	uint32_t whole; /* atomic: writes of whole blocks that are in no list */
};

/* Shared by the queues of a disk. */
struct blocks {
	pthread_mutex_t lock;
	struct block_bucket bucket[BLOCKS_BUCKETS];
	struct block_range *granted[WM_MAX_QUEUES], **granted_last[WM_MAX_QUEUES];
};

void blocks_init(struct blocks *b);
/* at, end, queue, whole are filled in. True: it is held. False: it comes by blocks_granted later.
 * *wake: a bit for each queue that has been granted something else. */
bool blocks_lock(struct blocks *b, struct block_range *r, uint32_t *wake);
/* Returns a bit for each queue that has been granted something. */
uint32_t blocks_unlock(struct blocks *b, struct block_range *r);
/* Ranges of that queue that are held now and were not before, linked by next_granted; or NULL. */
struct block_range *blocks_granted(struct blocks *b, unsigned queue);

#endif
