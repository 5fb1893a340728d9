/* SPDX-License-Identifier: MIT */
/*
 * Is the ring still the one that the journal tells of? A guest that was suspended, and resumes
 * while nobody serves it, makes a new one, and for that gets the references and the port that it
 * has just given back: xenstore says what it said before.
 */
#ifndef DISK_ANOTHER_RING_H
#define DISK_ANOTHER_RING_H

#include "blkif/ring.h"
#include "disk/journal.h"

/*
 * True: it was made anew (it starts at 0, as every front end's does: xen/io/ring.h,
 * SHARED_RING_INIT), and does not hold what the journal says. Nothing of the journal may be
 * executed or answered then. rec: from journal_inspect; rsp_prod: as read from the ring, once. Any
 * thread, changes nothing. The ring is the guest's: a lie costs it its own requests.
 */
bool another_ring(const struct journal *j, const struct journal_recovery *rec,
                  const struct blkif_ring *ring, uint32_t rsp_prod);

#endif
