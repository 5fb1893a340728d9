/* SPDX-License-Identifier: MIT */
/* The ring as it is: indices, slots and events one by one, for tests and the conformance suite. */
#include "front/front.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "front/failure.h"

_Static_assert(XENBLKFRONT_SLOT_MAX == BLKIF_SLOT_MAX, "the public header has no blkif/abi.h");

static int no_ring(struct xenblkfront *f)
{
	return xbf_fail(f, -ENOTCONN, "not connected");
}

int xenblkfront_get_indices(struct xenblkfront *f, struct xenblkfront_indices *out)
{
	struct blkif_ring_indices i;

	if (!f->q->ring_pages)
		return no_ring(f);
	blkif_ring_get_indices(&f->q->ring, &i);
	*out = (struct xenblkfront_indices){i.req_prod, i.req_event, i.rsp_prod, i.rsp_event};
	return 0;
}

int xenblkfront_set_rsp_event(struct xenblkfront *f, uint32_t value)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	blkif_ring_poke_rsp_event(&f->q->ring, value);
	return 0;
}

int xenblkfront_get_slot(struct xenblkfront *f, uint32_t index, void *buf)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	blkif_ring_copy_req(&f->q->ring, index, buf);
	return (int)f->q->ring.slot_size;
}

int xenblkfront_set_slot(struct xenblkfront *f, uint32_t index, const void *buf)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	blkif_ring_put_req(&f->q->ring, index, buf);
	return 0;
}

int xenblkfront_queue_raw(struct xenblkfront *f, const void *slot)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	if (xenblkfront_inflight(f) >= f->q->ring.slots)
		return -EAGAIN;
	blkif_ring_put_req(&f->q->ring, f->q->req_pvt++, slot);
	return 0;
}

int xenblkfront_push(struct xenblkfront *f)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	uint32_t from = f->q->req_pub;
	f->q->req_pub = f->q->req_pvt;
	return blkif_ring_push_req(&f->q->ring, from, f->q->req_pvt);
}

int xenblkfront_notify(struct xenblkfront *f)
{
	if (!f->q->ring_pages)
		return no_ring(f);
	int rc = xen_evtchn_notify(f->evtchn, f->q->port);
	if (rc)
		return xbf_fail(f, rc, "cannot notify the back end over port %u: %s", f->q->port,
		                error_name(rc));
	return 0;
}

int xenblkfront_await_event(struct xenblkfront *f, int timeout_ms)
{
	uint64_t deadline = xbf_deadline(f, timeout_ms);

	if (!f->q->ring_pages)
		return no_ring(f);
	for (;;) {
		int port = xen_evtchn_pending(f->evtchn);
		int rc = port > 0 ? xen_evtchn_unmask(f->evtchn, (uint32_t)port) : port;
		if (rc && rc != -EAGAIN)
			return xbf_fail(f, rc, "event channel failed: %s", error_name(rc));
		if (!rc && port == (int)f->q->port)
			return 1;
		int ms = xbf_ms_left(deadline);
		if (!ms)
			return 0;
		struct pollfd p = {.fd = xen_evtchn_fd(f->evtchn), .events = POLLIN};
		poll(&p, 1, ms); /* time-out and EINTR: the loop looks again */
	}
}
