/* SPDX-License-Identifier: MIT */
/* Walks the xenbus states of the front end: reset, connect, disconnect; makes and releases the
 * ring. */
#include "front/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "front/bus.h"
#include "front/failure.h"
#include "front/front.h"
#include "front/ring.h"
#include "front/slots.h"

#define M_GONE (XBF_BIT(XS_CLOSED) | XBF_BIT(XS_UNKNOWN))
#define M_CLOSES (XBF_BIT(XS_CLOSING) | M_GONE)
#define UNSHARE_NS (1 * NS_PER_S) /* for a back end that unmaps a little late */
#define GIVE_UP_MS 1000           /* for each step of cleaning up after a failure */

/* ---- ring and port ---- */

static int unshare(struct xenblkfront *f, void *addr, unsigned count)
{
	uint64_t deadline = clock_ns() + UNSHARE_NS;
	int rc;

	/* Nothing tells when the other side unmaps, so this is the one place that has to ask again.
	 */
	while ((rc = xen_gntshr_unshare(f->gntshr, addr, count)) == -EBUSY && clock_ns() < deadline)
		nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
	return rc;
}

/* What the selected queue has. */
static int release_queue(struct xenblkfront *f)
{
	int rc = 0;

	if (f->q->slots)
		rc = xbf_slots_release(f, unshare);
	if (f->q->ring_pages) {
		int r = unshare(f, f->q->ring_pages, 1u << f->order);
		rc = rc ?: r;
	}
	if (f->q->port)
		xen_evtchn_unbind(f->evtchn, f->q->port);
	*f->q = (struct xbf_queue){0};
	return rc;
}

int xbf_release(struct xenblkfront *f)
{
	int rc = 0;

	for (unsigned i = 0; i < XBF_MAX_QUEUES; i++) {
		f->q = &f->queue[i];
		int r = release_queue(f);
		rc = rc ?: r;
	}
	f->q = &f->queue[0];
	f->nr_queues = 0;
	f->have_info = false;
	if (rc)
		return xbf_fail(f, rc,
		                rc == -EBUSY ? "the back end closed, but still maps our pages: %s"
		                             : "cannot take the shared pages back: %s",
		                error_name(rc));
	return 0;
}

static int make_ring(struct xenblkfront *f)
{
	unsigned pages = 1u << f->order;
	int rc;

	rc = xen_gntshr_share(f->gntshr, f->back_domid, pages, true, f->q->ring_refs,
	                      &f->q->ring_pages);
	if (rc) {
		f->q->ring_pages = NULL;
		return xbf_fail(f, rc, "cannot grant %u ring pages to domain %u: %s", pages,
		                f->back_domid, error_name(rc));
	}
	blkif_ring_attach(&f->q->ring, f->q->ring_pages, f->order, f->proto);
	blkif_ring_init(&f->q->ring);
	rc = xen_evtchn_bind_unbound(f->evtchn, f->back_domid);
	if (rc < 0)
		return xbf_fail(f, rc, "cannot allocate an event channel for domain %u: %s",
		                f->back_domid, error_name(rc));
	f->q->port = (uint32_t)rc;
	return 0;
}

static int make_rings(struct xenblkfront *f)
{
	unsigned max = xbf_max_queues(f), n = f->queues ?: 1;
	int rc = 0;

	f->broken = f->stuck = false;
	f->nr_queues = n < max ? n : max;
	for (unsigned i = 0; i < f->nr_queues && !rc; i++) {
		f->q = &f->queue[i];
		rc = make_ring(f);
	}
	f->q = &f->queue[0];
	return rc;
}

static int publish(struct xenblkfront *f)
{
	int rc = xbf_release(f);

	rc = rc ?: make_rings(f);
	rc = rc ?: xbf_write_ring_keys(f);
	if (rc) {
		struct error kept = f->err;
		xbf_release(f);
		f->err = kept;
	}
	f->back_state = XS_CONNECTED; /* until an event says otherwise */
	return rc;
}

