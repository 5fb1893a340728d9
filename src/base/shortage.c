/* SPDX-License-Identifier: MIT */
/* Pauses that grow, so that what is short has time to come back. */
#include "base/shortage.h"

#include <errno.h>

#include "base/clock.h"

/* 1, 2, 4 … 256 ms, then 256 ms each: five seconds in all. A guest's own patience is 30 seconds
 * (Linux's front end has none, its file systems complain after 120). */
#define PAUSE_FIRST_MS 1u
#define PAUSE_DOUBLINGS 8u
#define PAUSES 27u

uint64_t shortage_pause_ns(int rc, unsigned tries)
{
	if (tries >= PAUSES || (rc != -EAGAIN && rc != -ENOMEM && rc != -ENOBUFS && rc != -EINTR))
		return 0;
	return (PAUSE_FIRST_MS << (tries < PAUSE_DOUBLINGS ? tries : PAUSE_DOUBLINGS)) * NS_PER_MS;
}
