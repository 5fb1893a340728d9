/* SPDX-License-Identifier: MIT */
/*
 * What supervisor and worker say to each other over the disk's seqpacket socket: one struct a
 * packet. The worker sends unasked only what has serial 0. Both sides check version and size.
 */
#ifndef DISK_MESSAGE_H
#define DISK_MESSAGE_H

#include <stdint.h>

#include "storage/storage.h"

#define WM_VERSION 1
#define WM_MAX_REFS 16 /* max-ring-page-order 4 */
#define WM_MAX_QUEUES 16

enum wm_type {
	/* supervisor → worker */
	WM_OPEN =
	    1, /* open the image; the O_PATH descriptor comes along (SCM_RIGHTS) if there is one */
	WM_CONNECT,    /* map the rings, bind the ports, start the queues */
	WM_DISCONNECT, /* take no more, drain, unmap, unbind, delete the journal; idempotent */
	WM_QUIT, /* drain, close the image, exit 0; the socket's end is the answer. The journal of a
	          * ring that was connected stays for the next worker */
	WM_RESIZE, /* look at the image's size again; WM_RESIZED is the answer in any case */
	/* worker → supervisor; serial repeats that of the message answered */
	WM_OPENED = 64,
	WM_CONNECTED,
	WM_DISCONNECTED,
	WM_FAILED,    /* the answer to OPEN or CONNECT: rc and text */
	WM_STOPPED,   /* serial 0: a ring was stopped for good: text */
	WM_RESIZED,   /* the image's size in `opened`; serial 0: it has changed */
	WM_WITHDRAWN, /* serial 0: the device says that it cannot do what it promised: `withdrawn`
	               */
};

struct wm_queue {
	uint32_t refs[WM_MAX_REFS];
	uint32_t port; /* the front end's */
};

struct wm_open {
	struct storage_target target;
	uint8_t readonly, shared;
	uint8_t has_fd;
	uint8_t wait_lock; /* a worker died here: wait for the image's lock, which its last I/O
	                      releases */
};

struct wm_connect {
	uint32_t protocol; /* enum blkif_protocol */
	uint32_t order;    /* ring pages = 1 << order */
	uint32_t nr_queues;
	uint64_t generation; /* distinguishes connections of this device */
	/* This ring was served by an earlier worker: its journal is recovered; without one the ring
	 * goes on only if no request is in it. 0: a new connection, an old journal is replaced. */
	uint8_t resume;
	uint64_t fault_epoch; /* how many workers of this connection died by a fault so far */
	char guest_uuid[37];
	struct wm_queue queue[WM_MAX_QUEUES];
	/* what was advertised, hence accepted */
	uint8_t flush, barrier, discard, discard_secure;
	uint32_t sector_size;                 /* bytes, as advertised */
	uint32_t sector_shift, segment_shift; /* see struct blkif_limits */
	uint32_t indirect_segments;           /* 0: none */
	uint32_t
	    persistent_grants; /* kept mapped for each queue; 0: both ends did not agree on it */
	uint32_t persistent_idle_seconds; /* let go when not used for so long */
};

/* What a device turned out not to do. */
enum wm_withdrawn {
	WM_NO_FLUSH = 1, /* nor barriers */
	WM_NO_DISCARD = 2,
	WM_NO_SECURE_DISCARD = 4,
};

struct wm {
	uint32_t version, type;
	uint32_t serial;
	int32_t rc;                /* FAILED: -errno */
	char text[ERROR_TEXT_MAX]; /* FAILED, STOPPED */
	union {
		struct wm_open open;
		struct wm_connect connect;
		struct storage_caps opened;
		uint32_t withdrawn; /* enum wm_withdrawn */
	};
};

#endif
