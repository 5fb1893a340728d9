/* SPDX-License-Identifier: MIT */
/* Hands each call to the engine, and refuses what no engine should see. */
#include "storage/storage.h"

#include <errno.h>

#include "storage/engine.h"
#include "storage/lost.h"

const struct storage_caps *storage_caps(const struct storage *s)
{
	return &s->caps;
}

uint64_t storage_size(const struct storage *s)
{
	/* Relaxed: nothing else is learnt from it. Stored by storage_resize. */
	return __atomic_load_n(&s->caps.size, __ATOMIC_RELAXED);
}

int storage_resize(struct storage *s, struct error *err)
{
	uint64_t size = s->caps.size;
	int rc = s->ops->size ? s->ops->size(s, &size, err) : 0;

	if (rc)
		return rc;
	size -= size % s->caps.logical_block;
	if (!size)
		return error_set(err, -EINVAL,
		                 "the image has size 0 now; the disk keeps the size of %llu bytes",
		                 (unsigned long long)s->caps.size);
	/* Relaxed: read by data threads for the range checks of what comes next. */
	__atomic_store_n(&s->caps.size, size, __ATOMIC_RELAXED);
	return 0;
}

void storage_close(struct storage *s)
{
	if (s)
		s->ops->close(s);
}

int storage_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                       struct error *err)
{
	int rc = s->ops->queue_open(s, ring, out, err);

	if (!rc) {
		(*out)->storage = s;
		(*out)->ring = ring;
	}
	return rc;
}

void storage_queue_close(struct storage_queue *q)
{
	if (!q)
		return;
	q->storage->ops->queue_close(q);
}

/* 0: the engine does it. 1: nothing to do. -errno: refused. The caller has checked all this against
 * the guest already; a write behind the end would make an image grow, so it is checked here again.
 */
static int submit_check(const struct storage *s, const struct storage_io *io)
{
	const struct storage_caps *caps = &s->caps;
	uint64_t size = storage_size(s);

	switch (io->op) {
	case STORAGE_FLUSH:
		return caps->readonly ? 1 : 0;
	case STORAGE_WRITE:
	case STORAGE_DISCARD:
		if (caps->readonly)
			return -EROFS;
		break;
	case STORAGE_READ:
		break;
	}
	if (io->offset > size || io->length > size - io->offset)
		return -EINVAL;
	return io->length ? 0 : 1;
}

void storage_start(struct storage_io *io)
{
	struct storage_queue *q = io->queue;
	int rc = submit_check(q->storage, io);

	if (!rc && io->op == STORAGE_FLUSH && q->storage->lost &&
	    lost_tell(q->storage->lost, io->asker, io->request))
		rc = -EIO;
	if (rc)
		io->done(io, rc > 0 ? 0 : rc);
	else
		q->storage->ops->submit(q, io);
}

void storage_submit(struct storage_queue *q, struct storage_io *io)
{
	io->queue = q;
	io->tries = 0;
	storage_start(io);
}
