/* SPDX-License-Identifier: MIT */
/* What we write into a device's back end directory. Each call is one transaction that also moves
 * `state`, and only from the state that the decision was made from. The thread of the store. */
#ifndef XENBUS_PUBLISH_H
#define XENBUS_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/store.h"

/* What a front end learns about the disk. */
struct disk_keys {
	uint64_t sectors;                           /* 512-byte units, whatever sector_size is */
	uint32_t sector_size, physical_sector_size; /* bytes */
	unsigned info;                              /* VDISK_* */
	bool flush, barrier, discard, discard_secure;
	uint32_t discard_granularity, discard_alignment; /* bytes */
	bool persistent;
};

/* What it may make use of when it connects. */
struct offer_keys {
	uint32_t max_queues, max_indirect_segments; /* indirect 0: not offered */
	uint32_t max_ring_order; /* log2 of the largest ring in pages, at most RING_MAX_ORDER */
};

/* All: 0; -ESTALE: state is not `from` any more; -ENOENT: no such node; -EAGAIN: conflicts without
 * end; -errno. Nothing was written unless 0. */

/* The keys that a front end reads before it connects, and InitWait. */
int publish_initwait(struct store *s, const char *backend, int from, const struct offer_keys *o);
/* Removes the directory, if state is Closed and online is 0; nothing above it. */
int publish_removal(struct store *s, const char *backend);
/* All about the disk, and Connected. */
int publish_connected(struct store *s, const char *backend, int from, const struct disk_keys *k);
/* A new size, and Connected over Connected: a front end that sees its state written looks again. */
int publish_resize(struct store *s, const char *backend, const struct disk_keys *k);
/* Features that are withdrawn while Connected; the state is not touched. */
int publish_features(struct store *s, const char *backend, const struct disk_keys *k);

#endif
