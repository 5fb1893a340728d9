/* SPDX-License-Identifier: MIT */
/* The log of one worker, as lines of its disk, and no more of them than anybody can read. */
#ifndef DAEMON_LOGPIPE_H
#define DAEMON_LOGPIPE_H

#include "daemon/device.h"

struct logpipe;

/* *write_fd: the end for the worker, which the caller closes when the worker has it. Both ends do
 * not block. NULL and errno. */
struct logpipe *logpipe_new(struct daemon *d, const char *id, int *write_fd);
/* Logs what is in it, within its limits. NULL is fine. */
void logpipe_flush(struct logpipe *l);
/* The same; its last line that was an error, "" if there was none, or it is NULL. */
void logpipe_last_error(struct logpipe *l, struct error *last);
/* Flushes, then closes it. NULL is fine. */
void logpipe_free(struct logpipe *l);

#endif
