/* SPDX-License-Identifier: MIT */
/*
 * What supervisor and worker say to each other over the disk's seqpacket socket: one struct a
 * packet. The worker sends unasked only what has serial 0. Both sides check version and size.
 *
 * A worker outlives supervisors, so it may meet one of another version. What every version has and
 * understands, whatever else changes: the head (the first WM_HEAD_BYTES of struct wm), the types
 * WM_HELLO, WM_QUIT and WM_STATE with these numbers, and the meaning of enum wm_flags. Anything
 * else is answered to another version with WM_FAILED, -EPROTO. Each answer carries the version of
 * who sends it.
 */
#ifndef DISK_MESSAGE_H
#define DISK_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "storage/storage.h"

#ifndef WM_VERSION /* a test builds a worker of another one */
#define WM_VERSION 5
#endif
#define WORKER_LACKS 75 /* exit status: something ran short at its start (EX_TEMPFAIL) */
#define WM_MAX_REFS 16  /* max-ring-page-order 4 */
#define WM_MAX_QUEUES 16

enum wm_type {
	/* supervisor → worker */
	WM_OPEN = 1, /* open the image; the parcel of the disk's claim (storage/parcel.h)
	              * comes along (SCM_RIGHTS) if it has one */
	WM_CONNECT,  /* map the rings, bind the ports, start the queues; once in a worker's life */
	WM_DISCONNECT, /* take no more, drain, unmap, unbind, delete the journal; idempotent */
	WM_QUIT, /* drain, close the image, exit 0; the socket's end is the answer. The journal of a
	          * ring that was connected stays for the next worker */
	WM_RESIZE, /* look at the image's size again; WM_RESIZED is the answer in any case */
	WM_CHECK,  /* could you go on with this connection? `connect` as it would come, nr_queues 0
	            * if there is none, the claim's parcel along; nothing is changed */
	WM_HELLO = 16, /* what have you got? Answered also while the image is being opened. A pipe
	                * may come along: it is for the log from then on */
	/* worker → supervisor; serial repeats that of the message answered */
	WM_OPENED = 64,
	WM_CONNECTED,
	WM_DISCONNECTED,
	WM_FAILED,    /* the answer to OPEN or CONNECT: rc and text */
	WM_STOPPED,   /* serial 0: a ring was stopped for good: text */
	WM_RESIZED,   /* the image's size in `opened`; serial 0: it has changed */
	WM_WITHDRAWN, /* serial 0: the device says that it cannot do what it promised: `withdrawn`
	               */
	WM_READY,     /* the answer to CHECK: yes */
	WM_CLAIMED, /* serial 0: the image was claimed, the claim's parcel comes along (SCM_RIGHTS)
	             */
	WM_FORBIDDEN, /* serial 0: I end, by the system call of number rc, which the sandbox
	               * forbids */
	WM_TROUBLE, /* serial 0: what the storage fails at now: `trouble`; at most two a second, and
	             * again after HELLO */
	WM_STATE = 80, /* the answer to HELLO: flags, generation, pending, state; text: why the ring
	                  was stopped, or "" */
};

enum wm_flags {
	WM_HAS_IMAGE = 1, /* an image is open */
	WM_HAS_RING = 2,  /* the ring of `generation` is connected */
	WM_OPENING = 4,   /* an image is being opened: the answer to request `pending` comes */
	WM_FENCING = 8,   /* … and what it waits for is the fence (storage/claim.h) */
};

struct wm_queue {
	uint32_t refs[WM_MAX_REFS];
	uint32_t port; /* the front end's */
};

struct wm_open {
	struct storage_target target;
	uint8_t readonly, shared;
	uint8_t has_claim;   /* else the image is to be claimed, and its claim sent back */
	uint8_t wait_owner;  /* claim it when the one who has it lets go, however long that takes */
	uint8_t emulated;    /* see struct claim_spec */
	uint8_t after_death; /* see struct storage_spec */
	uint64_t owner;      /* claim_owner */
	struct storage_identity expected; /* see struct claim_spec */
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

#define WM_OPS 4 /* of enum storage_op */

/* Of one kind of operation. */
struct wm_trouble {
	uint64_t count;  /* that failed since it worked last; 0: it works */
	uint64_t sector; /* the first one of the last that failed, in units of 512 bytes */
	int32_t rc;      /* -errno of it */
	uint32_t pad;
};

struct wm_state {
	uint32_t domid, devid;
	struct storage_caps caps;  /* HAS_IMAGE: with the size that it has now */
	uint32_t withdrawn;        /* HAS_IMAGE: enum wm_withdrawn */
	struct wm_connect connect; /* HAS_RING: as it came */
};

struct wm {
	uint32_t version, type;
	uint32_t serial;
	int32_t rc;          /* FAILED: -errno; FORBIDDEN */
	uint32_t flags;      /* STATE: enum wm_flags */
	uint32_t pending;    /* STATE: see OPENING */
	uint64_t generation; /* STATE: of the ring that is connected, or else of the last one that
	                        was disconnected in order; 0: none */
	/* the head ends here */
	char text[ERROR_TEXT_MAX]; /* FAILED, STOPPED, STATE; OPENED: what is worth a word, or "" */
	union {
		struct wm_open open;
		struct wm_connect connect;
		struct storage_caps opened;
		uint32_t withdrawn; /* enum wm_withdrawn */
		struct wm_state state;
		struct wm_trouble trouble[WM_OPS]; /* by enum storage_op */
	};
};

/* Sends m with that serial, and fd (lent) along unless it is -1. Never waits. 0, or -1 and errno.
 */
int wm_send(int sock, struct wm *m, uint32_t serial, int fd);
/* One packet, and in *fd the descriptor that came along, or -1; with fd NULL the kernel drops it.
 * Never waits. The packet's bytes, also those that did not fit; 0: the other end is gone; -1 and
 * errno. */
ssize_t wm_receive(int sock, struct wm *m, int *fd);

#define WM_HEAD_BYTES 32
_Static_assert(offsetof(struct wm, text) == WM_HEAD_BYTES, "the head is the same for ever");

#endif
