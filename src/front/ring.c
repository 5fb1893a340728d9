/* SPDX-License-Identifier: MIT */
/* Single requests: granted pages, putting requests on the ring, taking responses, waiting. */
#include "front/ring.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "front/bus.h"
#include "front/failure.h"
#include "front/front.h"

/* ---- pages ---- */

int xenblkfront_alloc(struct xenblkfront *f, unsigned count, bool writable, void **addr,
                      uint32_t *refs)
{
	xbf_clear_error(f);
	int rc = xbf_locate(f);
	if (rc)
		return rc;
	rc = xen_gntshr_share(f->gntshr, f->back_domid, count, writable, refs, addr);
	if (rc)
		return xbf_fail(f, rc, "cannot grant %u pages to domain %u: %s", count,
		                f->back_domid, error_name(rc));
	return 0;
}

int xenblkfront_free(struct xenblkfront *f, void *addr, unsigned count)
{
	xbf_clear_error(f);
	int rc = xen_gntshr_unshare(f->gntshr, addr, count);
	if (rc)
		return xbf_fail(f, rc, "cannot take %u pages back: %s", count,
		                rc == -EBUSY ? "the back end still maps one of them"
		                             : error_name(rc));
	return 0;
}

int xenblkfront_revoke(struct xenblkfront *f, const uint32_t *refs, unsigned count)
{
	xbf_clear_error(f);
	int rc = xen_gntshr_revoke(f->gntshr, refs, count);
	if (rc)
		return xbf_fail(f, rc, "cannot revoke %u grants: %s", count, error_name(rc));
	return 0;
}

/* ---- queues ---- */

int xenblkfront_select(struct xenblkfront *f, unsigned queue)
{
	if (queue && queue >= f->nr_queues)
		return xbf_fail(f, -EINVAL, "queue %u does not exist: there are %u", queue,
		                f->nr_queues);
	f->q = &f->queue[queue];
	return 0;
}

/* ---- requests ---- */

static int no_ring(struct xenblkfront *f)
{
	return xbf_fail(f, -ENOTCONN, "not connected");
}

int xenblkfront_queue(struct xenblkfront *f, const struct xenblkfront_request *req, uint64_t id)
{
	struct blkif_req r = {
	    .op = req->op,
	    .inner_op = req->inner_op,
	    .flag = req->flag,
	    .nr_segments = req->nr_segments,
	    .handle = (uint16_t)f->devid,
	    .id = id,
	    .sector = req->sector,
	    .nr_sectors = req->nr_sectors,
	};
	uint8_t raw[BLKIF_SLOT_MAX];

	if (!f->q->ring_pages)
		return no_ring(f);
	if (xenblkfront_inflight(f) >= f->q->ring.slots)
		return -EAGAIN;
	for (unsigned i = 0; i < XENBLKFRONT_SEGS; i++)
		r.seg[i] = (struct blkif_seg){
		    .gref = req->seg[i].gref, .first = req->seg[i].first, .last = req->seg[i].last};
	memcpy(r.indirect, req->indirect, sizeof r.indirect);
	blkif_encode_req(f->proto, &r, raw);
	blkif_ring_put_req(&f->q->ring, f->q->req_pvt++, raw);
	return 0;
}

static int notify(struct xenblkfront *f)
{
	int rc = xen_evtchn_notify(f->evtchn, f->q->port);

	if (rc)
		return xbf_fail(f, rc, "cannot notify the back end over port %u: %s", f->q->port,
		                error_name(rc));
	return 0;
}

int xenblkfront_kick(struct xenblkfront *f)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	uint32_t from = f->q->req_pub;
	f->q->req_pub = f->q->req_pvt;
	return blkif_ring_push_req(&f->q->ring, from, f->q->req_pvt) ? notify(f) : 0;
}

void xenblkfront_poke_req_prod(struct xenblkfront *f, uint32_t value)
{
	if (!f->q->ring_pages)
		return;
	f->q->poked = true;
	blkif_ring_poke_req_prod(&f->q->ring, value);
	notify(f);
}

void xenblkfront_poke_rsp_prod(struct xenblkfront *f, int32_t by)
{
	if (!f->q->ring_pages)
		return;
	f->q->poked = true;
	blkif_ring_poke_rsp_prod(&f->q->ring, blkif_ring_rsp_prod(&f->q->ring) + (uint32_t)by);
}

unsigned xenblkfront_inflight(const struct xenblkfront *f)
{
	if (!f->q->ring_pages)
		return 0;
	/* After a poke the back end may have answered more than was asked. */
	int32_t n = (int32_t)(f->q->req_pvt - f->q->rsp_cons);
	return n > 0 ? (unsigned)n : 0;
}

