/* SPDX-License-Identifier: MIT */
/* The worker's state. All of it belongs to the main thread. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/loop.h"
#include "disk/message.h"
#include "disk/queue.h"
#include "worker/files.h"

struct worker {
	struct loop loop;
	/* from the command line */
	const char *dir;      /* the disk's folder, which is out of reach once the image is open */
	const char *embedded; /* directory of an embedded Xen, or NULL */
	const char *name;     /* "1:xvda" */
	uint32_t domid, devid;
	/* the supervisor */
	struct loop_fd listener;
	struct loop_fd peer;  /* fd -1: none at the moment */
	bool peer_other;      /* of another version: it understands answers only */
	uint32_t open_serial; /* of the last OPEN */
	/* the disk */
	struct xen_platform *platform;
	struct storage *storage;
	struct opening *opening; /* by a thread of its own, so that the supervisor is answered
	                            meanwhile; or NULL */
	struct loop_fd opened;   /* eventfd: that thread has ended */
	struct storage_identity image;
	int claim; /* its parcel, if we made it, until a front end connects; else -1 */
	struct files files;
	struct lost lost;            /* what the guest has to be told */
	bool readonly, image_shared; /* as it was opened */
	struct queue *queue[WM_MAX_QUEUES];
	struct disk_shared shared;
	unsigned nr_queues;          /* 0: not connected */
	struct wm_connect connected; /* the last one that succeeded */
	uint64_t generation;         /* of it; 0 if its journal was left to a later worker */
	/* statistics */
	struct loop_fd stats_timer;
	int stats_armed; /* atomic: set by queue threads */
	struct loop_fd notice;
	bool stop_reported;
	uint32_t withdrawn_reported;
	struct wm_trouble trouble_reported[WM_OPS]; /* as the supervisor knows it */
	uint64_t trouble_ns;                        /* when it was told */
	int net_fd;           /* a network with nothing in it, from the supervisor; -1: none */
	bool sandboxed;       /* or failed at it */
	bool unfit;           /* failed at it */
	uint64_t memory_used; /* bytes, when it went in */
	bool used;            /* a connection was tried: no other can be */
};

#endif
