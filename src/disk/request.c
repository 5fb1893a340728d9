/* SPDX-License-Identifier: MIT */
/*
 * One request from start to finish: its kind is a list of steps, each done by the storage or by a
 * batch of grant copies. Its answer is the ring side's business (ring_side.c).
 */
#include "disk/request.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum step {
	STEP_DONE,
	STEP_LOCK,
	STEP_FILL_HEAD,
	STEP_FILL_TAIL,
	STEP_COPY_IN,
	STEP_READ,
	STEP_WRITE,
	STEP_FLUSH,
	STEP_DISCARD,
	STEP_COPY_OUT
};

/* Steps on data are skipped where a request has none, and those on blocks where its own ends are
 * theirs. A barrier's data is on the disk before what follows: a flush on both sides. */
static const uint8_t steps[][8] = {
    [BLKIF_KIND_READ] = {STEP_READ, STEP_COPY_OUT},
    [BLKIF_KIND_WRITE] = {STEP_LOCK, STEP_FILL_HEAD, STEP_FILL_TAIL, STEP_COPY_IN, STEP_WRITE},
    [BLKIF_KIND_FLUSH] = {STEP_FLUSH, STEP_LOCK, STEP_FILL_HEAD, STEP_FILL_TAIL, STEP_COPY_IN,
                          STEP_WRITE},
    [BLKIF_KIND_BARRIER] = {STEP_FLUSH, STEP_LOCK, STEP_FILL_HEAD, STEP_FILL_TAIL, STEP_COPY_IN,
                            STEP_WRITE, STEP_FLUSH},
    [BLKIF_KIND_DISCARD] = {STEP_DISCARD},
};

static int16_t status_of(int rc)
{
	if (!rc)
		return BLKIF_RSP_OKAY;
	return rc == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
}

static void notice(struct queue *q)
{
	uint64_t one = 1;

	/* Fails only if 2^64 - 1 of them had not been read. */
	if (write(q->c.notice_fd, &one, sizeof one) < 0) {
	}
}

/* The device cannot do what it promised: the front end is to be told not to ask again. */
static void withdraw(struct queue *q, const struct storage_io *io)
{
	uint32_t what = io->op == STORAGE_FLUSH     ? WM_NO_FLUSH
	                : io->op != STORAGE_DISCARD ? 0
	                : io->secure                ? WM_NO_SECURE_DISCARD
	                                            : WM_NO_DISCARD;

	if (!what || __atomic_fetch_or(&q->c.shared->withdrawn, what, __ATOMIC_RELAXED) & what)
		return;
	/* Read by the control thread after the notice, which orders it. */
	notice(q);
}

static void count_failed(struct queue *q, enum storage_op op)
{
	struct stats_queue *st = q->c.stats;

	switch (op) {
	case STORAGE_READ:
		COUNT(st->rd_err, 1);
		break;
	case STORAGE_WRITE:
		COUNT(st->wr_err, 1);
		break;
	case STORAGE_FLUSH:
		COUNT(st->f_err, 1);
		break;
	case STORAGE_DISCARD:
		COUNT(st->ds_err, 1);
		break;
	}
}

/* For those who look after the host: the guest has its answer. */
static void note_result(struct queue *q, const struct storage_io *io, int rc)
{
	struct trouble *t = &q->c.shared->trouble;

	if (rc)
		count_failed(q, io->op);
	else if (!trouble_failing(t, io->op))
		return;
	if (trouble_note(t, io->op, rc, io->offset >> BLKIF_SECTOR_SHIFT, clock_ns()))
		notice(q);
}

void request_note_failed(struct queue *q, const struct request *r, int rc)
{
	enum storage_op op = r->plan.kind == BLKIF_KIND_READ ? STORAGE_READ : STORAGE_WRITE;
	uint64_t sector = r->plan.offset >> BLKIF_SECTOR_SHIFT;

	if (trouble_note(&q->c.shared->trouble, op, rc, sector, clock_ns()))
		notice(q);
}

static void wake_queues(const struct queue *q, uint32_t queues)
{
	for (unsigned i = 0; queues; i++, queues >>= 1)
		if (queues & 1)
			shared_wake(q->c.shared, i);
}

/* Done with the storage: others may have its blocks. */
static void release(struct queue *q, struct request *r)
{
	if (!r->locked)
		return;
	r->locked = false;
	wake_queues(q, blocks_unlock(&q->c.shared->blocks, &r->range));
}

void request_finish(struct queue *q, struct request *r, int16_t status)
{
	release(q, r);
	r->status = status;
	fifo_put(&q->finished, r);
}

static void storage_done(struct storage_io *io, int rc)
{
	struct request *r = container_of(io, struct request, io);
	struct queue *q = r->queue;

	if (rc == -EOPNOTSUPP)
		withdraw(q, io);
	else
		note_result(q, io, rc);

	if (rc)
		request_finish(q, r, status_of(rc));
	else
		request_next(q, r);
}