int xenblkfront_publish_ring(struct xenblkfront *f)
{
	xbf_clear_error(f);
	int rc = xbf_locate(f);
	return rc ?: publish(f);
}

/* ---- connect ---- */

static int wait_state(struct xenblkfront *f, unsigned mask)
{
	return xbf_wait_state(f, mask, xbf_deadline(f, -1));
}

/* The walk of a guest that boots again (kexec, or the next run of a program) over what an earlier
 * driver left; it enters at the step that the back end has reached. 0: the back end is in InitWait.
 */
static int reset_walk(struct xenblkfront *f, int back)
{
	int rc;

	if (back == XS_CONNECTED) {
		rc = xbf_switch_state(f, XS_CLOSING);
		rc = rc ?: wait_state(f, XBF_BIT(XS_CLOSING) | XBF_BIT(XS_CLOSED));
		if (rc < 0)
			return rc;
	}
	if (back != XS_CLOSED) {
		rc = xbf_switch_state(f, XS_CLOSED);
		rc = rc ?: wait_state(f, XBF_BIT(XS_CLOSED));
		if (rc < 0)
			return rc;
	}
	uint64_t online;
	if (!store_read_u64(f->store, XBT_NULL, f->back, "online", 0, 1, &online) && !online)
		return xbf_fail(f, -ENODEV,
		                "the toolstack is removing this device: attach it again");
	rc = xbf_switch_state(f, XS_INITIALISING);
	rc = rc ?: wait_state(f, XBF_BIT(XS_INITWAIT) | XBF_BIT(XS_UNKNOWN));
	if (rc == XS_UNKNOWN)
		return xbf_fail(f, -ENODEV, "the back end's node %s is gone", f->back);
	return rc < 0 ? rc : 0;
}

static int refused(struct xenblkfront *f, int state, const char *when)
{
	char says[ERROR_TEXT_MAX / 2];

	return xbf_fail(f, state == XS_UNKNOWN ? -ENODEV : -ECONNREFUSED,
	                "the back end went to %s %s%s; see xenblkctl status %u:%s",
	                xenbus_state_name(state), when, xbf_back_says(f, says, sizeof says),
	                f->domid, f->vdev);
}

static int reach_initwait(struct xenblkfront *f)
{
	unsigned resets = XBF_BIT(XS_CONNECTED) | XBF_BIT(XS_CLOSING) | XBF_BIT(XS_CLOSED);
	int back = wait_state(f, XBF_BIT(XS_INITWAIT) | resets);

	if (back < 0)
		return back;
	/* Over what an earlier driver left, a back end in InitWait may be on its way elsewhere: to
	 * Closed, or to that driver's ring. */
	int ours = store_read_state(f->store, XBT_NULL, f->front);
	if (back == XS_INITWAIT && (ours == XS_INITIALISING || ours == XS_UNKNOWN))
		return 0;
	return reset_walk(f, back);
}

int xenblkfront_reset(struct xenblkfront *f)
{
	xbf_clear_error(f);
	int rc = xbf_locate(f);
	rc = rc ?: reach_initwait(f);
	/* Not so if it was no state at all. */
	if (!rc && store_read_state(f->store, XBT_NULL, f->front) != XS_INITIALISING)
		rc = xbf_switch_state(f, XS_INITIALISING);
	return rc;
}

static int reach_connected(struct xenblkfront *f)
{
	int rc = xbf_switch_state(f, XS_INITIALISED);

	if (rc)
		return rc;
	rc = wait_state(f, XBF_BIT(XS_CONNECTED) | M_CLOSES);
	if (rc < 0)
		return rc;
	if (rc != XS_CONNECTED)
		return refused(f, rc, "instead of Connected");
	rc = xbf_read_info(f, &f->info);
	if (rc)
		return rc;
	uint32_t size = f->info.sector_size;
	if (!f->info.sectors || size < 512 || size > XEN_PAGE_SIZE || (size & (size - 1)))
		return xbf_fail(
		    f, -EPROTO,
		    "the back end is Connected, but its keys make no disk: sectors %llu, "
		    "sector-size %u",
		    (unsigned long long)f->info.sectors, size);
	f->have_info = true;
	return xbf_switch_state(f, XS_CONNECTED);
}

