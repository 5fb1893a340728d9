/* SPDX-License-Identifier: MIT */
/* Discards of one queue: the kernel does them synchronously, so a helper thread waits for them. */
#ifndef STORAGE_DISCARD_H
#define STORAGE_DISCARD_H

#include <pthread.h>

#include "storage/storage.h"

/* A discard is done in pieces, which end at multiples of their size. A file's readers and writers
 * wait for the piece that is under way, as the kernel locks the file for it; those of a device do
 * not, but a kill has to wait for one until the image's lock is free. So pieces grow only while
 * they are quick. */
enum discard_kind {
	DISCARD_DATA, /* of a file, data in it */
	DISCARD_HOLE, /* of a file, none in it: what took blocks without data is quick, too */
	DISCARD_DEVICE,
	DISCARD_KINDS
};

/* Bytes of the next piece of that kind, after a whole one of piece bytes (0: there was none) which
 * took so long. A power of two. Pure. */
uint64_t discard_pace(enum discard_kind kind, uint64_t piece, uint64_t took_ns);

/* Of all queues of a disk one piece at a time is with the kernel; they take turns, in order. */
struct discard_turns {
	pthread_mutex_t lock;
	pthread_cond_t next;
	uint64_t last, now;            /* handed out; under way. Under the lock */
	uint64_t piece[DISCARD_KINDS]; /* bytes; whose turn it is */
};

#define DISCARD_TURNS_INIT                                                           \
	{                                                                            \
		.lock = PTHREAD_MUTEX_INITIALIZER, .next = PTHREAD_COND_INITIALIZER, \
	}

/* In order of submission. Whoever holds the lock. */
struct discard_list {
	struct storage_io *first, **last;
};

struct discard {
	/* constant while the helper runs */
	int fd;
	bool block;
	struct discard_turns *turns; /* shared with the helpers of the other queues */
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

/* Starts the helper. fd, turns: lent until discard_stop; block: it is a block device. 0 or -errno.
 */
int discard_start(struct discard *d, int fd, bool block, struct discard_turns *turns,
                  struct io_uring *ring);

/* Data thread. Completes through the ring with 0 or -errno. Those of one queue are done one after
 * the other. */
void discard_submit(struct discard *d, struct storage_io *io);

/* Nothing may be outstanding. */
void discard_stop(struct discard *d);

#endif
