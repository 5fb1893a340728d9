/* SPDX-License-Identifier: MIT */
/* The file engine's data half: reads, writes and flushes on the caller's io_uring. */
#include "storage/file_io.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/again.h"

/* READ, WRITE, FLUSH: what is left of it. */
static void start(struct storage_io *io);

static void flush_done(struct uring_op *uop, int res)
{
	struct storage_io *io = container_of(uop, struct storage_io, uop);

	storage_done(io, res < 0 ? res : 0);
}

static void transfer_done(struct uring_op *uop, int res)
{
	struct storage_io *io = container_of(uop, struct storage_io, uop);

	if (res < 0 || (uint64_t)res == io->length - io->progress) {
		storage_done(io, res < 0 ? res : 0);
		return;
	}
	/* Direct I/O can go on at whole blocks only; less than one: the file has ended below us. */
	uint32_t part = (uint32_t)res - (uint32_t)res % io->queue->storage->caps.logical_block;
	if (!part) {
		storage_done(io, -EIO);
		return;
	}
	io->progress += part;
	start(io);
}

static void start(struct storage_io *io)
{
	struct file_queue *q = container_of(io->queue, struct file_queue, base);
	struct io_uring_sqe *sqe = uring_sqe(q->base.ring);

	if (io->op == STORAGE_FLUSH) {
		io->uop.done = flush_done;
		io_uring_prep_fsync(sqe, q->fd, IORING_FSYNC_DATASYNC);
	} else {
		char *buf = (char *)io->buf + io->progress;
		unsigned length = (unsigned)(io->length - io->progress);
		uint64_t offset = io->offset + io->progress;
		io->uop.done = transfer_done;
		if (io->op == STORAGE_READ)
			io_uring_prep_read(sqe, q->fd, buf, length, offset);
		else
			io_uring_prep_write(sqe, q->fd, buf, length, offset);
	}
	uring_set_op(sqe, &io->uop);
}

static void discard(struct file_queue *q, struct storage_io *io)
{
	const struct storage_caps *caps = &q->base.storage->caps;

	if (io->secure ? caps->discard_secure : caps->discard)
		discard_submit(&q->discard, io);
	else
		storage_done(io, -EOPNOTSUPP);
}

void file_submit(struct storage_queue *sq, struct storage_io *io)
{
	struct file_queue *q = container_of(sq, struct file_queue, base);

	io->progress = 0;
	if (io->op == STORAGE_DISCARD)
		discard(q, io);
	else
		start(io);
}

int file_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                    struct error *err)
{
	struct file *f = container_of(s, struct file, base);
	struct file_queue *q = calloc(1, sizeof *q);
	int rc = q ? 0 : -ENOMEM;

	if (q)
		q->fd = f->fd;
	/* Now and not at the first discard: then it may be forbidden to start threads. */
	if (!rc && s->caps.discard)
		rc = discard_start(&q->discard, f->fd, f->block, &f->turns, ring);
	if (rc) {
		free(q);
		return error_set(err, rc,
		                 "cannot start a queue of the disk: %s; free some memory, "
		                 "descriptors or threads",
		                 error_name(rc));
	}
	*out = &q->base;
	return 0;
}

void file_queue_close(struct storage_queue *sq)
{
	struct file_queue *q = container_of(sq, struct file_queue, base);

	if (sq->storage->caps.discard)
		discard_stop(&q->discard);
	free(q);
}