/* A back end that has let us down once is not waited for that long again. */
static void lose_patience(struct xenblkfront *f)
{
	if (f->timeout_ms > GIVE_UP_MS)
		f->timeout_ms = GIVE_UP_MS;
}

/* Leaves nothing of a failed connect behind; the first error's text stays. */
static void give_up(struct xenblkfront *f)
{
	struct error kept = f->err;
	unsigned timeout_ms = f->timeout_ms;

	lose_patience(f);
	if (f->nr_queues) {
		/* Closed without asking first: a back end that refused does not answer Closing. */
		if (!xbf_switch_state(f, XS_CLOSED))
			wait_state(f, M_GONE);
		xbf_release(f);
	}
	f->timeout_ms = timeout_ms;
	f->err = kept;
}

int xenblkfront_connect(struct xenblkfront *f)
{
	int rc;

	xbf_clear_error(f);
	rc = xbf_locate(f);
	rc = rc ?: reach_initwait(f);
	rc = rc ?: publish(f);
	rc = rc ?: reach_connected(f);
	if (rc)
		give_up(f);
	return rc;
}

/* ---- disconnect ---- */

/* Those of the selected queue. */
static int wait_queue(struct xenblkfront *f, uint64_t deadline)
{
	struct xenblkfront_response rsp[16]; /* thrown away: their callers have given up */

	/* A ring that we forged need not answer. */
	if (f->q->poked)
		return 0;
	for (;;) {
		int rc = xbf_take(f, rsp, 16);
		if (rc < 0)
			return rc;
		if (!xenblkfront_inflight(f) || xbf_back_left(f))
			return 0;
		if (rc || blkif_ring_arm_rsp(&f->q->ring, f->q->rsp_cons) != f->q->rsp_cons)
			continue;
		rc = xbf_wait_event(f, deadline);
		if (rc == -ETIMEDOUT)
			return xbf_fail(f, rc, "no response to %u requests before the disconnect",
			                xenblkfront_inflight(f));
		if (rc)
			return rc;
	}
}

static int wait_in_flight(struct xenblkfront *f)
{
	uint64_t deadline = xbf_deadline(f, -1);
	int rc = 0;

	for (unsigned i = 0; i < f->nr_queues && !rc; i++) {
		f->q = &f->queue[i];
		rc = wait_queue(f, deadline);
	}
	return rc;
}

static int closing_walk(struct xenblkfront *f)
{
	int rc = xbf_switch_state(f, XS_CLOSING);

	rc = rc ?: wait_state(f, M_CLOSES);
	if (rc == -ETIMEDOUT)
		lose_patience(f); /* and go on: Closed may still be heard */
	if (rc >= 0 || rc == -ETIMEDOUT)
		rc = xbf_switch_state(f, XS_CLOSED);
	rc = rc ?: wait_state(f, M_GONE);
	if (rc != -ENOENT)
		return rc < 0 ? rc : 0;
	/* Removed by the toolstack meanwhile: no back end is left to say good-bye to. */
	xbf_clear_error(f);
	return 0;
}

int xenblkfront_disconnect(struct xenblkfront *f)
{
	unsigned timeout_ms = f->timeout_ms;
	struct error kept;
	int rc, r;

	xbf_clear_error(f);
	if (!f->nr_queues)
		return 0;
	if (f->stuck)
		lose_patience(f);
	/* Whatever fails, the walk goes on: a device left half-way cannot be connected again. A
	 * broken back end need not answer. */
	rc = f->broken ? 0 : wait_in_flight(f);
	kept = f->err;
	if (rc)
		lose_patience(f);
	r = closing_walk(f);
	f->timeout_ms = timeout_ms;
	if (!rc) {
		rc = r;
		kept = f->err;
	}
	r = xbf_release(f);
	if (!rc)
		return r;
	f->err = kept;
	return rc;
}