static void storage_step(struct queue *q, struct request *r, enum storage_op op, uint64_t at,
                         uint64_t length)
{
	r->io.op = op;
	r->io.secure = r->plan.secure;
	r->io.offset = at;
	r->io.length = length;
	r->io.buf = r->buf ? r->buf + (at - r->at) : NULL;
	r->io.done = storage_done;
	if (op == STORAGE_FLUSH) {
		r->io.asker = q->c.index;
		r->io.request = q->journal.slot[r->slot].seq;
	}
	storage_submit(q->storage, &r->io);
}

/* The guest's sectors, not the whole blocks around them. Of a request that was taken by another
 * worker, that one counted them, unless it was killed before it came to that. */
static void count_sectors(struct queue *q, const struct request *r)
{
	struct stats_queue *st = q->c.stats;
	uint64_t sectors = r->plan.length >> BLKIF_SECTOR_SHIFT;

	if (r->replayed)
		return;
	if (r->plan.kind == BLKIF_KIND_READ)
		COUNT(st->rd_sect, sectors);
	else
		COUNT(st->wr_sect, sectors);
}

static bool head_is_partial(const struct request *r)
{
	return r->plan.offset != r->at;
}

/* And not filled by the head already. */
static bool tail_is_partial(const struct queue *q, const struct request *r)
{
	return r->plan.offset + r->plan.length != r->at + r->span &&
	       !(head_is_partial(r) && r->span == q->block);
}

/* What blocks.h demands of a range, which may begin and end within blocks. */
_Static_assert(BLKIF_MAX_INDIRECT_SEGS * 4096ull <= BLOCKS_REGION, "a request spans two regions");

/* False: it is waited for. */
static bool lock_blocks(struct queue *q, struct request *r)
{
	uint32_t wake;

	if (q->block <= q->c.limits.sector_size)
		return true;
	r->range.at = r->at;
	r->range.end = r->at + r->span;
	r->range.queue = q->c.index;
	r->range.whole = !head_is_partial(r) && !tail_is_partial(q, r);
	r->locked = true;
	bool held = blocks_lock(&q->c.shared->blocks, &r->range, &wake);
	wake_queues(q, wake);
	q->block_waiters += !held;
	return held;
}

void request_next(struct queue *q, struct request *r)
{
	for (;;) {
		bool data = r->plan.nr_segments > 0;
		switch ((enum step)steps[r->plan.kind][r->step++]) {
		case STEP_DONE:
			request_finish(q, r, BLKIF_RSP_OKAY);
			return;
		case STEP_LOCK:
			if (data && !lock_blocks(q, r))
				return;
			break;
		case STEP_FILL_HEAD:
			if (!data || !head_is_partial(r))
				break;
			storage_step(q, r, STORAGE_READ, r->at, q->block);
			return;
		case STEP_FILL_TAIL:
			if (!data || !tail_is_partial(q, r))
				break;
			storage_step(q, r, STORAGE_READ, r->at + r->span - q->block, q->block);
			return;
		case STEP_COPY_IN:
			if (!data)
				break;
			fifo_put(&q->copy_in, r);
			return;
		case STEP_COPY_OUT:
			fifo_put(&q->copy_out, r);
			return;
		case STEP_READ:
			count_sectors(q, r);
			storage_step(q, r, STORAGE_READ, r->at, r->span);
			return;
		case STEP_WRITE:
			if (!data)
				break;
			count_sectors(q, r);
			storage_step(q, r, STORAGE_WRITE, r->at, r->span);
			return;
		case STEP_FLUSH:
			/* The second flush of a barrier covers its data. */
			if (r->step > 1 && !data)
				break;
			storage_step(q, r, STORAGE_FLUSH, r->at, 0);
			return;
		case STEP_DISCARD:
			storage_step(q, r, STORAGE_DISCARD, r->at, r->span);
			return;
		}
	}
}

void request_granted(struct queue *q)
{
	struct block_range *range = blocks_granted(&q->c.shared->blocks, q->c.index);

	while (range) {
		struct block_range *next = range->next_granted;
		q->block_waiters--;
		request_next(q, container_of(range, struct request, range));
		range = next;
	}
}

/* Data moves in whole blocks; a discard may only touch those that are whole within it. */
static void find_span(const struct queue *q, struct request *r)
{
	uint64_t from = r->plan.offset, to = from + r->plan.length, mask = q->block - 1;

	if (r->plan.kind == BLKIF_KIND_DISCARD) {
		from = (from + mask) & ~mask;
		to &= ~mask;
	} else {
		from &= ~mask;
		to = (to + mask) & ~mask;
	}
	r->at = from;
	r->span = to > from ? to - from : 0;
}

bool request_prepare(struct queue *q, struct request *r)
{
	if (!r->buf)
		find_span(q, r);
	if (r->plan.nr_segments && !r->buf)
		r->buf = buffers_take(&q->buffers, r->span);
	return r->buf || !r->plan.nr_segments;
}

void request_begin(struct queue *q, struct request *r)
{
	r->step = 0;
	request_next(q, r);
}
