/* SPDX-License-Identifier: MIT */
/*
 * libxenblkfront: the guest's side of a Xen block device, in user space.
 *
 * It finds the device that the toolstack wrote under /local/domain/N/device/vbd/D, walks the xenbus
 * states as a guest's driver does (a reset first, if somebody was connected before), grants memory,
 * and moves data through the ring. One handle belongs to one thread at a time; there are no
 * globals. Units: "sector" is always 512 bytes; everything else is bytes. Errors: 0 or -errno, and
 * one line of text in the handle.
 */
#ifndef XENBLKFRONT_H
#define XENBLKFRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xenblkfront;

struct xenblkfront_options {
	const char *run_dir; /* directory of an embedded Xen; NULL: the real Xen */
	unsigned domid;      /* the guest's domain */
	const char *vdev;    /* "xvda" … or a number */
	const char *abi; /* "x86_64", "x86_32", "native": written as protocol; "none": key left out,
	                  * x86_32 layout; NULL: "x86_64" */
	unsigned ring_order; /* ring of 1 << ring_order pages, 0..4 */
	bool order_key;      /* write ring-page-order and ring-ref0 also for one page */
	unsigned queues;     /* 1..16: written as multi-queue-num-queues, but not more than the back
	                      * end offers; 0: one queue, key left out */
	bool persistent; /* write feature-persistent: synchronous I/O uses its pages over and over,
	                  * as it does in any case */
	unsigned indirect;   /* synchronous I/O: at most so many segments in a request, if the back
	                      * end   offers them; 0: 256; 11 or less: no indirect requests */
	unsigned timeout_ms; /* for each state of the back end awaited; 0: 10000 */
};

/* What the back end says of the disk. */
struct xenblkfront_info {
	uint64_t sectors; /* 512-byte units */
	uint32_t sector_size, physical_sector_size;
	uint32_t info; /* VDISK_CDROM 1, VDISK_REMOVABLE 2, VDISK_READONLY 4 */
	bool flush, barrier, discard, discard_secure, persistent;
	uint32_t discard_granularity, discard_alignment;
	uint32_t max_ring_order, max_queues, max_indirect_segments;
	uint32_t ring_slots; /* of each ring in use; 0 if not connected */
	uint32_t queues;     /* in use; 0 if not connected */
	char abi[16];        /* of the ring in use */
	char mode[8], device_type[16];
};

/* Opens the handle: xenstore, grants, event channels; touches nothing yet. *out is set even on
 * failure so that xenblkfront_error works; close it anyway. */
int xenblkfront_open(const struct xenblkfront_options *opt, struct xenblkfront **out);
const char *
xenblkfront_error(const struct xenblkfront *f); /* "" if none; valid until the next call */
/* Does not walk the closing states: the device is left as a guest that vanishes leaves it. */
void xenblkfront_close(struct xenblkfront *f);

/* Walks to Connected: reset walk if the back end is Connected, Closing or Closed, waits for
 * InitWait, publishes ring and port in one transaction, state 3, waits for back end 4, reads its
 * keys, state 4. */
int xenblkfront_connect(struct xenblkfront *f);
/* Closing, awaits the back end's answer, Closed, awaits Closed; releases ring and port.
 * Requests in flight are waited for first. */
int xenblkfront_disconnect(struct xenblkfront *f);
int xenblkfront_get_info(struct xenblkfront *f, struct xenblkfront_info *out);

/* Which queue synchronous I/O and single requests use from now on; a new connection starts with
 * queue 0. -EINVAL: the connection has fewer queues. */
int xenblkfront_select(struct xenblkfront *f, unsigned queue);

/* ---- synchronous I/O: any length; splits into requests and keeps the ring full. Requests of more
 * than 11 pages are indirect, where the back end offers it. ---- */
int xenblkfront_read(struct xenblkfront *f, uint64_t offset, void *buf, size_t length);
int xenblkfront_write(struct xenblkfront *f, uint64_t offset, const void *buf, size_t length);
int xenblkfront_flush(struct xenblkfront *f);
int xenblkfront_barrier(struct xenblkfront *f);
int xenblkfront_discard(struct xenblkfront *f, uint64_t offset, uint64_t length, bool secure);
/* -EIO: response ERROR; -EOPNOTSUPP: response EOPNOTSUPP; -ETIMEDOUT; -EPROTO: the back end broke a
 * rule (named in the error text); -EINVAL: arguments. */

/* ---- single requests, for benchmarks and tests: what you say is what goes onto the ring ---- */

#define XENBLKFRONT_SEGS 11

struct xenblkfront_seg {
	uint32_t gref;
	uint8_t first, last; /* sectors in the page */
};

