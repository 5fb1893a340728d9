/* SPDX-License-Identifier: MIT */
/* Operations that are tried again; for the engines. */
#ifndef STORAGE_AGAIN_H
#define STORAGE_AGAIN_H

#include "storage/engine.h"

/* How long to wait before the operation that failed with rc (-errno) is tried again, tries times
 * having been so already; 0: it is not, the caller of storage_submit hears of it. Pure. */
uint64_t again_pause_ns(int rc, unsigned tries);

/* How an engine ends each operation, instead of io->done: that is called, or the operation is
 * submitted to the engine again later, as if for the first time. io->uop is not in use any more.
 * Data thread; never blocks, never allocates: the pause is a timeout on the queue's ring
 * (IORING_OP_TIMEOUT). */
void storage_done(struct storage_io *io, int rc);

#endif
