/* SPDX-License-Identifier: MIT */
/* A parsed TARGET: what the supervisor found in xenstore, and the worker opens. */
#ifndef STORAGE_TARGET_H
#define STORAGE_TARGET_H

#include <stdint.h>

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

/* A TARGET's text for an error line, so short that the rest still fits. */
struct target_quoted {
	char text[100];
};

struct target_quoted target_quote(const char *text);

#endif
