/* SPDX-License-Identifier: MIT */
/*
 * Persistent grants of one queue: pages that the front end promised to keep granted, kept mapped
 * (xen/io/blkif.h, feature-persistent). Found by a hash of the reference; the least recently used
 * ones go when there are more than the limit. Data is copied between these pages and our own
 * buffers, so that no I/O of a dead worker can reach a page that the guest has back. A page that is
 * not here is copied through Xen, which is always right.
 */
#ifndef DISK_GRANTS_H
#define DISK_GRANTS_H

#include <stdint.h>

#include "xen/platform.h"

/* A mapped page, on the list from the most to the least recently used one. */
struct grant {
	void *page;
	uint64_t used_ns;
	uint32_t ref;
	uint32_t newer, older; /* indices + 1; 0: none */
};

/* Owned by the queue's thread. All of it is zero while it is off. */
struct grants {
	struct xen_gnttab *gnttab; /* lent */
	uint16_t domid;
	uint64_t idle_ns; /* a page that was not used for so long goes */
	uint32_t limit, count;
	struct grant *grant; /* limit of them */
	uint32_t *free;      /* stack of indices */
	uint32_t *table;     /* open addressing: index + 1; 0: empty */
	uint32_t mask;
	uint32_t newest, oldest; /* indices + 1; 0: none */
	uint64_t purge_ns;       /* not before */
	uint64_t release_ns;     /* look for idle ones then */
	uint64_t retry_ns;       /* a map failed: no other attempt before */
};

/* limit 0: stays off. 0 or -ENOMEM. */
int grants_make(struct grants *g, struct xen_gnttab *gnttab, uint16_t domid, uint32_t limit,
                uint64_t idle_ns);
void grants_free(struct grants *g); /* unmaps all; idempotent */
/* The page of that reference, writable; mapped now if it was not and there is room. NULL: copy it.
 * now_ns: as clock_ns. Valid until the next call. */
void *grants_page(struct grants *g, uint32_t ref, uint64_t now_ns);
/* Unmaps what was not used for too long, which grants_page also does. When to call next; 0: nothing
 * is left. */
uint64_t grants_release_idle(struct grants *g, uint64_t now_ns);

#endif
