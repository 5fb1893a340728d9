/* SPDX-License-Identifier: MIT */
/* Disks of any kind, in any back end domain, and what xl runs as a hotplug script. */
#ifndef TESTS_INTEGRATION_NODES_H
#define TESTS_INTEGRATION_NODES_H

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "control.h"

/* NULL or 0 as in struct disk; own: the back end's domain. */
struct node {
	unsigned own;
	const char *kind, *params, *script;
	char be[STORE_PATH_MAX]; /* filled by node_make */
};

static inline void node_dir(struct host *h, const char *path, unsigned owner, int reader)
{
	assert_int_equal(store_mkdir(h->store, XBT_NULL, path), 0);
	assert_int_equal(store_set_perms(h->store, XBT_NULL, path, owner, reader), 0);
}

/* Disk xvda of domain 1, as libxl writes it for that kind. state comes last. */
static inline void node_make(struct host *h, struct node *n)
{
	const char *fe = host_fe(1, XVDA);
	struct error err;
	int rc = xen_domain_create(h->xen, 1, &err);

	if (rc && rc != -EEXIST)
		fail_msg("%s", err.text);
	snprintf(n->be, sizeof n->be, "/local/domain/%u/backend/%s/1/%u", n->own, n->kind, XVDA);
	node_dir(h, fe, 1, 0);
	host_write(h, fe, "backend", "%s", n->be);
	host_write(h, fe, "backend-id",
	           "0"); /* the embedded xenblkd is domain 0 whatever it reads */
	host_write(h, fe, "virtual-device", "%u", XVDA);
	host_write(h, fe, "device-type", "disk");
	host_write(h, fe, "state", "1");
	node_dir(h, n->be, 0, 1);
	host_write(h, n->be, "frontend", "%s", fe);
	host_write(h, n->be, "frontend-id", "1");
	host_write(h, n->be, "online", "1");
	host_write(h, n->be, "mode", "w");
	host_write(h, n->be, "device-type", "disk");
	host_write(h, n->be, "params", "%s", n->params);
	if (n->script)
		host_write(h, n->be, "script", "%s", n->script);
	host_write(h, n->be, "state", "1");
}

static inline int node_state(struct host *h, const struct node *n)
{
	return store_read_state(h->store, XBT_NULL, n->be);
}

static inline void node_wait(struct host *h, const struct node *n, int state)
{
	wait_until(node_state(h, n) == state);
}

/* In one transaction, as libxl: a back end that removes its own node may do so between the two. */
static inline void node_offline(struct host *h, const struct node *n)
{
	xs_transaction_t t;
	int rc;

	do {
		assert_int_equal(store_begin(h->store, &t), 0);
		assert_int_equal(store_write(h->store, t, n->be, "online", "0"), 0);
		if (store_read_state(h->store, t, n->be) != XS_CLOSED)
			assert_int_equal(store_write(h->store, t, n->be, "state", "5"), 0);
		rc = store_end(h->store, t, true);
	} while (rc == -EAGAIN);
	assert_int_equal(rc, 0);
}

static inline void node_remove(struct host *h, const struct node *n)
{
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	store_rm(h->store, XBT_NULL, n->be, NULL);
	host_wait_gone(h, "1:xvda");
}

static inline void node_detach(struct host *h, const struct node *n)
{
	node_offline(h, n);
	node_wait(h, n, XS_CLOSED);
	node_remove(h, n);
}

static inline void node_serves(struct host *h, uint32_t seed)
{
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");

	assert_reads(f, 0, seed);
	front_end(f);
}

/* As xl runs it: the action, and XENBUS_PATH relative to the own domain. Its exit status, and what
 * it said. */
static inline int node_script(struct host *h, const struct node *n, const char *action, char *said,
                              size_t cap)
{
	char command[600];

	snprintf(command, sizeof command,
	         "XENBUS_TYPE=%s XENBUS_PATH=backend/%s/1/%u %s/xenblkctl --run-dir %s hotplug %s "
	         "2>&1 </dev/null",
	         n->kind, n->kind, XVDA, h->build, h->dir, action);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	size_t len = fread(said, 1, cap - 1, p);
	said[len] = '\0';
	int status = pclose(p);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The daemon again, with other options, and the domain number that it finds. */
static inline void restart_as(struct host *h, unsigned domid, const char *const *extra)
{
	host_write(h, "/local/domain/0", "domid", "%u", domid);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, extra);
}

#endif
