/* SPDX-License-Identifier: MIT */
/* A disk's nodes: made, switched off, removed; in the transactions and the order that libxl uses.
 */
#include "ctl/toolstack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/steps.h"

/* Owned by one call. */
struct addition {
	const struct toolstack_disk *disk;
	struct toolstack_paths path;
};

static int write_nodes(struct toolstack *ts, xs_transaction_t t, const char *dir,
                       const struct toolstack_node *node, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < n; i++)
		rc = store_write(ts->store, t, dir, node[i].key, "%s", node[i].value);
	return rc;
}

/* Permissions first: what is written into the directory inherits them. */
static int make_owned(struct toolstack *ts, xs_transaction_t t, const char *dir, unsigned owner,
                      int reader)
{
	int rc = store_mkdir(ts->store, t, dir);

	return rc ? rc : store_set_perms(ts->store, t, dir, owner, reader);
}

static int write_disk(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	const struct addition *a = arg;
	const struct toolstack_paths *p = &a->path;
	struct toolstack_node node[TOOLSTACK_NODES_MAX];
	unsigned n;
	int rc;

	if (store_exists(ts->store, t, p->back, NULL) || store_exists(ts->store, t, p->front, NULL))
		return -EEXIST;
	n = toolstack_back_nodes(a->disk, node);
	if ((rc = make_owned(ts, t, p->copy, 0, -1)) ||
	    (rc = write_nodes(ts, t, p->copy, node, n)) ||
	    (rc = make_owned(ts, t, p->back, 0, (int)a->disk->domid)) ||
	    (rc = write_nodes(ts, t, p->back, node, n)))
		return rc;
	n = toolstack_copy_nodes(a->disk, node);
	if ((rc = write_nodes(ts, t, p->copy, node, n)) ||
	    (rc = make_owned(ts, t, p->front, a->disk->domid, 0)))
		return rc;
	n = toolstack_front_nodes(a->disk, node);
	return write_nodes(ts, t, p->front, node, n);
}

int toolstack_add_nodes(struct toolstack *ts, const struct toolstack_disk *disk, struct error *err)
{
	struct addition a = {.disk = disk};
	struct toolstack_paths there;
	char id[TOOLSTACK_ID_MAX];
	int rc = 0;

	toolstack_id(disk->domid, disk->devid, id);
	toolstack_paths(disk->kind, disk->domid, disk->devid, &a.path);
	/* The number is one device for the guest, whichever back end serves it. */
	if (!toolstack_find(ts, disk->domid, disk->devid, &there))
		rc = -EEXIST;
	else if (strlen(disk->target) + sizeof "aio:" > STORE_VALUE_MAX)
		rc = -ENAMETOOLONG;
	if (!rc)
		rc = toolstack_transaction(ts, write_disk, &a);
	switch (rc) {
	case 0:
		return 0;
	case -EEXIST:
		return error_set(
		    err, rc,
		    "%s is attached already; detach it first (xenblkctl detach %s), or "
		    "choose another --vdev",
		    id, id);
	}
	return error_set(err, rc, "cannot write the nodes of %s: %s; " STORE_REMEDY, id,
	                 error_name(rc));
}

int toolstack_find(struct toolstack *ts, unsigned domid, uint32_t devid,
                   struct toolstack_paths *out)
{
	static const char *const kinds[] = {"vbd", "vbd3", "qdisk"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		toolstack_paths(kinds[i], domid, devid, out);
		if (store_exists(ts->store, XBT_NULL, out->back, NULL))
			return 0;
	}
	toolstack_paths(NULL, domid, devid, out);
	/* Remains of a device are also something to remove. */
	return store_exists(ts->store, XBT_NULL, out->front, NULL) ||
	               store_exists(ts->store, XBT_NULL, out->copy, NULL)
	           ? 0
	           : -ENOENT;
}

