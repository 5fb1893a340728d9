/* SPDX-License-Identifier: MIT */
/*
 * Synchronous I/O: splits a transfer into requests, of up to 11 pages or, where the back end offers
 * indirect ones, more; keeps the ring full, and checks every response as a guest's driver does. The
 * pages are granted once and used again and again.
 */
#include "front/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/bus.h"
#include "front/failure.h"
#include "front/ring.h"
#include "front/slots.h"

#define DISCARD_PIECE \
	(1ull << 30) /* one answer per GiB: a long discard does not look like a hang */

/* What one call wants. Lives on its stack. */
struct job {
	uint8_t op, flag;
	uint64_t at;        /* bytes: where the next request starts */
	uint64_t left;      /* bytes still to be asked for */
	uint64_t piece;     /* bytes per request */
	bool bare;          /* one request without data (flush, barrier) still to be asked for */
	uint8_t *dst;       /* READ */
	const uint8_t *src; /* WRITE */
	int rc;             /* first failure */
};

static const char *op_name(uint8_t op)
{
	switch (op) {
	case BLKIF_OP_READ:
		return "READ";
	case BLKIF_OP_WRITE:
		return "WRITE";
	case BLKIF_OP_WRITE_BARRIER:
		return "WRITE_BARRIER";
	case BLKIF_OP_FLUSH_DISKCACHE:
		return "FLUSH_DISKCACHE";
	case BLKIF_OP_DISCARD:
		return "DISCARD";
	}
	return "?";
}

/* ---- asking ---- */

/* One request of the job into the ring. 0, -EAGAIN: no room, -errno. */
static int ask(struct xenblkfront *f, struct job *job)
{
	struct xenblkfront_request req = {.op = job->op, .flag = job->flag};
	uint64_t length = job->left < job->piece ? job->left : job->piece;
	bool data = job->src || job->dst;
	int rc = 0;

	if (!f->q->nr_free)
		return -EAGAIN;
	uint32_t index = f->q->free_slots[f->q->nr_free - 1];
	struct xbf_slot *s = &f->q->slots[index];
	if (data)
		rc = xbf_slot_pages(f, s, &length);
	if (rc)
		return rc;
	s->op = job->op;
	s->id = (uint64_t)f->generation << 16 | index;
	s->length = data ? (uint32_t)length : 0;
	s->dst = job->dst;
	req.sector = job->at >> BLKIF_SECTOR_SHIFT;
	if (job->src)
		memcpy(s->data, job->src, s->length);
	if (data)
		xbf_slot_segments(s, &req);
	else
		req.nr_sectors = length >> BLKIF_SECTOR_SHIFT;
	rc = xenblkfront_queue(f, &req, s->id);
	if (rc)
		return rc;

	f->generation++;
	f->q->nr_free--;
	s->busy = s->mine = true;
	f->q->nr_busy++;
	f->q->nr_mine++;
	job->at += length;
	job->left -= length;
	job->bare = false;
	if (job->src)
		job->src += length;
	if (job->dst)
		job->dst += length;
	return 0;
}

/* Everything that fits. What cannot be asked for now must be askable once answers are in. */
static void ask_all(struct xenblkfront *f, struct job *job)
{
	int rc = 0;

	while (!job->rc && (job->left || job->bare) && !rc)
		rc = ask(f, job);
	/* Without pages for one more slot, those in flight do the work. */
	if (rc && rc != -EAGAIN && !f->q->nr_busy)
		job->rc = rc;
	if (f->q->req_pvt != f->q->req_pub) {
		rc = xenblkfront_kick(f);
		if (rc && !job->rc)
			job->rc = rc;
	}
}

/* ---- answers ---- */

