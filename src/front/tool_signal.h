/* SPDX-License-Identifier: MIT */
/* Signals that end the tool, in order. */
#ifndef FRONT_TOOL_SIGNAL_H
#define FRONT_TOOL_SIGNAL_H

#include <stdbool.h>

/* From here on SIGINT and SIGTERM wait until asked for, so that the disk is disconnected in order.
 * Once. */
void tool_hold_signals(void);
/* SIGINT or SIGTERM came; the second one kills. */
bool tool_interrupted(void);
/* Waits until fd is ready for `events` of poll(): false if a signal came first. */
bool tool_wait_fd(int fd, short events);

#endif
