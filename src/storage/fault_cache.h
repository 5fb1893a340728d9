/* SPDX-License-Identifier: MIT */
/*
 * A disk with a volatile write cache, for tests: a write is seen by everyone once it is done, but
 * only a flush that was submitted after that brings it to the image. All else is lost with the
 * process, however that ends, unless it was written back early. Whole blocks, never parts of one.
 *
 * One for all queues of a disk. Any thread; the calls may block, as no engine's may.
 */
#ifndef STORAGE_FAULT_CACHE_H
#define STORAGE_FAULT_CACHE_H

#include "storage/engine.h"

struct fault_cache;

/* On an image of the file engine, whose size must not change any more; lent until the cache is
 * freed. early: of 100 blocks written, so many are written back at once, chosen by the seed. 0 or
 * -errno with *err. */
int fault_cache_make(struct storage *inner, uint32_t early, uint64_t seed, struct fault_cache **out,
                     struct error *err);
void fault_cache_free(struct fault_cache *c); /* NULL is fine; what is volatile is lost */

/* READ, WRITE: the whole of it. DISCARD: what is known once the engine has done it. 0 or -errno. */
int fault_cache_do(struct fault_cache *c, const struct storage_io *io);

/* What a flush covers, taken when it is submitted … */
uint64_t fault_cache_mark(struct fault_cache *c);
/* … and brought to the image when it ends. 0 or -errno. */
int fault_cache_flush(struct fault_cache *c, uint64_t mark);

#endif
