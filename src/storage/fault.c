/* SPDX-License-Identifier: MIT */
/* Faults on request: each operation goes to the engine below as an operation of ours, so that its
 * begin, its halves and its end can be put off. */
#include "storage/fault.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/again.h"
#include "storage/fault_cache.h"

#define OPS_MAX 2048 /* in flight through one queue; more go on without faults */

struct fault {
	struct storage base;
	struct storage *inner;
	struct fault_spec spec;
	struct fault_cache *cache; /* NULL: none */
};

struct fault_queue;

/* One operation of the guest on its way. Data thread. */
struct fault_io {
	struct storage_io io; /* towards the engine */
	struct storage_io *outer;
	struct fault_queue *queue;
	struct fault_io *next; /* free */
	uint64_t second_half;  /* bytes that are still to be written after this half */
	uint64_t mark;         /* FLUSH: what it covers of the cache */
	int rc;                /* what will be reported, once the timer has run out */
	struct uring_op timer;
	struct __kernel_timespec wait;
};

struct fault_queue {
	struct storage_queue base;
	struct storage_queue *inner;
	const struct fault_spec *spec;
	struct fault_cache *cache; /* lent; NULL: none */
	uint64_t rng, count, flushes;
	struct fault_io *free;
	struct fault_io ops[OPS_MAX];
};

static uint64_t rnd(struct fault_queue *q)
{
	q->rng ^= q->rng << 13;
	q->rng ^= q->rng >> 7;
	q->rng ^= q->rng << 17;
	return q->rng;
}

static bool happens(struct fault_queue *q, uint32_t percent)
{
	return percent && rnd(q) % 100 < percent;
}

/* Whether [first, last] sectors and the operation have one in common. */
static bool touches(const struct storage_io *io, uint64_t first, uint64_t last)
{
	uint64_t begin = io->offset / 512, end = (io->offset + io->length + 511) / 512;

	return io->op != STORAGE_FLUSH && first <= last && begin <= last && first < end;
}

static bool fails(struct fault_queue *q, const struct storage_io *io)
{
	const struct fault_spec *s = q->spec;

	return (q->count - s->script_first < s->script_count && q->count >= s->script_first) ||
	       touches(io, s->bad_first, s->bad_last) || happens(q, s->error);
}

static void after(struct fault_io *f, uint64_t ns, void (*then)(struct uring_op *op, int res))
{
	struct io_uring_sqe *sqe = uring_sqe(f->queue->base.ring);

	f->wait.tv_sec = (long long)(ns / 1000000000u);
	f->wait.tv_nsec = (long long)(ns % 1000000000u);
	f->timer.done = then;
	io_uring_prep_timeout(sqe, &f->wait, 0, 0);
	uring_set_op(sqe, &f->timer);
}

/* Later, by up to us microseconds. */
static void put_off(struct fault_io *f, uint32_t us, void (*then)(struct uring_op *op, int res))
{
	after(f, us ? (rnd(f->queue) % us + 1) * 1000 : 0, then);
}

static void report(struct fault_io *f)
{
	struct storage_io *outer = f->outer;
	struct fault_queue *q = f->queue;

	f->next = q->free;
	q->free = f;
	storage_done(outer, f->rc);
}

static void report_late(struct uring_op *op, int res)
{
	report(container_of(op, struct fault_io, timer));
}

static void done(struct storage_io *io, int rc);

static void moved_in_cache(struct uring_op *op, int res)
{
	struct fault_io *f = container_of(op, struct fault_io, timer);

	done(&f->io, fault_cache_do(f->queue->cache, &f->io));
}

/* A cache moves data at the end, not yet now: a flush that begins in between does not cover it. */
static void begin(struct fault_io *f)
{
	if (f->queue->cache && (f->io.op == STORAGE_READ || f->io.op == STORAGE_WRITE))
		after(f, 0, moved_in_cache);
	else
		storage_submit(f->queue->inner, &f->io);
}

static void begin_late(struct uring_op *op, int res)
{
	begin(container_of(op, struct fault_io, timer));
}

/* What else the end of an operation below means. */
static int settle_cache(struct fault_io *f)
{
	switch (f->io.op) {
	case STORAGE_FLUSH:
		return fault_cache_flush(f->queue->cache, f->mark);
	case STORAGE_DISCARD:
		return fault_cache_do(f->queue->cache, &f->io);
	default:
		return 0;
	}
}

static void done(struct storage_io *io, int rc)
{
	struct fault_io *f = container_of(io, struct fault_io, io);
	const struct fault_spec *s = f->queue->spec;

	if (!rc && f->queue->cache)
		rc = settle_cache(f);
	if (!rc && f->second_half) {
		io->buf = (char *)io->buf + io->length;
		io->offset += io->length;
		io->length = f->second_half;
		f->second_half = 0;
		put_off(f, s->torn.us, begin_late);
		return;
	}
	f->rc = rc;
	if (happens(f->queue, s->late.percent))
		put_off(f, s->late.us, report_late);
	else
		report(f);
}