/* ---- responses ---- */

int xbf_broken(struct xenblkfront *f)
{
	return xbf_fail(f, -EPROTO, "the back end broke a rule before: connect again");
}

int xbf_take(struct xenblkfront *f, struct xenblkfront_response *rsp, unsigned max)
{
	uint32_t there = blkif_ring_peek_rsp(&f->q->ring) - f->q->rsp_cons;
	uint32_t limit = f->q->poked ? f->q->ring.slots : f->q->req_pub - f->q->rsp_cons;

	if (f->broken)
		return xbf_broken(f);
	if (there > limit) {
		f->broken = true;
		return xbf_fail(
		    f, -EPROTO,
		    "the back end broke a rule: rsp_prod is %u ahead with %u requests in "
		    "flight",
		    there, limit);
	}
	if (there > max)
		there = max;
	if (there)
		f->stuck = false;
	for (uint32_t i = 0; i < there; i++) {
		struct blkif_rsp r;
		blkif_ring_get_rsp(&f->q->ring, f->q->rsp_cons++, &r);
		rsp[i] = (struct xenblkfront_response){.id = r.id, .op = r.op, .status = r.status};
	}
	return (int)there;
}

static int take_event(struct xenblkfront *f)
{
	int port = xen_evtchn_pending(f->evtchn);

	if (port == -EAGAIN)
		return 0;
	/* Unmasked before the ring is looked at: an event in between is not lost. */
	int rc = port < 0 ? port : xen_evtchn_unmask(f->evtchn, (uint32_t)port);
	if (rc)
		return xbf_fail(f, rc, "event channel failed: %s", error_name(rc));
	return 0;
}

int xbf_see_back(struct xenblkfront *f)
{
	if (!f->watching)
		return 0;
	struct pollfd p = {.fd = store_fd(f->store), .events = POLLIN};
	if (poll(&p, 1, 0) <= 0)
		return 0;
	int rc = xbf_drain_watches(f);
	if (!rc)
		f->back_state = store_read_state(f->store, XBT_NULL, f->back);
	return rc;
}

int xbf_wait_event(struct xenblkfront *f, uint64_t deadline)
{
	struct pollfd p[2] = {
	    {.fd = xen_evtchn_fd(f->evtchn), .events = POLLIN},
	    {.fd = f->watching ? store_fd(f->store) : -1, .events = POLLIN},
	};
	int ms = xbf_ms_left(deadline);

	if (!ms)
		return -ETIMEDOUT;
	/* Time-out and EINTR: the caller looks at the ring again and comes back. */
	if (poll(p, 2, ms) <= 0)
		return 0;
	int rc = p[1].revents ? xbf_see_back(f) : 0;
	if (rc)
		return rc;
	return p[0].revents ? take_event(f) : 0;
}

/* Whether some ring has a response; those that have none are asked to tell of the next one. */
static bool any_response(struct xenblkfront *f)
{
	bool any = false;

	for (unsigned i = 0; i < f->nr_queues; i++) {
		struct xbf_queue *q = &f->queue[i];
		any |= blkif_ring_arm_rsp(&q->ring, q->rsp_cons) != q->rsp_cons;
	}
	return any;
}

int xenblkfront_wait(struct xenblkfront *f, int timeout_ms)
{
	uint64_t deadline = xbf_deadline(f, timeout_ms);
	int rc;

	if (!f->nr_queues)
		return no_ring(f);
	while (!any_response(f)) {
		rc = xbf_wait_event(f, deadline);
		if (rc && !any_response(f)) {
			f->stuck = rc == -ETIMEDOUT;
			return f->stuck ? xbf_fail(f, rc, "no response in any queue") : rc;
		}
	}
	return 0;
}

int xenblkfront_reap(struct xenblkfront *f, struct xenblkfront_response *rsp, unsigned max,
                     int timeout_ms)
{
	uint64_t deadline;

	if (!f->q->ring_pages)
		return no_ring(f);
	int n = xbf_take(f, rsp, max);
	if (n || !max)
		return n;
	if (!timeout_ms)
		return -ETIMEDOUT;
	deadline = xbf_deadline(f, timeout_ms);
	for (;;) {
		int rc = 0;
		if (blkif_ring_arm_rsp(&f->q->ring, f->q->rsp_cons) == f->q->rsp_cons)
			rc = xbf_wait_event(f, deadline);
		n = xbf_take(f, rsp, max);
		if (n)
			return n;
		f->stuck = rc == -ETIMEDOUT;
		if (f->stuck)
			return xbf_fail(f, rc, "no response to %u requests in flight",
			                xenblkfront_inflight(f));
		if (rc)
			return rc;
	}
}
