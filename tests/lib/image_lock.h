/* SPDX-License-Identifier: MIT */
/* What claims and fences (storage/claim.h) look like to others: to play one of them. */
#ifndef TESTS_LIB_IMAGE_LOCK_H
#define TESTS_LIB_IMAGE_LOCK_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "storage/locks.h"

/* As if that descriptor (open for writing) were another disk's claim. */
static inline bool image_own(int fd)
{
	return !locks_take(fd, locks_byte(LOCK_OWNER), true, false);
}

/* As if it had I/O under way for whatever disk; waits until no other has. */
static inline bool image_delay(int fd)
{
	return !locks_take_many(fd, locks_disk(RANGE_FENCE, 0), LOCKS_SPAN, true, true);
}

/* Kills the worker, and has the fence before the next one of its supervisor: as if what the dead
 * one had under way took its time. Ends when the descriptor is closed, which no child gets; -1:
 * failed. */
static inline int image_delay_next(pid_t supervisor, pid_t worker, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool ok = fd >= 0 && !kill(supervisor, SIGSTOP);

	ok = ok && !kill(worker, SIGKILL) && image_delay(fd);
	if (!kill(supervisor, SIGCONT) && ok)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whether the image has no owner and no I/O under way. */
static inline bool image_is_free(int fd)
{
	return !locks_met(fd, LOCKS_BASE, 4 * LOCKS_SPAN - 1, true, NULL);
}

/* Whether it was not written to, and no I/O can be under way. */
static inline bool image_is_still(int fd)
{
	return !locks_met(fd, locks_disk(RANGE_FENCE, 0), 2 * LOCKS_SPAN - 1, false, NULL);
}

#endif
