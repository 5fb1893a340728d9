/* SPDX-License-Identifier: MIT */
/* The steps of an upgrade, and of taking over, between which a process may die. */
#ifndef DAEMON_STEPS_LIST_H
#define DAEMON_STEPS_LIST_H

enum upgrade_step {
	STEP_STARTED,    /* the new worker runs; the old one serves */
	STEP_CHECKED,    /* the new one said yes */
	STEP_DRAINING,   /* the old one was told to end */
	STEP_DRAINED,    /* it has ended */
	STEP_RENAMED,    /* the new one listens in its place */
	STEP_OPENING,    /* the new one was told to open the image */
	STEP_CONNECTING, /* … and to connect the ring */
	STEP_EXEC,       /* the supervisor is about to become the new program */
	STEP_EXECUTED,   /* it has; nothing is set up yet */
	STEP_ADOPTING,   /* it has asked its workers */
	STEPS,
	STEP_SPAWNED = STEPS /* of no upgrade: a worker was started, nothing was said to it yet */
};

#endif
