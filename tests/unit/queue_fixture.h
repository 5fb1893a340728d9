/* SPDX-License-Identifier: MIT */
/* A queue over a storage that is not there, and a guest with a ring. For one test program. It runs
 * in its thread, or the test makes its steps (by_hand), with what disk/request.h has. */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <cmocka.h>

#include "blkif/ring.h"
#include "disk/queue.h"
#include "storage/engine.h"
#include "xen_process.h"
#include "../lib/needs.h"

/* ---- a storage that does nothing, and some things not ---- */

static struct {
	bool flush, discard, secure; /* works */
	unsigned flushes, discards;  /* asked for */
	int rc;                      /* of all else */
	bool hold;                   /* operations stay in held until the test ends them */
	struct storage_io *held[64];
	unsigned nr_held;
} device;

/* For a test to set before setup. */
static bool by_hand;
static void (*configure)(struct queue_config *c);

static int fake_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                           struct error *err)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : -ENOMEM;
}

static void fake_queue_close(struct storage_queue *q)
{
	free(q);
}

static void fake_submit(struct storage_queue *q, struct storage_io *io)
{
	bool works = true;

	if (device.hold) {
		assert_in_range(device.nr_held, 0, 63);
		device.held[device.nr_held++] = io;
		return;
	}
	if (io->op == STORAGE_FLUSH) {
		device.flushes++;
		works = device.flush;
	} else if (io->op == STORAGE_DISCARD) {
		device.discards++;
		works = io->secure ? device.secure : device.discard;
	}
	io->done(io, works ? device.rc : -EOPNOTSUPP);
}

static const struct storage_ops fake_ops = {
    .queue_open = fake_queue_open, .submit = fake_submit, .queue_close = fake_queue_close};
static struct storage fake_storage = {
    .ops = &fake_ops,
    .caps = {.size = 1 << 20, .logical_block = 512, .physical_block = 512, .flush = true}};

/* ---- a guest with a ring ---- */

static struct xen_process xen;
static struct xen_platform *dom0, *guest;
static struct xen_gntshr *shr;
static struct xen_evtchn *evtchn;

struct fixture {
	void *journal;
	struct queue *queue;
	struct disk_shared shared;
	struct stats_queue stats;
	int stats_armed;
	int notice, timer;
	struct blkif_ring ring;
	void *page;
	uint32_t ref, req, rsp;
	int port;
};

static int start_xen(void **state)
{
	struct error err = {""};

	return xen_process_start(&xen) || xen_platform_open(xen.dir, 0, &dom0, &err) ||
	       xen_platform_open(xen.dir, GUEST, &guest, &err) ||
	       xen_gntshr_open(guest, &shr, &err) || xen_evtchn_open(guest, &evtchn, &err);
}

static int stop_xen(void **state)
{
	xen_evtchn_close(evtchn);
	xen_gntshr_close(shr);
	xen_platform_close(guest);
	xen_platform_close(dom0);
	xen_process_stop(&xen);
	return 0;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	struct error err = {""};

	device.flush = device.discard = device.secure = true;
	device.flushes = device.discards = device.nr_held = 0;
	device.hold = false;
	device.rc = 0;
	shared_init(&x->shared);
	x->notice = eventfd(0, EFD_NONBLOCK);
	x->timer = timerfd_create(CLOCK_MONOTONIC, 0);
	assert_int_equal(xen_gntshr_share(shr, 0, 1, true, &x->ref, &x->page), 0);
	blkif_ring_attach(&x->ring, x->page, 0, BLKIF_PROTO_X86_64);
	blkif_ring_init(&x->ring);
	x->port = xen_evtchn_bind_unbound(evtchn, 0);
	assert_true(x->port > 0);
	struct queue_config c = {.thread_name = "queue",
	                         .domid = GUEST,
	                         .protocol = BLKIF_PROTO_X86_64,
	                         .wire = {.refs = {x->ref}, .port = (uint32_t)x->port},
	                         .limits = {.sector_size = 512,
	                                    .flush = true,
	                                    .barrier = true,
	                                    .discard = true,
	                                    .discard_secure = true},
	                         .platform = dom0,
	                         .storage = &fake_storage,
	                         .shared = &x->shared,
	                         .stats = &x->stats,
	                         .notice_fd = x->notice,
	                         .stats_timer_fd = x->timer,
	                         .stats_armed = &x->stats_armed};
	c.journal = x->journal = calloc(1, JOURNAL_FILE_BYTES);
	if (configure)
		configure(&c);
	if (queue_open(&c, &x->queue, &err) || (!by_hand && queue_spawn(x->queue, &err)) ||
	    queue_attach(x->queue, &err))
		fail_msg("%s", err.text);
	if (!by_hand)
		queue_start(x->queue);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	queue_stop(x->queue);
	queue_free(x->queue, false);
	free(x->journal);
	assert_int_equal(xen_evtchn_unbind(evtchn, (uint32_t)x->port), 0);
	assert_int_equal(xen_gntshr_unshare(shr, x->page, 1), 0);
	close(x->notice);
	close(x->timer);
	free(x);
	return 0;
}

static void put(struct fixture *x, const struct blkif_req *req)
{
	uint8_t raw[BLKIF_SLOT_MAX];

	blkif_encode_req(BLKIF_PROTO_X86_64, req, raw);
	blkif_ring_put_req(&x->ring, x->req++, raw);
}

/* The status of one request without data. */
static inline int ask(struct fixture *x, uint8_t op, uint8_t flag)
{
	struct blkif_req req = {.op = op, .flag = flag, .id = 7};
	struct blkif_rsp rsp;
	int port;

	if (op == BLKIF_OP_DISCARD)
		req.nr_sectors = 8;
	put(x, &req);
	if (blkif_ring_push_req(&x->ring, x->req - 1, x->req))
		assert_int_equal(xen_evtchn_notify(evtchn, (uint32_t)x->port), 0);
	while (blkif_ring_arm_rsp(&x->ring, x->rsp) == x->rsp) {
		struct pollfd p = {.fd = xen_evtchn_fd(evtchn), .events = POLLIN};
		assert_int_equal(poll(&p, 1, 30000), 1);
		while ((port = xen_evtchn_pending(evtchn)) > 0)
			xen_evtchn_unmask(evtchn, (uint32_t)port);
	}
	blkif_ring_get_rsp(&x->ring, x->rsp++, &rsp);
	assert_int_equal(rsp.op, op);
	assert_int_equal(rsp.id, 7);
	return rsp.status;
}

#endif