static int write_offline(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	const struct toolstack_paths *p = arg;
	int rc;

	if (!store_exists(ts->store, t, p->back, "state"))
		return 0;
	rc = store_write(ts->store, t, p->back, "online", "0");
	if (!rc && store_read_state(ts->store, t, p->back) != XS_CLOSED)
		rc = store_write(ts->store, t, p->back, "state", "%d", XS_CLOSING);
	return rc;
}

int toolstack_offline(struct toolstack *ts, unsigned domid, uint32_t devid, struct error *err)
{
	struct toolstack_paths p;
	int rc;

	if (toolstack_find(ts, domid, devid, &p))
		return 0;
	rc = toolstack_transaction(ts, write_offline, &p);
	return rc ? error_set(err, rc, "cannot write %s/state: %s; " STORE_REMEDY, p.back,
	                      error_name(rc))
	          : 0;
}

/* Owned by one call. */
struct state_wait {
	const char *dir;
	int wanted, seen;
};

static int check_state(struct toolstack *ts, void *arg)
{
	struct state_wait *w = arg;

	w->seen = store_read_state(ts->store, XBT_NULL, w->dir);
	if (w->seen == w->wanted)
		return 1;
	if (w->seen == XS_UNKNOWN && !store_exists(ts->store, XBT_NULL, w->dir, "state"))
		return -ENOENT;
	/* A quick front end may have taken it further already; Closed will not come back by itself.
	 */
	if (w->wanted == XS_INITWAIT && w->seen == XS_CONNECTED)
		return 1;
	return w->wanted == XS_INITWAIT && w->seen == XS_CLOSED ? -ECONNABORTED : 0;
}

int toolstack_wait_state(struct toolstack *ts, unsigned domid, uint32_t devid, int state,
                         unsigned ms, struct error *err)
{
	struct state_wait w = {.wanted = state};
	char id[TOOLSTACK_ID_MAX];
	struct toolstack_paths p;
	int rc;

	toolstack_id(domid, devid, id);
	if (toolstack_find(ts, domid, devid, &p))
		return error_set(err, -ENOENT, "%s is not attached; see `xenblkctl list`", id);
	w.dir = p.back;
	rc = toolstack_wait(ts, &(struct toolstack_wait){
	                            .path = p.back, .ms = ms, .check = check_state, .arg = &w});
	if (!rc)
		return 0;
	if (rc == -ETIMEDOUT)
		return error_set(err, rc,
		                 "its back end stays %s and did not become %s within %u s; "
		                 "`xenblkctl status %s` says what it waits for",
		                 xenbus_state_name(w.seen), xenbus_state_name(state), ms / 1000,
		                 id);
	return error_set(err, rc, "its back end is %s and will not become %s: %s",
	                 xenbus_state_name(w.seen), xenbus_state_name(state),
	                 rc == -EINTR ? "interrupted" : error_name(rc));
}

static int remove_disk(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	const struct toolstack_paths *p = arg;
	char dom[64], libxl[64];
	unsigned domid = 0;
	int rc;

	if (sscanf(p->copy, "/libxl/%u/", &domid) != 1)
		return -EINVAL;
	snprintf(dom, sizeof dom, "/local/domain/%u", domid);
	snprintf(libxl, sizeof libxl, "/libxl/%u", domid);
	rc = toolstack_prune(ts, t, p->front, dom);
	if (!rc)
		rc = toolstack_prune(ts, t, p->copy, libxl);
	return rc ? rc : toolstack_prune(ts, t, p->back, "/local/domain/0");
}

int toolstack_remove_nodes(struct toolstack *ts, unsigned domid, uint32_t devid, struct error *err)
{
	struct toolstack_paths p;
	int rc;

	if (toolstack_find(ts, domid, devid, &p))
		return 0;
	rc = toolstack_transaction(ts, remove_disk, &p);
	return rc ? error_set(err, rc, "cannot remove %s: %s; " STORE_REMEDY, p.back,
	                      error_name(rc))
	          : 0;
}