static int failed(struct xenblkfront *f, const struct xbf_slot *s, int16_t status)
{
	bool write = s->op != BLKIF_OP_READ && s->op != BLKIF_OP_FLUSH_DISKCACHE;
	const char *hint = write && f->info.info & VDISK_READONLY ? " (the disk is read-only)" : "";

	if (status == BLKIF_RSP_EOPNOTSUPP)
		return xbf_fail(f, -EOPNOTSUPP, "the back end does not support %s", op_name(s->op));
	if (status == BLKIF_RSP_ERROR)
		return xbf_fail(f, -EIO, "%s failed with an I/O error%s", op_name(s->op), hint);
	return xbf_fail(f, -EIO, "%s failed with the unknown status %d", op_name(s->op), status);
}

/* Rules as guests enforce them: the id is in flight, the operation is that of the request. */
static int check(struct xenblkfront *f, const struct xenblkfront_response *rsp)
{
	uint32_t index = (uint32_t)(rsp->id & 0xffff);

	if (index >= f->q->ring.slots || !f->q->slots[index].busy ||
	    f->q->slots[index].id != rsp->id) {
		f->broken = true;
		return xbf_fail(
		    f, -EPROTO,
		    "the back end broke a rule: response with id %#llx, which is not in "
		    "flight",
		    (unsigned long long)rsp->id);
	}
	if (f->q->slots[index].op != rsp->op) {
		f->broken = true;
		return xbf_fail(f, -EPROTO,
		                "the back end broke a rule: response names operation %u for a "
		                "request with operation %u",
		                rsp->op, f->q->slots[index].op);
	}
	return 0;
}

/* 0 or -EPROTO; the failure of one of the job's own requests goes into job->rc. */
static int answered(struct xenblkfront *f, struct job *job, const struct xenblkfront_response *rsp)
{
	int rc = check(f, rsp);

	if (rc)
		return rc;
	uint32_t index = (uint32_t)(rsp->id & 0xffff);
	struct xbf_slot *s = &f->q->slots[index];
	if (s->mine) {
		f->q->nr_mine--;
		if (rsp->status == BLKIF_RSP_OKAY && s->dst)
			memcpy(s->dst, s->data, s->length);
		if (rsp->status != BLKIF_RSP_OKAY && !job->rc)
			job->rc = failed(f, s, rsp->status);
	}
	s->busy = s->mine = false;
	f->q->nr_busy--;
	f->q->free_slots[f->q->nr_free++] = (uint16_t)index;
	return 0;
}

static int collect(struct xenblkfront *f, struct job *job)
{
	struct xenblkfront_response rsp[32];
	int n;

	while ((n = xbf_take(f, rsp, 32)) > 0)
		for (int i = 0; i < n; i++) {
			int rc = answered(f, job, &rsp[i]);
			if (rc)
				return rc;
		}
	return n;
}

/* The caller has given these up; their answers are swallowed later. */
static void abandon(struct xenblkfront *f)
{
	for (uint32_t i = 0; i < f->q->ring.slots; i++)
		f->q->slots[i].mine = false;
	f->q->nr_mine = 0;
}

static int gone(struct xenblkfront *f)
{
	return xbf_fail(f, -ENODEV, "the back end is %s: the disk is being detached",
	                xenbus_state_name(f->back_state));
}

/* Waits until there are responses. */
static int wait_answers(struct xenblkfront *f, uint64_t deadline)
{
	while (blkif_ring_arm_rsp(&f->q->ring, f->q->rsp_cons) == f->q->rsp_cons) {
		int rc = xbf_wait_event(f, deadline);
		/* Once more after the time is up: the event, not the answer, may be what was lost.
		 */
		if (rc && blkif_ring_peek_rsp(&f->q->ring) != f->q->rsp_cons)
			return 0;
		f->stuck = rc == -ETIMEDOUT;
		if (f->stuck)
			return xbf_fail(
			    f, rc, "no response to %u requests within %u ms; the back end is %s",
			    f->q->nr_busy, f->timeout_ms,
			    xenbus_state_name(store_read_state(f->store, XBT_NULL, f->back)));
		if (rc)
			return rc;
		if (xbf_back_left(f))
			return gone(f);
	}
	return 0;
}

/* ---- calls ---- */

