/* SPDX-License-Identifier: MIT */
/* The toolstack's handle, its transactions and its waits. */
#include "ctl/toolstack.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/steps.h"

#define TRIES 200

int toolstack_open(const char *run_dir, int cancel_fd, struct toolstack **out, struct error *err)
{
	struct toolstack *ts = calloc(1, sizeof *ts);
	char path[512];
	int rc = -ENOMEM;

	*out = NULL;
	if (!ts || !(ts->run_dir = strdup(run_dir))) {
		error_set(err, rc, "out of memory");
		goto out;
	}
	ts->cancel_fd = cancel_fd;
	snprintf(path, sizeof path, "%s/xenstored.sock", run_dir);
	if (access(path, F_OK)) {
		rc = error_set(
		    err, -errno,
		    "no embedded Xen in %s: xenstored.sock: %s; name the directory of a "
		    "running `xenblkd --embedded DIR` with --run-dir DIR (on a real Xen, xl "
		    "block-attach and block-detach do this)",
		    run_dir, error_name(errno));
		goto out;
	}
	rc = xen_platform_open(run_dir, 0, &ts->xen, err);
	if (!rc)
		rc = store_open(xen_platform_store_path(ts->xen), &ts->store, err);
out:
	if (rc) {
		toolstack_close(ts);
		return rc;
	}
	*out = ts;
	return 0;
}

int toolstack_open_store(const char *run_dir, int cancel_fd, struct toolstack **out,
                         struct error *err)
{
	struct toolstack *ts = calloc(1, sizeof *ts);
	uint64_t own;
	char path[512];
	int rc = -ENOMEM;

	*out = NULL;
	if (!ts || !(ts->run_dir = strdup(run_dir))) {
		error_set(err, rc, "out of memory");
	} else {
		ts->cancel_fd = cancel_fd;
		snprintf(path, sizeof path, "%s/xenstored.sock", run_dir);
		rc = store_open(access(path, F_OK) ? NULL : path, &ts->store, err);
	}
	/* Relative: xenstore knows who asks. */
	if (!rc && !store_read_u64(ts->store, XBT_NULL, "domid", NULL, 0, XEN_DOMID_MAX, &own))
		ts->own_domid = (unsigned)own;
	if (rc)
		toolstack_close(ts);
	else
		*out = ts;
	return rc;
}

void toolstack_tell_waits(struct toolstack *ts, void (*fn)(const char *id, const char *for_what))
{
	ts->waits = fn;
}

void toolstack_close(struct toolstack *ts)
{
	if (!ts)
		return;
	store_close(ts->store);
	xen_platform_close(ts->xen);
	free(ts->run_dir);
	free(ts);
}

void toolstack_own_paths(const struct toolstack *ts, const char *kind, unsigned domid,
                         uint32_t devid, struct toolstack_paths *out)
{
	toolstack_paths(kind, domid, devid, out);
	snprintf(out->back, sizeof out->back, "/local/domain/%u/backend/%.16s/%u/%u", ts->own_domid,
	         kind ? kind : "vbd", domid, devid);
}

struct xen_platform *toolstack_platform(struct toolstack *ts)
{
	return ts->xen;
}

struct store *toolstack_store(struct toolstack *ts)
{
	return ts->store;
}

int toolstack_transaction(struct toolstack *ts,
                          int (*step)(struct toolstack *ts, xs_transaction_t t, void *arg),
                          void *arg)
{
	int rc = -EAGAIN;

	for (int i = 0; i < TRIES && rc == -EAGAIN; i++) {
		xs_transaction_t t;

		rc = store_begin(ts->store, &t);
		if (rc)
			return rc;
		rc = step(ts, t, arg);
		if (rc)
			store_end(ts->store, t, false);
		else
			rc = store_end(ts->store, t, true);
	}
	return rc;
}

/* Sleeps until something may have changed. 0, -EINTR, -ENOTCONN … */
static int sleep_on(struct toolstack *ts, int timeout_ms)
{
	struct pollfd p[2] = {
	    {.fd = store_fd(ts->store), .events = POLLIN},
	    {.fd = ts->cancel_fd, .events = POLLIN}, /* poll ignores -1 */
	};
	char path[STORE_PATH_MAX], token[32];
	int rc;

	/* A signal of no meaning to us only makes the caller look once more. */
	if (poll(p, 2, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		return -EINTR;
	while (p[0].revents) {
		rc = store_check_watch(ts->store, path, sizeof path, token, sizeof token);
		if (rc <= 0)
			return rc;
	}
	return 0;
}

int toolstack_wait(struct toolstack *ts, const struct toolstack_wait *wait)
{
	uint64_t deadline = clock_ns() + wait->ms * NS_PER_MS;
	int rc = store_watch(ts->store, wait->path, "wait");

	if (rc)
		return rc;
	for (;;) {
		rc = wait->check(ts, wait->arg);
		if (rc)
			break;
		uint64_t now = clock_ns();
		rc = -ETIMEDOUT;
		if (now >= deadline)
			break;
		uint64_t left = (deadline - now) / NS_PER_MS + 1;
		if (wait->poll_ms && left > wait->poll_ms)
			left = wait->poll_ms;
		rc = sleep_on(ts, (int)left);
		if (rc)
			break;
	}
	store_unwatch(ts->store, wait->path, "wait");
	return rc > 0 ? 0 : rc;
}

int toolstack_prune(struct toolstack *ts, xs_transaction_t t, const char *path, const char *top)
{
	size_t keep = strlen(top);
	char at[STORE_PATH_MAX];
	int rc = store_rm(ts->store, t, path, NULL);

	snprintf(at, sizeof at, "%s", path);
	while (!rc) {
		char **names, *slash = strrchr(at, '/');
		unsigned n;

		*slash = '\0';
		if (strlen(at) <= keep)
			break;
		rc = store_list(ts->store, t, at, &names, &n);
		if (rc == -ENOENT) { /* gone with an earlier one */
			rc = 0;
			continue;
		}
		if (rc)
			break;
		free(names);
		if (n)
			break;
		rc = store_rm(ts->store, t, at, NULL);
	}
	return rc;
}
