/* SPDX-License-Identifier: MIT */
/* So many at once, then one in each interval. Pure but for the clock. */
#ifndef BASE_PACE_H
#define BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* *next: 0 at first, then kept by the caller. Whether one more may be done now; if so, it counts.
 */
static inline bool pace(uint64_t *next, unsigned burst, uint64_t interval_ns)
{
	uint64_t now = clock_ns();

	if (*next < now)
		*next = now;
	if (*next >= now + burst * interval_ns)
		return false;
	*next += interval_ns;
	return true;
}

#endif
