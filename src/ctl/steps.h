/* SPDX-License-Identifier: MIT */
/* What the toolstack's files share. */
#ifndef CTL_STEPS_H
#define CTL_STEPS_H

#include "ctl/toolstack.h"

#define STORE_REMEDY "check that xenstored (or xenblkd-xen) runs, and lets this user write"

/* Owned by the thread that opened it. */
struct toolstack {
	struct xen_platform *xen;
	struct store *store;
	char *run_dir;
	unsigned own_domid; /* of this domain, whose back ends it serves */
	int cancel_fd;
	void (*waits)(const char *id, const char *for_what); /* NULL: waits are not reported */
};

/* Runs step in a transaction until it is committed; step may run several times. */
int toolstack_transaction(struct toolstack *ts,
                          int (*step)(struct toolstack *ts, xs_transaction_t t, void *arg),
                          void *arg);

/* check: 1 there, 0 not yet, -errno. Called at once, at each change below path, and every poll_ms
 * (0: not). 0, -ETIMEDOUT, -EINTR (cancelled), -errno. */
struct toolstack_wait {
	const char *path;
	unsigned ms, poll_ms;
	int (*check)(struct toolstack *ts, void *arg);
	void *arg;
};
int toolstack_wait(struct toolstack *ts, const struct toolstack_wait *wait);

/* Removes path and, as libxl does, its parents that are empty then; `top` stays. */
int toolstack_prune(struct toolstack *ts, xs_transaction_t t, const char *path, const char *top);

/* As toolstack_paths, for back ends in this domain. */
void toolstack_own_paths(const struct toolstack *ts, const char *kind, unsigned domid,
                         uint32_t devid, struct toolstack_paths *out);

/* Where the device's nodes are, whatever its kind. -ENOENT: there is none. */
int toolstack_find(struct toolstack *ts, unsigned domid, uint32_t devid,
                   struct toolstack_paths *out);

#endif
