/* SPDX-License-Identifier: MIT */
/*
 * A thread that takes watch events out of libxenstore as they come. That queues them without a
 * bound, each a memory block of its own, while whoever should take them is busy; here each waits
 * once.
 */
#ifndef XEN_DRAIN_H
#define XEN_DRAIN_H

#include <stddef.h>
#include <stdint.h>
#include <xenstore.h>

struct drain;

/* xs is lent, and its watch events are this thread's until drain_stop. *asked_ns: when the call of
 * xs began that another thread is in, or 0; one that takes long is logged. 0 or -errno. */
int drain_start(struct xs_handle *xs, const _Atomic uint64_t *asked_ns, struct drain **out);
void drain_stop(struct drain *d);    /* NULL is fine */
int drain_fd(const struct drain *d); /* readable while events wait */
/* As store_check_watch, but that it may not notice that the connection is gone. Any thread. */
int drain_take(struct drain *d, char *path, size_t path_cap, char *token, size_t token_cap);

#endif
