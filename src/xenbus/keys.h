/* SPDX-License-Identifier: MIT */
/* Reads what the front end offers (ring, event channel, protocol) out of its keys. No xenstore
 * here: the values come through a reader, so that every spelling can be tested. Nothing is trusted.
 */
#ifndef XENBUS_KEYS_H
#define XENBUS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "blkif/abi.h"

#define RING_MAX_ORDER 4 /* max-ring-page-order that xenblkd advertises */
#define RING_MAX_REFS (1u << RING_MAX_ORDER)
#define RING_MAX_QUEUES 16 /* largest multi-queue-max-queues that xenblkd advertises */
#define KEY_QUOTE 40       /* at most so much of a key's text goes into a message */

/* Where keys are read. get: as store_read, length or -errno (-ENOENT: absent). dirs: lent. */
struct key_reader {
	int (*get)(void *arg, const char *dir, const char *name, char *buf, size_t cap);
	void *arg;
	const char *backend, *frontend;
	bool no_hotplug; /* no script runs: params counts at sight, whatever `script` says */
};

struct queue_keys {
	uint32_t port;                /* the front end's */
	uint32_t refs[RING_MAX_REFS]; /* unused ones are 0 */
};

struct ring_keys {
	enum blkif_protocol protocol;
	uint32_t order;
	uint32_t persistent; /* feature-persistent: 1 if the front end keeps its pages granted */
	uint32_t nr_queues;
	struct queue_keys queue[RING_MAX_QUEUES]; /* unused ones are 0 */
};

/* fallback: the protocol if the key is absent. As many queues are accepted as the back end's own
 * key offers. 0, or -errno with *err naming the key and its text. Any thread. */
int ring_keys_read(const struct key_reader *r, enum blkif_protocol fallback, struct ring_keys *out,
                   struct error *err);

/* Whether ring_keys_read may give something else when that key of the front end, or what is below
 * it, changes. name: below the front end's directory. Pure. */
bool ring_key(const char *name);

/* log2 of the largest ring, in pages, that can be offered where one mapping takes map_pages
 * references. Pure. */
unsigned ring_max_order(uint32_t map_pages);
/* A number that we ourselves wrote into the back end's directory when the front end connected;
 * absent or out of range: `fallback`. 0, or -errno with *err: it cannot be read (store_unread). */
int ring_offer_read(const struct key_reader *r, const char *name, uint32_t max, uint32_t fallback,
                    uint32_t *out, struct error *err);

#endif
