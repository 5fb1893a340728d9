/* SPDX-License-Identifier: MIT */
/* Discards of one queue: the kernel does them synchronously, so a helper thread waits for them. */
#ifndef STORAGE_DISCARD_H
#define STORAGE_DISCARD_H

#include <pthread.h>

#include "storage/storage.h"

/* In order of submission. Whoever holds the lock. */
struct discard_list {
	struct storage_io *first, **last;
};

struct discard {
	/* constant while the helper runs */
	int fd;
	bool block;
	struct io_uring *ring;
	int eventfd; /* helper → ring: something is in `finished` */
	pthread_t helper;

	/* both threads, under lock */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct discard_list todo, finished;
	bool stop;

	/* the data thread's */
	unsigned outstanding;
	bool armed; /* a read of eventfd is on the ring: only while something is outstanding */
	uint64_t events;
	struct uring_op uop;
};

/* Starts the helper. fd: lent until discard_stop; block: it is a block device. 0 or -errno. */
int discard_start(struct discard *d, int fd, bool block, struct io_uring *ring);

/* Data thread. Completes through the ring with 0 or -errno. Done one after the other, in pieces of
 * at most 64 MiB: a kill has to wait for one piece only until the image's lock is free. */
void discard_submit(struct discard *d, struct storage_io *io);

/* Nothing may be outstanding. */
void discard_stop(struct discard *d);

#endif
