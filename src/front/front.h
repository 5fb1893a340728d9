/* SPDX-License-Identifier: MIT */
/*
 * Inside libxenblkfront: the handle, and what its files share. bus.c speaks xenstore, connect.c
 * walks the states, ring.c moves single requests, io.c is the synchronous layer over it.
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "xenblkfront.h"
#include "base/error.h"
#include "blkif/abi.h"
#include "blkif/ring.h"
#include "blkif/vdev.h"
#include "xen/platform.h"
#include "xen/store.h"

#define XBF_MAX_ORDER 4
#define XBF_MAX_SLOTS (32u << XBF_MAX_ORDER)
#define XBF_MAX_QUEUES 16
#define XBF_MAX_SEGS 256     /* of an indirect request: its descriptors fill half a page */
#define XBF_ANY_STATE 0x1ffu /* mask of all states, Unknown included */
#define XBF_BIT(state) (1u << (state))

/* One synchronous request and its pages. Owned by the handle's thread. */
struct xbf_slot {
	uint8_t *pages; /* XENBLKFRONT_SEGS of them, granted on first use and kept */
	uint32_t refs[XENBLKFRONT_SEGS];
	uint8_t *
	    many; /* for indirect requests, likewise: a page of descriptors, then f->segs of data */
	uint32_t *many_refs;
	unsigned many_pages;
	uint8_t *data;   /* where those of the request in flight are */
	uint64_t id;     /* of the request in flight */
	uint8_t op;      /* what its response must name */
	bool busy;       /* in flight */
	bool mine;       /* … for the call that runs now; else its caller gave up on it */
	uint8_t *dst;    /* READ: where the data goes */
	uint32_t length; /* bytes of data */
};

/* One ring. Owned by the handle's thread. */
struct xbf_queue {
	void *ring_pages;
	uint32_t ring_refs[1u << XBF_MAX_ORDER];
	uint32_t port; /* 0: none */
	struct blkif_ring ring;
	uint32_t req_pvt, req_pub, rsp_cons;
	bool poked; /* req_prod was forged: more answers than requests are our own doing */
	/* synchronous I/O */
	struct xbf_slot *slots; /* ring.slots of them, on first use */
	uint16_t *free_slots;   /* stack of indices, the warmest on top */
	uint32_t nr_free, nr_busy, nr_mine, nr_many;
};

/* All of it belongs to the thread that uses the handle. */
struct xenblkfront {
	struct error err;
	struct xen_platform *platform;
	struct xen_gntshr *gntshr;
	struct xen_evtchn *evtchn;
	struct store *store;

	/* as opened */
	uint16_t domid;
	uint32_t devid;
	char vdev[VDEV_NAME_MAX];
	enum blkif_protocol proto;
	const char *protocol_key; /* NULL: the key is left out */
	unsigned order, timeout_ms;
	unsigned queues;   /* 0: one, and no key */
	unsigned max_segs; /* pages of the largest request that we would make */
	bool order_key, persistent;
	char front[STORE_PATH_MAX];

	/* where the toolstack put the other end (xbf_locate) */
	char back[STORE_PATH_MAX];
	uint16_t back_domid;
	bool watching;  /* BACK/state is watched */
	int back_state; /* as last seen while waiting for events */

	/* the rings; a queue is meaningless while its ring_pages are NULL */
	struct xbf_queue queue[XBF_MAX_QUEUES];
	unsigned nr_queues;  /* of the connection; 0: none */
	struct xbf_queue *q; /* the one selected, never NULL */
	bool stuck;          /* the last wait for a response timed out */
	bool
	    broken; /* the back end broke a rule: nothing it says is believed until a new connect */

	struct xenblkfront_info info; /* valid if have_info */
	bool have_info;

	/* synchronous I/O */
	unsigned segs;       /* pages of the largest request */
	uint32_t generation; /* makes ids unique, so that a repeated response is noticed */
};

#pragma GCC visibility push(hidden)

/* ---- failure.c ---- */
/* Sets the text, with the disk's name in front, and returns rc. */
int xbf_fail(struct xenblkfront *f, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void xbf_clear_error(struct xenblkfront *f);

/* ---- front.c ---- */
/* Absolute time of a time-out in ms; negative: the handle's. */
uint64_t xbf_deadline(const struct xenblkfront *f, int timeout_ms);
/* What poll() wants: rounded up, never negative. */
int xbf_ms_left(uint64_t deadline);

/* ---- bus.c ---- */
/* Reads where the back end is. -ENODEV: no such device. */
int xbf_locate(struct xenblkfront *f);
/* Waits until the back end's state is in the mask: the state, or -ETIMEDOUT with a text. */
int xbf_wait_state(struct xenblkfront *f, unsigned mask, uint64_t deadline);
/* Reads all pending watch events and throws them away: states are read by value. */
int xbf_drain_watches(struct xenblkfront *f);
/* Writes our state unless the node is gone: 0, -ENOENT, -errno with a text. */
int xbf_switch_state(struct xenblkfront *f, int state);
/* " (back end says: …)" from its error node, or "". */
const char *xbf_back_says(struct xenblkfront *f, char *buf, size_t cap);
/* Reads all keys that there are; what is not there is 0. */
int xbf_read_info(struct xenblkfront *f, struct xenblkfront_info *out);
/* How many queues the back end offers: at least 1. */
unsigned xbf_max_queues(struct xenblkfront *f);
/* One transaction: old keys out, new keys in. */
int xbf_write_ring_keys(struct xenblkfront *f);

/* ---- connect.c ---- */
/* Takes rings, pools and ports back. -EBUSY: the back end still maps pages; they are forgotten
 * then.
 */
int xbf_release(struct xenblkfront *f);

/* ---- ring.c ---- */
/* Takes what is there in the selected queue, up to max: count, or -EPROTO with a text. Never waits.
 */
int xbf_take(struct xenblkfront *f, struct xenblkfront_response *rsp, unsigned max);
/* -EPROTO with the text for a connection that is not to be believed any more. */
int xbf_broken(struct xenblkfront *f);
/* Updates back_state if a watch event waits; costs one poll() if none does. */
int xbf_see_back(struct xenblkfront *f);
/* Sleeps until an event of any ring or of the back end's state: 0, -ETIMEDOUT (no text), -errno. */
int xbf_wait_event(struct xenblkfront *f, uint64_t deadline);

/* ---- slots.c: of the selected queue ---- */
/* Makes them if there are none, and finds the largest request's size. */
int xbf_slots_make(struct xenblkfront *f);
/* Gives their pages back; first failure is returned, all are tried. */
int xbf_slots_release(struct xenblkfront *f,
                      int (*unshare)(struct xenblkfront *, void *, unsigned));
/* Frees their memory; the pages live on. */
void xbf_slots_free(struct xbf_queue *q);
/* Makes room for *length bytes in s->data, or for as much as there is: *length is cut then. */
int xbf_slot_pages(struct xenblkfront *f, struct xbf_slot *s, uint64_t *length);
/* Describes s->length bytes of s->data in the request, which becomes an indirect one if that many
 * do not fit. */
void xbf_slot_segments(const struct xbf_slot *s, struct xenblkfront_request *req);

/* The back end was seen to have gone: no answer will come any more. */
static inline bool xbf_back_left(const struct xenblkfront *f)
{
	return f->back_state == XS_CLOSED || f->back_state == XS_UNKNOWN;
}

#pragma GCC visibility pop

#endif
