/* SPDX-License-Identifier: MIT */
/* An operation that fails because something ran short for a moment is no error of the guest's disk:
 * it is started again, after a pause that grows, so that what is short has time to come back. */
#include "storage/again.h"

#include "base/shortage.h"

/* Whatever the timer's result: one that the kernel had no memory for has run out. */
static void pause_over(struct uring_op *uop, int res)
{
	storage_start(container_of(uop, struct storage_io, uop));
}

void storage_done(struct storage_io *io, int rc)
{
	uint64_t ns = shortage_pause_ns(rc, io->tries);

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
