/* SPDX-License-Identifier: MIT */
/* The bytes of an image that claims and fences lock; for the files of this folder only. They lie
 * beyond any data, but for QEMU's. */
#ifndef STORAGE_LOCKS_H
#define STORAGE_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define LOCKS_SPAN (1ull << 60) /* of the numbers of disks, see claim_owner */
#define LOCKS_BASE (1ull << 62)

enum {
	LOCK_OWNER = 0,   /* locked by each claim: for writing by one that shares with nobody */
	LOCK_SHARERS = 1, /* by claims that share and write, for reading */
	LOCK_READERS = 2, /* by claims that only read, for reading */
};

/* A byte for each disk in each of these: by its claim, for reading; by its I/O, for writing. */
enum locks_range { RANGE_NAME = 1, RANGE_FENCE = 2, RANGE_FENCE_SHARED = 3 };

/* QEMU's, on its own images: what it does (PERM + n), and what it does not share (UNSHARED + n),
 * each locked for reading. QEMU, docs/system/images.rst, "Disk image file locking". */
enum { QEMU_PERM = 100, QEMU_UNSHARED = 200 };
enum { QEMU_READ = 0, QEMU_WRITE = 1 };

static inline uint64_t locks_byte(unsigned which)
{
	return LOCKS_BASE + which;
}

static inline uint64_t locks_disk(enum locks_range range, uint64_t owner)
{
	return LOCKS_BASE + (uint64_t)range * LOCKS_SPAN + owner;
}

/* Locks one byte, for writing or reading; with wait, without limit. 0, -EBUSY or another -errno. */
int locks_take(int fd, uint64_t byte, bool write, bool wait);
int locks_take_many(int fd, uint64_t first, uint64_t length, bool write, bool wait);
int locks_leave(int fd, uint64_t byte); /* 0 or -errno */

/* Whether somebody else has a lock in these bytes that one for writing (or reading) would meet;
 * *byte (may be NULL): the first byte of it. No lock can be told: false. */
bool locks_met(int fd, uint64_t first, uint64_t length, bool write, uint64_t *byte);

/* The same of one of the ranges, but for owner's own byte; *other: whose. */
bool locks_met_disk(int fd, enum locks_range range, uint64_t owner, bool write, uint64_t *other);

#endif
