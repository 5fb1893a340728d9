/* SPDX-License-Identifier: MIT */
/* An operation that fails because something ran short for a moment is no error of the guest's disk:
 * it is started again, after a pause that grows, so that what is short has time to come back. */
#include "storage/again.h"

#include <errno.h>

#include "base/clock.h"

/* 1, 2, 4 … 256 ms, then 256 ms each: five seconds in all. A guest's own patience is 30 seconds
 * (Linux's front end has none, its file systems complain after 120). */
#define PAUSE_FIRST_MS 1u
#define PAUSE_DOUBLINGS 8u
#define PAUSES 27u

uint64_t again_pause_ns(int rc, unsigned tries)
{
	if (tries >= PAUSES || (rc != -EAGAIN && rc != -ENOMEM && rc != -ENOBUFS && rc != -EINTR))
		return 0;
	return (PAUSE_FIRST_MS << (tries < PAUSE_DOUBLINGS ? tries : PAUSE_DOUBLINGS)) * NS_PER_MS;
}

/* Whatever the timer's result: one that the kernel had no memory for has run out. */
static void pause_over(struct uring_op *uop, int res)
{
	storage_start(container_of(uop, struct storage_io, uop));
}

void storage_done(struct storage_io *io, int rc)
{
	uint64_t ns = again_pause_ns(rc, io->tries);

	if (!ns) {
		io->done(io, rc);
		return;
	}
	io->tries++;
	io->pause = (struct __kernel_timespec){.tv_nsec = (long long)ns};
	io->uop.done = pause_over;
	struct io_uring_sqe *sqe = uring_sqe(io->queue->ring);
	io_uring_prep_timeout(sqe, &io->pause, 0, 0);
	uring_set_op(sqe, &io->uop);
}
