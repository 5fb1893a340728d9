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

/* Absolute time of a time-out in ms; negative: the handle's. */
uint64_t xbf_deadline(const struct xenblkfront *f, int timeout_ms);
/* What poll() wants: rounded up, never negative. */
int xbf_ms_left(uint64_t deadline);

/* The back end was seen to have gone: no answer will come any more. */
static inline bool xbf_back_left(const struct xenblkfront *f)
{
	return f->back_state == XS_CLOSED || f->back_state == XS_UNKNOWN;
}

#pragma GCC visibility pop

#endif
