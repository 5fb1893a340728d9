/* SPDX-License-Identifier: MIT */
/* upgrade_step(step, old, new): nothing in xenblkd; in the build of it that tests use, a place
 * where the supervisor or one of both workers (process numbers, 0: not there) may be killed. */
#ifndef DAEMON_STEPS_H
#define DAEMON_STEPS_H

#include <sys/types.h>

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
	STEPS
};

/* "daemon/steps_off.h" or "daemon/steps_on.h": meson.build says. */
#include STEPS_VARIANT

#endif
