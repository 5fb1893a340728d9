/* SPDX-License-Identifier: MIT */
/* What the two ends tell each other in xenstore. */
#ifndef FRONT_BUS_H
#define FRONT_BUS_H

#include "front/front.h"

#pragma GCC visibility push(hidden)

/* Reads where the back end is. -ENODEV: no such device. */
int xbf_locate(struct xenblkfront *f);
/* Waits until the back end's state is in the mask: the state, or -ETIMEDOUT with a text. */
int xbf_wait_state(struct xenblkfront *f, unsigned mask, uint64_t deadline);
/* Reads all pending watch events and throws them away: states are read by value. */
int xbf_drain_watches(struct xenblkfront *f);
/* Writes our state unless the node is gone: 0, -ENOENT, -errno with a text. */
int xbf_switch_state(struct xenblkfront *f, int state);
/* " (back end says: …)" from its error node, or "". */
const char *xbf_back_says(struct xenblkfront *f, char *buf, size_t cap);
/* Reads all keys that there are; what is not there is 0. */
int xbf_read_info(struct xenblkfront *f, struct xenblkfront_info *out);
/* How many queues the back end offers: at least 1. */
unsigned xbf_max_queues(struct xenblkfront *f);
/* One transaction: old keys out, new keys in. */
int xbf_write_ring_keys(struct xenblkfront *f);

#pragma GCC visibility pop

#endif
