/* SPDX-License-Identifier: MIT */
/*
 * Ranges of a disk whose blocks are being read, changed and written as a whole, because the front
 * end was told of smaller sectors than the device has. Two writes that touch one block do so one
 * after the other, whichever queues they are in: else the second one's bytes could be lost to the
 * first one's old copy of the block. Only such disks use this; a lock that is held for some
 * comparisons is what they pay.
 */
#ifndef DISK_BLOCKS_H
#define DISK_BLOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/message.h"

/* Embedded in its owner, who is waited for. Under the lock while it is on a list. */
struct block_range {
	uint64_t at, end; /* bytes, whole blocks */
	unsigned queue;   /* the owner's */
	bool held;
	struct block_range *next, *next_granted;
};

/* Shared by the queues of a disk. */
struct blocks {
	pthread_mutex_t lock;
	struct block_range *first, **last; /* held and waiting, in the order they came */
	struct block_range *granted[WM_MAX_QUEUES], **granted_last[WM_MAX_QUEUES];
};

void blocks_init(struct blocks *b);
/* at, end, queue are filled in. True: it is held. False: it comes by blocks_granted later. */
bool blocks_lock(struct blocks *b, struct block_range *r);
/* Returns a bit for each queue that has been granted something. */
uint32_t blocks_unlock(struct blocks *b, struct block_range *r);
/* Ranges of that queue that are held now and were not before, linked by next_granted; or NULL. */
struct block_range *blocks_granted(struct blocks *b, unsigned queue);

#endif
