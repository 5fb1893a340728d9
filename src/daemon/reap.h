/* SPDX-License-Identifier: MIT */
/* Waits for the end of children that were killed, without waiting. */
#ifndef DAEMON_REAP_H
#define DAEMON_REAP_H

#include <sys/types.h>

#include "base/loop.h"

/* pid: a child that was sent SIGKILL; in D state it may take long to end. pidfd: of it, which is
 * closed then, or -1: it is waited for here and now. The loop's thread. */
void reap(struct loop *loop, pid_t pid, int pidfd);

#endif