static int begin(struct xenblkfront *f)
{
	xbf_clear_error(f);
	if (!f->q->ring_pages)
		return xbf_fail(f, -ENOTCONN, "not connected");
	if (f->broken)
		return xbf_broken(f);
	if (!f->have_info) {
		int rc = xbf_read_info(f, &f->info);
		if (rc)
			return rc;
		f->have_info = true;
	}
	if (xenblkfront_inflight(f) != f->q->nr_busy)
		return xbf_fail(f, -EBUSY, "single requests are in flight: reap them first");
	int rc = xbf_see_back(f);
	rc = rc ?: xbf_slots_make(f);
	rc = rc ?: collect(f, &(struct job){0});
	if (rc)
		return rc;
	return f->back_state == XS_CLOSING || xbf_back_left(f) ? gone(f) : 0;
}

static int run(struct xenblkfront *f, struct job *job)
{
	for (;;) {
		ask_all(f, job);
		if (!f->q->nr_mine && (job->rc || !(job->left || job->bare)))
			return job->rc;
		int rc = wait_answers(f, xbf_deadline(f, -1));
		rc = rc ?: collect(f, job);
		rc = rc ?: xbf_see_back(f);
		if (rc) {
			abandon(f);
			return rc;
		}
		/* What is in flight still gets its answers from a back end that is asked to close.
		 */
		if (f->back_state == XS_CLOSING && !job->rc)
			job->rc = gone(f);
	}
}

static int check_range(struct xenblkfront *f, uint64_t offset, uint64_t length)
{
	uint32_t size = f->info.sector_size ?: 512;

	if (offset % size || length % size)
		return xbf_fail(
		    f, -EINVAL,
		    "offset %llu and length %llu must be multiples of the sector size %u",
		    (unsigned long long)offset, (unsigned long long)length, size);
	/* The disk may have grown since we looked. */
	for (int i = 0;; i++) {
		uint64_t bytes = f->info.sectors << BLKIF_SECTOR_SHIFT;
		if (offset <= bytes && length <= bytes - offset)
			return 0;
		int rc = i ? 0 : xbf_read_info(f, &f->info);
		if (rc)
			return rc;
		if (i)
			return xbf_fail(f, -EINVAL,
			                "%llu bytes at %llu lie beyond the end: the disk has %llu",
			                (unsigned long long)length, (unsigned long long)offset,
			                (unsigned long long)bytes);
	}
}

static int transfer(struct xenblkfront *f, struct job *job)
{
	int rc = begin(f);

	job->piece = (uint64_t)f->segs * XEN_PAGE_SIZE;
	rc = rc ?: check_range(f, job->at, job->left);
	return rc ?: run(f, job);
}

int xenblkfront_read(struct xenblkfront *f, uint64_t offset, void *buf, size_t length)
{
	return transfer(
	    f, &(struct job){.op = BLKIF_OP_READ, .at = offset, .left = length, .dst = buf});
}

int xenblkfront_write(struct xenblkfront *f, uint64_t offset, const void *buf, size_t length)
{
	return transfer(
	    f, &(struct job){.op = BLKIF_OP_WRITE, .at = offset, .left = length, .src = buf});
}

int xenblkfront_flush(struct xenblkfront *f)
{
	return transfer(f, &(struct job){.op = BLKIF_OP_FLUSH_DISKCACHE, .bare = true});
}

int xenblkfront_barrier(struct xenblkfront *f)
{
	return transfer(f, &(struct job){.op = BLKIF_OP_WRITE_BARRIER, .bare = true});
}

int xenblkfront_discard(struct xenblkfront *f, uint64_t offset, uint64_t length, bool secure)
{
	struct job job = {.op = BLKIF_OP_DISCARD,
	                  .flag = secure ? BLKIF_DISCARD_SECURE : 0,
	                  .at = offset,
	                  .left = length};
	int rc = begin(f);

	rc = rc ?: check_range(f, offset, length);
	if (rc)
		return rc;
	uint64_t unit = f->info.discard_granularity ?: 512;
	job.piece = unit > DISCARD_PIECE ? unit : DISCARD_PIECE - DISCARD_PIECE % unit;
	return run(f, &job);
}
