/* SPDX-License-Identifier: MIT */
/*
 * slowfs MOUNTPOINT CONTROL: a FUSE file system with one file in memory, whose writes can be held
 * back: what they change arrives when the test lets it. It can also fall silent, like one whose
 * server is away: whatever is asked then, a look at the file or its close, too, waits until the
 * test lets it answer, or for a minute; the kernel remembers nothing of the file that would save a
 * question. It cannot make holes. CONTROL is a file with a struct slowfs.
 */
#ifndef TESTS_LIB_SLOWFS_H
#define TESTS_LIB_SLOWFS_H

#include <stdint.h>

#define SLOWFS_FILE "disk.img"
#define SLOWFS_SIZE (1u << 20)

/* Shared by test and file system; every field is atomic. */
struct slowfs {
	uint32_t hold;    /* test: that many of the next writes are to be held back */
	uint32_t held;    /* file system: so many have arrived and wait */
	uint32_t release; /* test: they may go on */
	uint32_t sync;    /* test: not 0: flushes wait until it is 0 again, or for a minute */
	uint32_t syncs;   /* file system: so many have waited for that, or do */
	uint32_t done;    /* file system: so many of them have been carried out */
	uint32_t changes; /* file system: calls that change the file, or would if it could */
	uint32_t silent;  /* test: not 0: nothing is answered until it is 0 again */
	uint32_t asked;   /* file system: so many calls have waited for that, or do */
};

#endif
