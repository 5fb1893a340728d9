/* SPDX-License-Identifier: MIT */
/* What systemd hears of the supervisor, if that is a service of its. All of it belongs to the
 * supervisor's thread. */
#ifndef DAEMON_SYSTEMD_H
#define DAEMON_SYSTEMD_H

#include <stdint.h>

#include "base/loop.h"

#define SYSTEMD_STATUS_MAX 128

/* Embedded in struct daemon. */
struct systemd {
	struct loop_timer status, watchdog;
	uint64_t watchdog_ns;          /* between two signs of life; 0: none is asked for */
	char said[SYSTEMD_STATUS_MAX]; /* its last STATUS= */
};

struct daemon;

/* The start is over: READY=1, STATUS=, and from now on the signs of life that WatchdogSec= wants.
 * They come from the loop: one that hangs gives none. */
void systemd_start(struct daemon *d);
/* Disks may have changed: within a second it hears of them, if the text is another one then. */
void systemd_changed(struct daemon *d);
/* Those lines, now; at most 255 bytes. A failure is logged. */
void systemd_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
