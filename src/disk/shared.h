/* SPDX-License-Identifier: MIT */
/*
 * What the queues of one disk share. Made by the control thread before its queues, which register
 * before any of them runs; used by all of them. Nothing here is touched by reads and writes in
 * normal operation.
 */
#ifndef DISK_SHARED_H
#define DISK_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/blocks.h"
#include "disk/trouble.h"

struct disk_shared {
	int wake_fd[WM_MAX_QUEUES]; /* eventfd of each queue; -1: none. Constant while they run */
	struct blocks blocks;
	uint32_t withdrawn; /* atomic: enum wm_withdrawn, what the device said it cannot do */
	struct trouble trouble;
	uint32_t suspect; /* atomic: 1 + index of the queue whose suspect runs alone; 0: none */
};

void shared_init(struct disk_shared *s);

/* Suspects run alone on the whole disk, so that a fault names the one that did it. False: another
 * queue's runs; this queue is woken when it is done. */
bool shared_suspect_enter(struct disk_shared *s, unsigned queue);
void shared_suspect_leave(struct disk_shared *s, unsigned queue);

/* Makes the queue's thread look around. Any thread. */
void shared_wake(const struct disk_shared *s, unsigned queue);

#endif
