/* SPDX-License-Identifier: MIT */
/*
 * The storage engine contract. A storage is one open image; a storage queue is one data thread's
 * access to it. Control calls may block and explain themselves; data calls do neither.
 *
 * Life: storage_open (engines.h) → storage_queue_open per data thread → storage_submit … → drained
 * → storage_queue_close → storage_close. Open and close: control thread. Queue calls: the thread
 * that owns the io_uring. The engine owns nothing of the caller's but what it was lent in a
 * storage_io between submit and done.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uring.h"
#include "storage/caps.h"
#include "storage/target.h"

struct storage;
struct storage_queue;
struct lost;

/* What an image is. Of a file: device and inode number. Of a block device: its number, and which of
 * the disks behind that number it is (the kernel's diskseq; 0: the kernel is too old to tell).
 * Both 0: not known. */
struct storage_identity {
	uint64_t dev, ino;
};

/* How to open. */
struct storage_spec {
	struct storage_target target;
	int fd;            /* FILE: the claim, see storage/claim.h; lent */
	bool readonly;     /* opened O_RDONLY, too */
	bool shared;       /* writers may share the image (mode "w!") */
	uint64_t owner;    /* claim_owner: whose fence it is */
	struct lost *lost; /* what earlier workers noted, and a loss is noted in; lent until
	                      storage_close; NULL: no flush fails for it */
	/* Set while it waits for the fence, and not for the file system; read by any thread,
	 * atomically. Or NULL. */
	bool *fencing;
	bool after_death; /* a worker of this disk may have died: what it wrote and was lost is told
	                     to its front end */
};

const struct storage_caps *storage_caps(const struct storage *s);
/* The size now, in bytes; any thread. */
uint64_t storage_size(const struct storage *s);
/* Looks whether the image has grown or shrunk: caps.size is the new size when it returns, and
 * operations beyond it are refused from then on. 0 or -errno with *err: the size stays. Control
 * thread, at any time. */
int storage_resize(struct storage *s, struct error *err);
void storage_close(struct storage *s); /* NULL is fine; queues are closed before */

/* ring: the caller's io_uring, on which the engine may queue SQEs with a struct uring_op as user
 * data (base/uring.h). The caller submits and reaps. */
int storage_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                       struct error *err);
void storage_queue_close(struct storage_queue *q); /* nothing may be in flight; NULL is fine */

enum storage_op { STORAGE_READ, STORAGE_WRITE, STORAGE_FLUSH, STORAGE_DISCARD };

/* One operation; embedded in the caller's request. */
struct storage_io {
	/* filled by the caller; offset, length: bytes, multiples of logical_block, within size */
	enum storage_op op;
	bool secure; /* DISCARD */
	void *buf;   /* READ, WRITE: aligned to 4096, lent until done */
	uint64_t offset;
	uint64_t length; /* any length for DISCARD; READ and WRITE at most 1 GiB */
	/* FLUSH: which queue of the disk asks, and its request's number: see storage/lost.h */
	unsigned asker;
	uint64_t request;
	/* rc: 0, or -errno: nothing is known about how much was done. May be called from within
	 * storage_submit. What ran short for a moment (memory) was tried again for some seconds. */
	void (*done)(struct storage_io *io, int rc);
	/* the engine's */
	struct uring_op uop;
	struct storage_queue *queue;
	struct storage_io *next;
	uint64_t progress;
	int rc;
	unsigned tries; /* how often it was tried again */
	struct __kernel_timespec pause;
};

/* Starts the operation. Never blocks, never allocates. A FLUSH covers every WRITE that was done
 * before it was submitted, from whatever queue. Discards do not delay other
 * operations, but for one short piece at a time (discard.h).
 *
 * If opening after a death found that writes of the dead owner had been lost on their way from the
 * page cache to the disk, or a worker before us did, the first FLUSH of each queue fails with -EIO:
 * no other will ever be told (storage/lost.h). */
void storage_submit(struct storage_queue *q, struct storage_io *io);

#endif
