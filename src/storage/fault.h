/* SPDX-License-Identifier: MIT */
/*
 * Faults on request, for tests: a filter on top of any engine. It has no TARGET of its own; the
 * supervisor fills storage_target.fault, and only if it was started for tests.
 *
 * SPEC: items separated by commas, each KEY=VALUE.
 *   seed=N            of all that is random here; the same one gives the same choices
 *   error=P           P of 100 operations fail with EIO, undone
 *   error@N=COUNT     the Nth operation of the queue (from 1) and the COUNT - 1 after it fail
 *   short@N=COUNT     the Nth operation of the queue and the COUNT - 1 after it, those that are
 *                     tried again among them, fail with ENOMEM
 *   bad=FIRST-LAST    every operation that touches these sectors fails
 *   delay=P/US        P of 100 begin late, by up to US microseconds: others overtake them
 *   late=P/US         P of 100 are reported late, in any order
 *   torn=P/US         P of 100 writes are done in two halves with up to US microseconds between,
 *                     so that a kill leaves half of it
 *   abort=SECTOR      whoever touches that sector dies by SIGABRT
 *   cache=P           a volatile write cache (storage/fault_cache.h), of whose blocks P of 100 are
 *                     written back at once, and all of them in a close that is in order; the disk's
 *                     size is what it was when it was opened
 *   noflush=N         the Nth flush of the queue (from 1) and all after it: EOPNOTSUPP
 *   discard=US        each discard begins US microseconds late
 *   slow=US           each read and write begins US microseconds late
 */
#ifndef STORAGE_FAULT_H
#define STORAGE_FAULT_H

#include "storage/engine.h"

struct fault_chance {
	uint32_t percent, us;
};

struct fault_spec {
	uint64_t seed;
	uint32_t error;
	uint64_t script_first, script_count; /* count 0: none */
	uint64_t short_first, short_count;
	uint64_t bad_first, bad_last; /* first > last: none */
	struct fault_chance delay, late, torn;
	uint64_t abort_sector; /* UINT64_MAX: none */
	bool cache;
	uint32_t cache_early; /* percent */
	uint64_t no_flush;    /* from that one on; 0: all work */
	uint32_t discard_us, slow_us;
};

/* 0, or -EINVAL with *err naming the item. */
int fault_parse(const char *text, struct fault_spec *out, struct error *err);

/* Puts the filter on *storage, which it then owns, and which is unchanged after an error. Control
 * thread. */
int fault_wrap(const char *spec, struct storage **storage, struct error *err);

#endif
