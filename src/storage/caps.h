/* SPDX-License-Identifier: MIT */
/* What a storage can do. */
#ifndef STORAGE_CAPS_H
#define STORAGE_CAPS_H

#include <stdbool.h>
#include <stdint.h>

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

/* Whether an engine could have found them: none is zero that is divided by, and they fit each
 * other. Pure; for numbers that come from another process. */
bool storage_caps_sane(const struct storage_caps *c);
/* What to show as physical sector of a disk of such capabilities in sectors of that size (512 to
 * 4096): the largest power of two that divides the disk's size in whole sectors, at most
 * physical_block, at least a sector. Of 0, which is nothing that is known: 0. Pure. */
uint32_t storage_physical(const struct storage_caps *c, uint32_t sector);

#endif
