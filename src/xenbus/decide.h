/* SPDX-License-Identifier: MIT */
/*
 * What to do next with a device: a pure, total function from what is known to one action.
 * The caller performs the action, reads everything and asks again until it is ACT_NOTHING.
 * State tables: xen/io/xenbus.h, and the walks of the front ends in use.
 */
#ifndef XENBUS_DECIDE_H
#define XENBUS_DECIDE_H

#include <stdbool.h>

enum image_phase {
	IMAGE_NONE,    /* no worker holds it: never opened, or the worker died */
	IMAGE_OPENING, /* asked for */
	IMAGE_OPEN,
	IMAGE_FAILED,  /* could not be opened */
	IMAGE_CLOSING, /* the worker was told to quit and has not ended yet */
	IMAGE_CLOSED,  /* released */
};

enum ring_phase {
	RING_IDLE,
	RING_CONNECTING,
	RING_CONNECTED,
	RING_DISCONNECTING, /* draining */
	RING_FAILED,
};

enum action {
	ACT_NOTHING,
	ACT_ADVERTISE, /* early keys and InitWait, in one transaction; forgets old errors */
	ACT_OPEN_IMAGE,
	ACT_CONNECT_RING,
	ACT_WRITE_CONNECTED, /* all keys of the disk and Connected, in one transaction */
	ACT_DISCONNECT_RING,
	ACT_WRITE_CLOSING,
	ACT_WRITE_CLOSED,
	ACT_RELEASE,     /* close the image, end the worker */
	ACT_REMOVE,      /* forget the device */
	ACT_FATAL_STATE, /* note the front end's impossible state if no error is noted; Closing */
};

/* States are numbers of enum xenbus_state_nr (xen/store.h); anything else is left alone. */
struct snapshot {
	int ours;     /* 0: the back end's node is gone */
	int theirs;   /* 0: gone or unreadable */
	bool fe_seen; /* theirs has been 1..8 before */
	bool online;
	bool fatal;        /* the device failed, its error is noted */
	bool held;         /* it cannot be served now, and its guest waits: see decide_holds */
	bool hangs;        /* a worker that may write cannot be ended: its I/O is on its way */
	bool source_ready; /* it is known what to open, and it may be opened now */
	bool later;        /* something ran short a moment ago: no ring is connected yet */
	bool ring_changed; /* the front end's ring keys are not those connected */
	bool foreign;      /* another driver has the device */
	bool retake;       /* one had it, and its keys are still there */
	bool unfenced;     /* a worker died with the image open: its I/O may be on its way still */
	bool away;         /* the guest runs on another host by now, or is about to */
	bool force;        /* the toolstack will not wait any longer */
	enum image_phase image;
	enum ring_phase ring;
};

enum action decide(const struct snapshot *s); /* any thread */

/* What serves the disk has failed for good. Whether it is held: nothing is said to the front end,
 * whose requests wait until somebody has mended the cause and asks for another try. A guest loses
 * its disk when it is closed, so that is for those that use none: the rest is closed. States as
 * above, theirs also -1: not read yet. Any thread. */
bool decide_holds(int ours, int theirs);

const char *image_phase_name(enum image_phase p); /* "none" …; closing reads "closed" */
const char *ring_phase_name(enum ring_phase p);
const char *action_name(enum action a);

#endif
