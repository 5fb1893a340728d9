/* SPDX-License-Identifier: MIT */
/* Domains on the embedded Xen and the nodes that libxl makes for each. */
#include "ctl/toolstack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ctl/steps.h"

#define MARK "xenblkctl-created"
#define UUID_MAX 37

/* Owned by one call. */
struct domain {
	unsigned domid;
	bool mark;
	char uuid[UUID_MAX];
	char dom[64], vm[64], libxl[64]; /* its three directories */
};

static void domain_paths(struct domain *d)
{
	snprintf(d->dom, sizeof d->dom, "/local/domain/%u", d->domid);
	snprintf(d->vm, sizeof d->vm, "/vm/%s", d->uuid);
	snprintf(d->libxl, sizeof d->libxl, "/libxl/%u", d->domid);
}

static int uuid_make(char *out)
{
	uint8_t b[16];

	if (getrandom(b, sizeof b, 0) != sizeof b)
		return -EIO;
	b[6] = (b[6] & 0x0f) | 0x40; /* version 4: random */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(out, UUID_MAX,
	         "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
	         b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
	         b[15]);
	return 0;
}

static int make_dir(struct toolstack *ts, xs_transaction_t t, const char *path, unsigned owner,
                    int reader)
{
	int rc = store_mkdir(ts->store, t, path);

	return rc ? rc : store_set_perms(ts->store, t, path, owner, reader);
}

/* Directories below /local/domain/N: read-only for the guest, or its own. */
static int make_subdirs(struct toolstack *ts, xs_transaction_t t, const struct domain *d)
{
	static const struct {
		const char *name;
		bool guests;
	} dirs[] = {
	    {"cpu", false},
	    {"memory", false},
	    {"device", false},
	    {"device/suspend", false},
	    {"control", false},
	    {"device/suspend/event-channel", true},
	    {"control/shutdown", true},
	    {"control/sysrq", true},
	    {"data", true},
	    {"drivers", true},
	    {"feature", true},
	    {"attr", true},
	    {"error", true},
	};
	char path[128];
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(path, sizeof path, "%s/%s", d->dom, dirs[i].name);
		rc = dirs[i].guests ? make_dir(ts, t, path, d->domid, -1)
		                    : make_dir(ts, t, path, 0, (int)d->domid);
	}
	return rc;
}

static int write_domain(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	const struct domain *d = arg;
	struct store *s = ts->store;
	int rc;

	if (store_exists(s, t, d->dom, "domid"))
		return 0;
	if ((rc = make_dir(ts, t, d->dom, 0, (int)d->domid)) ||
	    (rc = make_dir(ts, t, d->vm, 0, (int)d->domid)) ||
	    (rc = make_dir(ts, t, d->libxl, 0, -1)) ||
	    (rc = store_write(s, t, d->dom, "vm", "%s", d->vm)) ||
	    (rc = store_write(s, t, d->dom, "name", "domain-%u", d->domid)) ||
	    (rc = store_write(s, t, d->dom, "domid", "%u", d->domid)) ||
	    (rc = store_write(s, t, d->vm, "uuid", "%s", d->uuid)) ||
	    (rc = store_write(s, t, d->vm, "name", "domain-%u", d->domid)) ||
	    (rc = make_subdirs(ts, t, d)))
		return rc;
	return d->mark ? store_write(s, t, d->libxl, MARK, "1") : 0;
}

int toolstack_domain_create(struct toolstack *ts, unsigned domid, bool mark, struct error *err)
{
	struct domain d = {.domid = domid};
	int rc = xen_domain_create(ts->xen, (uint16_t)domid, err);

	if (rc && rc != -EEXIST)
		return rc;
	d.mark = mark && !rc;
	rc = uuid_make(d.uuid);
	domain_paths(&d);
	if (!rc)
		rc = toolstack_transaction(ts, write_domain, &d);
	if (!rc)
		return 0;
	if (d.mark)
		xen_domain_destroy(ts->xen, (uint16_t)domid, NULL);
	return error_set(err, rc, "cannot write the nodes of domain %u: %s; " STORE_REMEDY, domid,
	                 error_name(rc));
}

static int remove_domain(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	struct domain *d = arg;
	char vm[STORE_VALUE_MAX], back[64];
	int rc;

	/* Its own node is the toolstack's, the guest cannot change where it points. */
	rc = store_read(ts->store, t, d->dom, "vm", vm, sizeof vm);
	rc = rc > 0 && !strncmp(vm, "/vm/", 4) ? store_rm(ts->store, t, vm, NULL) : 0;
	if (!rc)
		rc = store_rm(ts->store, t, d->dom, NULL);
	if (!rc)
		rc = store_rm(ts->store, t, d->libxl, NULL);
	snprintf(back, sizeof back, "/local/domain/0/backend/vbd/%u", d->domid);
	return rc ? rc : store_rm(ts->store, t, back, NULL);
}

int toolstack_domain_destroy(struct toolstack *ts, unsigned domid, struct error *err)
{
	struct domain d = {.domid = domid};
	int rc = xen_domain_destroy(ts->xen, (uint16_t)domid, err);

	if (rc && rc != -ENOENT)
		return rc;
	domain_paths(&d);
	rc = toolstack_transaction(ts, remove_domain, &d);
	return rc ? error_set(err, rc, "cannot remove the nodes of domain %u: %s; " STORE_REMEDY,
	                      domid, error_name(rc))
	          : 0;
}

int toolstack_domain_tidy(struct toolstack *ts, unsigned domid, struct error *err)
{
	struct domain d = {.domid = domid};
	char disks[96], **names;
	unsigned n;

	domain_paths(&d);
	if (!store_exists(ts->store, XBT_NULL, d.libxl, MARK))
		return 0;
	snprintf(disks, sizeof disks, "%s/device/vbd", d.libxl);
	if (!store_list(ts->store, XBT_NULL, disks, &names, &n)) {
		free(names);
		if (n)
			return 0;
	}
	return toolstack_domain_destroy(ts, domid, err);
}
