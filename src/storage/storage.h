/* SPDX-License-Identifier: MIT */
/*
 * The storage engine contract. A storage is one open image; a storage queue is one data thread's
 * access to it. Control calls may block and explain themselves; data calls do neither.
 *
 * Life: storage_open → storage_queue_open per data thread → storage_submit … → drained →
 * storage_queue_close → storage_close. Open and close: control thread. Queue calls: the thread that
 * owns the io_uring. The engine owns nothing of the caller's but what it was lent in a storage_io
 * between submit and done.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uring.h"

struct storage;
struct storage_queue;
struct lost;

#define STORAGE_TARGET_MAX 1024
#define STORAGE_FAULT_MAX 256

enum storage_engine {
	STORAGE_FILE, /* regular file or block device */
	STORAGE_NULL, /* reads zeros, forgets writes; "null:SIZE" */
};

/* A parsed TARGET. */
struct storage_target {
	enum storage_engine engine;
	char path[STORAGE_TARGET_MAX]; /* FILE: absolute */
	/* NULL: bytes. FILE: not 0 if a guest uses the disk already, which had that many bytes.
	 * Then no size of the image is refused: it is rounded down, and an empty one leaves this
	 * one. */
	uint64_t size;
	uint64_t rdev; /* FILE: the block device that the path must be; 0: any image */
	/* For tests: faults of storage/fault.h on top; "": none. No text in xenstore leads here
	 * unless the supervisor was started with --test-faults. */
	char fault[STORAGE_FAULT_MAX];
};

/*
 * "/path", "aio:/path", "raw:/path", "phy:/path", "null:SIZE". A leading "aio:" (libxl's prefix for
 * raw) is stripped before anything else. 0; -EINVAL: not understood, -ENOTSUP: a known scheme
 * (qcow2, vhd, nbd, nbd+unix, rbd) that is not built in; *err names the text and what would do.
 */
int storage_target_parse(const char *text, struct storage_target *out, struct error *err);

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
	bool after_death; /* a worker of this disk may have died: what it wrote and was lost is told
	                     to its front end */
};

struct storage_caps {
	uint64_t size;           /* bytes, a multiple of logical_block; see storage_size */
	uint32_t logical_block;  /* bytes: the unit that requests must keep to; 512 or 4096 */
	uint32_t physical_block; /* bytes; see storage_physical */
	bool readonly;
	bool flush; /* FLUSH works */
	/* Worth an attempt: the first one may fail with -EOPNOTSUPP, then all do. */
	bool discard, discard_secure;
	uint32_t discard_granularity, discard_alignment; /* bytes, granularity > 0 if discard */
	bool rotational, removable, cdrom;
	bool direct;           /* O_DIRECT in use */
	uint32_t major, minor; /* of a block device, else 0 */
	uint64_t diskseq; /* which of those that had this number; 0: no block device, old kernel */
};

/*
 * Opens through the claim, waits for the fence without limit, flushes and drops the page cache,
 * finds the capabilities. What cannot be flushed is an error, or, after a death, the matter of
 * storage_submit. Changes nothing in the image, whatever its size is and whoever else writes to it.
 * O_DIRECT, or buffered with a log line saying why. 0 or -errno with *err.
 */
int storage_open(const struct storage_spec *spec, struct storage **out, struct error *err);
const struct storage_caps *storage_caps(const struct storage *s);
/* The size now, in bytes; any thread. */
uint64_t storage_size(const struct storage *s);
/* Looks whether the image has grown or shrunk: caps.size is the new size when it returns, and
 * operations beyond it are refused from then on. 0 or -errno with *err: the size stays. Control
 * thread, at any time. */
int storage_resize(struct storage *s, struct error *err);
/* Whether an engine could have found them: none is zero that is divided by, and they fit each
 * other. Pure; for numbers that come from another process. */
bool storage_caps_sane(const struct storage_caps *c);
/* What to show as physical sector of a disk of such capabilities in sectors of that size (512 to
 * 4096): the largest power of two that divides the disk's size in whole sectors, at most
 * physical_block, at least a sector. Of 0, which is nothing that is known: 0. Pure. */
uint32_t storage_physical(const struct storage_caps *c, uint32_t sector);
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