/* Halves of whole blocks. */
static void tear(struct fault_io *f, uint32_t block)
{
	uint64_t first = f->io.length / 2 / block * block;

	if (f->io.op != STORAGE_WRITE || !first)
		return;
	f->second_half = f->io.length - first;
	f->io.length = first;
}

/* 0: it is to be done. */
static int refuses(struct fault_queue *q, const struct storage_io *io)
{
	const struct fault_spec *s = q->spec;

	if (fails(q, io))
		return -EIO;
	if (q->count - s->short_first < s->short_count && q->count >= s->short_first)
		return -ENOMEM;
	if (io->op == STORAGE_FLUSH && s->no_flush && ++q->flushes >= s->no_flush)
		return -EOPNOTSUPP;
	/* Nothing may go round the cache. */
	return q->cache && !q->free ? -EAGAIN : 0;
}

static void start(struct fault_io *f)
{
	struct fault_queue *q = f->queue;
	const struct fault_spec *s = q->spec;

	if (q->cache && f->io.op == STORAGE_FLUSH)
		f->mark = fault_cache_mark(q->cache);
	if (happens(q, s->torn.percent))
		tear(f, q->base.storage->caps.logical_block);
	if (f->io.op == STORAGE_DISCARD && s->discard_us)
		after(f, s->discard_us * 1000ull, begin_late);
	else if (s->slow_us && (f->io.op == STORAGE_READ || f->io.op == STORAGE_WRITE))
		after(f, s->slow_us * 1000ull, begin_late);
	else if (happens(q, s->delay.percent))
		put_off(f, s->delay.us, begin_late);
	else
		begin(f);
}

static void fault_submit(struct storage_queue *sq, struct storage_io *io)
{
	struct fault_queue *q = container_of(sq, struct fault_queue, base);
	const struct fault_spec *s = q->spec;
	struct fault_io *f = q->free;
	int rc;

	q->count++;
	if (s->abort_sector != UINT64_MAX && touches(io, s->abort_sector, s->abort_sector))
		abort();
	rc = refuses(q, io);
	if (rc) {
		storage_done(io, rc);
		return;
	}
	if (!f) {
		storage_submit(q->inner, io);
		return;
	}
	q->free = f->next;
	f->io = *io;
	f->io.done = done;
	f->outer = io;
	f->second_half = 0;
	start(f);
}

static int fault_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                            struct error *err)
{
	struct fault *fault = container_of(s, struct fault, base);
	struct fault_queue *q = calloc(1, sizeof *q);
	int rc;

	if (!q)
		return error_set(err, -ENOMEM, "cannot start a queue of the disk: out of memory");
	rc = storage_queue_open(fault->inner, ring, &q->inner, err);
	if (rc) {
		free(q);
		return rc;
	}
	q->spec = &fault->spec;
	q->cache = fault->cache;
	q->rng = fault->spec.seed * 2 + 1;
	for (unsigned i = 0; i < OPS_MAX; i++) {
		q->ops[i].queue = q;
		q->ops[i].next = q->free;
		q->free = &q->ops[i];
	}
	*out = &q->base;
	return 0;
}

static void fault_queue_close(struct storage_queue *sq)
{
	struct fault_queue *q = container_of(sq, struct fault_queue, base);

	storage_queue_close(q->inner);
	free(q);
}

static int fault_size(struct storage *s, uint64_t *size, struct error *err)
{
	struct fault *fault = container_of(s, struct fault, base);

	*size = s->caps.size;
	if (fault->cache)
		return 0;
	int rc = storage_resize(fault->inner, err);
	*size = storage_size(fault->inner);
	return rc;
}

static void fault_close(struct storage *s)
{
	struct fault *fault = container_of(s, struct fault, base);

	/* In order: no cut of its power. */
	if (fault->cache && fault_cache_flush(fault->cache, UINT64_MAX))
		log_error("fault: the cache could not be written back");
	fault_cache_free(fault->cache);
	storage_close(fault->inner);
	free(fault);
}

static const struct storage_ops fault_ops = {
    .queue_open = fault_queue_open,
    .submit = fault_submit,
    .queue_close = fault_queue_close,
    .size = fault_size,
    .close = fault_close,
};

int fault_wrap(const char *spec, struct storage **storage, struct error *err)
{
	struct fault *fault = calloc(1, sizeof *fault);
	int rc;

	if (!fault)
		return error_set(err, -ENOMEM, "cannot open the disk: out of memory");
	rc = fault_parse(spec, &fault->spec, err);
	if (!rc && fault->spec.cache)
		rc = fault_cache_make(*storage, fault->spec.cache_early, fault->spec.seed,
		                      &fault->cache, err);
	if (rc) {
		free(fault);
		return rc;
	}
	log_warn("the storage fails on request, for tests: %s", spec);
	fault->inner = *storage;
	fault->base = (struct storage){.ops = &fault_ops, .caps = *storage_caps(*storage)};
	*storage = &fault->base;
	return 0;
}
