/* SPDX-License-Identifier: MIT */
/* The patience of everything that a guest waits for: what ran short for a moment is tried again. */
#ifndef BASE_SHORTAGE_H
#define BASE_SHORTAGE_H

#include <stdint.h>

/* How long to wait before what failed with rc (-errno) is tried again, tries times having been so
 * already, in nanoseconds; 0: it is not, the guest hears of it. Pure; any thread. */
uint64_t shortage_pause_ns(int rc, unsigned tries);

#endif
