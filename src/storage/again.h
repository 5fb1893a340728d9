/* SPDX-License-Identifier: MIT */
/* Operations that are tried again; for the engines. */
#ifndef STORAGE_AGAIN_H
#define STORAGE_AGAIN_H

#include "storage/engine.h"

/* How an engine ends each operation, instead of io->done: that is called, or the operation is
 * submitted to the engine again later, as if for the first time. io->uop is not in use any more.
 * Data thread; never blocks, never allocates: the pause is a timeout on the queue's ring
 * (IORING_OP_TIMEOUT). */
void storage_done(struct storage_io *io, int rc);

#endif
