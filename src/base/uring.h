/* SPDX-License-Identifier: MIT */
/* How several users share one io_uring: each submission carries a pointer to its own completion. */
#ifndef BASE_URING_H
#define BASE_URING_H

#include <errno.h>
#include <liburing.h>

/* Embedded in its owner; must stay alive until done() was called, cancelled or not. */
struct uring_op {
	void (*done)(struct uring_op *op, int res); /* res and thread: those of the completion */
};

/* Whether io_uring_submit and its kin (rc: what they returned) took nothing because the kernel is
 * short of memory. What was queued stays queued. */
static inline bool uring_short(int rc)
{
	return rc == -EAGAIN || rc == -ENOMEM || rc == -EBUSY;
}

/* An SQE that completes op. Submits what is queued if the ring is full, so it never returns NULL: a
 * kernel that is short of memory then holds up the thread, which has nowhere to put anything.
 * Only the ring's own thread. */
static inline struct io_uring_sqe *uring_sqe(struct io_uring *ring)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(ring)))
		if (uring_short(io_uring_submit(ring)))
			nanosleep(&pause, NULL);
	return sqe;
}

static inline void uring_set_op(struct io_uring_sqe *sqe, struct uring_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

/* Runs done() of every completion that is there now; returns how many. */
static inline unsigned uring_reap(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (!io_uring_peek_cqe(ring, &cqe)) {
		struct uring_op *op = io_uring_cqe_get_data(cqe);
		int res = cqe->res;
		/* Seen first: done() may submit, and needs the room. */
		io_uring_cqe_seen(ring, cqe);
		if (op)
			op->done(op, res);
		n++;
	}
	return n;
}

#endif