struct xenblkfront_request {
	uint8_t op;           /* BLKIF_OP_* or any other number */
	uint8_t flag;         /* discard */
	uint8_t inner_op;     /* indirect */
	uint16_t nr_segments; /* may lie */
	uint64_t sector, nr_sectors;
	struct xenblkfront_seg seg[XENBLKFRONT_SEGS];
	uint32_t indirect[8];
};

struct xenblkfront_response {
	uint64_t id;
	uint8_t op;
	int16_t status;
};

/* `count` zeroed pages granted to the back end, contiguous; refs gets one reference each. */
int xenblkfront_alloc(struct xenblkfront *f, unsigned count, bool writable, void **addr,
                      uint32_t *refs);
int xenblkfront_free(struct xenblkfront *f, void *addr, unsigned count);
/* Makes references invalid at once, mapped or not. */
int xenblkfront_revoke(struct xenblkfront *f, const uint32_t *refs, unsigned count);

/* Puts the request on the ring with that id (not yet visible). -EAGAIN: ring full. */
int xenblkfront_queue(struct xenblkfront *f, const struct xenblkfront_request *req, uint64_t id);
/* Makes queued requests visible and notifies the back end if it asked for that. */
int xenblkfront_kick(struct xenblkfront *f);
/* Takes up to max responses; waits until there is at least one, at most timeout_ms (0: not at all,
 * -1: the handle's timeout). Count, or -ETIMEDOUT. No checks but the ring's: the caller knows its
 * ids. */
int xenblkfront_reap(struct xenblkfront *f, struct xenblkfront_response *rsp, unsigned max,
                     int timeout_ms);
unsigned xenblkfront_inflight(const struct xenblkfront *f);
/* Waits until there is a response in any queue. 0 or -ETIMEDOUT, -errno. */
int xenblkfront_wait(struct xenblkfront *f, int timeout_ms);

/* ---- the ring as it is, for who judges a back end or attacks it. -ENOTCONN without a ring. ----
 */

#define XENBLKFRONT_SLOT_MAX 112 /* bytes of the largest ring slot of any ABI */

struct xenblkfront_indices {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
};
/* Each is read once. The library itself writes rsp_event only where it is about to wait. */
int xenblkfront_get_indices(struct xenblkfront *f, struct xenblkfront_indices *out);
/* Asks for an event at the response before index `value` is reached (ring.h: rsp_event). */
int xenblkfront_set_rsp_event(struct xenblkfront *f, uint32_t value);
/* Bytes of a slot: of any index, which counts modulo the ring's size. buf has room for
 * XENBLKFRONT_SLOT_MAX; returns how many bytes a slot has. */
int xenblkfront_get_slot(struct xenblkfront *f, uint32_t index, void *buf);
/* … and writes it, whatever is in flight there. */
int xenblkfront_set_slot(struct xenblkfront *f, uint32_t index, const void *buf);
/* As xenblkfront_queue, with the bytes of a whole slot. */
int xenblkfront_queue_raw(struct xenblkfront *f, const void *slot);
/* Makes queued requests visible and sends no event: 1 if the back end asked for one, else 0. */
int xenblkfront_push(struct xenblkfront *f);
/* Sends an event, asked for or not. */
int xenblkfront_notify(struct xenblkfront *f);
/* Takes one event of the ring's port, with no look at the ring: 1, or 0 if none came within
 * timeout_ms (0: does not wait; -1: the handle's). */
int xenblkfront_await_event(struct xenblkfront *f, int timeout_ms);
/* Writes req_prod as it likes: a hostile front end. */
void xenblkfront_poke_req_prod(struct xenblkfront *f, uint32_t value);
/* Moves rsp_prod, which is the back end's, by that much: a guest that lies about what it was told.
 */
void xenblkfront_poke_rsp_prod(struct xenblkfront *f, int32_t by);

/* ---- xenbus by hand, for tests ---- */
int xenblkfront_set_state(struct xenblkfront *f, int state); /* plain write of our state node */
int xenblkfront_wait_backend(struct xenblkfront *f, unsigned states_mask,
                             int timeout_ms); /* state, or -errno; bit n: state n */
int xenblkfront_write_key(struct xenblkfront *f, const char *key,
                          const char *value); /* NULL: remove */
/* Of ours: length, or -ENOENT, -errno. */
int xenblkfront_read_key(struct xenblkfront *f, const char *key, char *buf, size_t cap);
int xenblkfront_read_backend_key(struct xenblkfront *f, const char *key, char *buf, size_t cap);
/* The halves of connect. Waits until the back end is in InitWait, with a reset walk if it or we are
 * elsewhere: 0, our state is Initialising then. */
int xenblkfront_reset(struct xenblkfront *f);
/* Ring and port made, keys written (state untouched). */
int xenblkfront_publish_ring(struct xenblkfront *f);

#endif
