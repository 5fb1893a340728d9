/* SPDX-License-Identifier: MIT */
/*
 * Finds devices. One watch per kind and one per front end; an event only marks a device, which is
 * then read, once, however many events came: the toolstack's keys and the ring's if one of theirs
 * came. Paths in events are not trusted to be
 * anything but a hint of where to look.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pace.h"
#include "base/parse.h"
#include "daemon/device.h"
#include "xenbus/path.h"

#define RESCAN_NS (100 * NS_PER_MS)
#define RESCAN_DOUBLED 4
#define EVENTS_PER_ROUND 4096 /* so that a flood of them cannot keep devices from being updated */
/* A front end that connects, changes its state some five times; xl and grub connect before it. */
#define UPDATES 40
#define UPDATE_NS (50 * NS_PER_MS)
/* One that resumes writes its keys in one transaction, or in a few. */
#define LOOKS 4
#define LOOK_NS NS_PER_S

static void mark(struct device *dev, void *arg)
{
	device_keys_stale(dev);
}

/* Keys that we write ourselves, or read each time; the others tell of the toolstack or its scripts.
 */
static bool is_ours(const char *key)
{
	static const char *const keys[] = {
	    "state", "online",      "max-ring-page-order",  "feature-",    "discard-", "sectors",
	    "info",  "sector-size", "physical-sector-size", "multi-queue-"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (!strncmp(key, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static void probe(struct daemon *d, unsigned kind, uint16_t domid, uint32_t devid)
{
	struct device *dev = device_probe(d, kind, domid, devid);

	if (dev)
		device_dirty(dev);
}

/* Every child of path, as a number; others are none of ours. */
static void each_child(struct daemon *d, const char *path, uint32_t max,
                       void (*fn)(struct daemon *d, unsigned kind, uint16_t domid, uint32_t child),
                       unsigned kind, uint16_t domid)
{
	char **names;
	unsigned n;

	int rc = store_list(d->store, XBT_NULL, path, &names, &n);
	if (store_unread(rc))
		discovery_later(d, path, rc);
	if (rc)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint32_t child;
		if (!parse_u32(names[i], 0, max, &child) && (names[i][0] != '0' || !names[i][1]))
			fn(d, kind, domid, child);
	}
	free(names);
}

static void scan_domain(struct daemon *d, unsigned kind, uint16_t unused, uint32_t domid)
{
	char path[STORE_PATH_MAX];

	snprintf(path, sizeof path, "%s/%u", d->roots[kind], domid);
	each_child(d, path, UINT32_MAX, probe, kind, (uint16_t)domid);
}

static void scan_kind(struct daemon *d, unsigned kind)
{
	each_child(d, d->roots[kind], XEN_DOMID_MAX, scan_domain, kind, 0);
}

static void rescan_expired(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, rescan);

	for (unsigned k = 0; k < d->opt.nr_kinds; k++)
		scan_kind(d, k);
	if (timer_armed(&d->rescan))
		return;
	d->rescans = 0;
	if (d->leftovers_due)
		leftovers_start(d);
}

void discovery_later(struct daemon *d, const char *path, int rc)
{
	unsigned dropped, shift = d->rescans < RESCAN_DOUBLED ? d->rescans : RESCAN_DOUBLED;

	if (timer_armed(&d->rescan))
		return;
	if (log_limit_pass(&d->limit, &dropped))
		log_warn("cannot read %s: %s; looking again", path, error_name(rc));
	d->rescans++;
	d->rescan.expired = rescan_expired;
	loop_timer_arm(&d->loop, &d->rescan, RESCAN_NS << shift);
}

static void backend_event(struct daemon *d, unsigned kind, const char *path)
{
	struct device *dev;
	uint16_t domid;
	uint32_t devid;

	/* There were too many to tell them apart. */
	if (!*path)
		path = d->roots[kind];
	switch (path_parse(path, d->roots[kind], &domid, &devid)) {
	case PATH_OTHER:
		return;
	case PATH_KIND:
		/* What is there, and what is known and perhaps no longer there. */
		scan_kind(d, kind);
		table_each(d, mark, NULL);
		return;
	case PATH_DOMAIN:
		scan_domain(d, kind, 0, domid);
		table_each_of_domain(d, domid, mark, NULL);
		return;
	case PATH_DEVICE:
		dev = device_probe(d, kind, domid, devid);
		if (!dev)
			return;
		if (strlen(path) > strlen(dev->backend) && is_ours(path + strlen(dev->backend) + 1))
			device_dirty(dev);
		else
			device_keys_stale(dev);
		return;
	}
}

/* ---- what a guest can cost ----
 *
 * An update of a device is a handful of round trips to xenstored, a look at the ring keys of 16
 * queues some 570, and all disks wait for each. So the ring keys are read again only when one of
 * them, or the front end's state, has changed; and each device may cause so many updates and looks,
 * and then one now and then. Nothing is lost by a pause: what is read after it is what counts then.
 */

static void noise_expired(struct loop_timer *t)
{
	device_dirty(container_of(t, struct device, noise.timer));
}

static void noise_later(struct device *dev, uint64_t ns)
{
	dev->noise.timer.expired = noise_expired;
	if (!timer_armed(&dev->noise.timer))
		loop_timer_arm(&dev->d->loop, &dev->noise.timer, ns);
}

static void noise_update(struct device *dev)
{
	if (dev->dirty_link.next && !list_empty(&dev->dirty_link))
		return;
	if (pace(&dev->noise.next_update, UPDATES, UPDATE_NS))
		device_dirty(dev);
	else
		noise_later(dev, UPDATE_NS);
}

int discovery_look(struct device *dev)
{
	bool changed;
	int rc;

	if (!dev->ring_stale)
		return 0;
	/* One a round, whoever's: an honest disk has its turn in between. */
	if (dev->d->looked) {
		device_dirty(dev);
		return 0;
	}
	if (!pace(&dev->noise.next_look, LOOKS, LOOK_NS)) {
		noise_later(dev, LOOK_NS);
		return 0;
	}
	dev->d->looked = true;
	rc = ring_keys_changed(dev, &changed);
	if (rc)
		return rc;
	dev->ring_stale = false;
	dev->ring_differs = changed;
	return 0;
}

/* token: "f DOMID DEVID SERIAL". */
static void frontend_event(struct daemon *d, const char *path, const char *token)
{
	unsigned domid, devid;

	if (sscanf(token, "f %u %u ", &domid, &devid) != 2)
		return;
	struct device *dev = table_find(d, (uint16_t)domid, devid);
	/* Late events of a front end directory that is not this device's any more do not count. */
	if (!dev || strcmp(dev->token, token))
		return;
	if (!*path)
		path = dev->frontend;
	if (!path_below(path, dev->frontend))
		return;
	path += strlen(dev->frontend);
	bool all = !*path, type = !strcmp(path, "/device-type");
	bool ring = !all && ring_key(path + 1);

	/* Whatever else a guest writes there costs nothing. */
	if (!all && !type && !ring && strcmp(path, "/state"))
		return;
	dev->keys_stale |= all || type;
	dev->ring_stale |= all || ring;
	noise_update(dev);
}

void discovery_probe_again(struct daemon *d, uint16_t domid, uint32_t devid)
{
	for (unsigned k = 0; k < d->opt.nr_kinds; k++)
		probe(d, k, domid, devid);
}

void discovery_run_dirty(struct daemon *d)
{
	struct list batch;

	d->looked = false;
	/* Devices that become dirty meanwhile have their turn in the next round. */
	list_init(&batch);
	if (!list_empty(&d->dirty))
		systemd_changed(d);
	while (!list_empty(&d->dirty)) {
		struct list *it = d->dirty.next;
		list_remove(it);
		list_append(&batch, it);
	}
	while (!list_empty(&batch)) {
		struct device *dev = container_of(batch.next, struct device, dirty_link);
		list_remove(&dev->dirty_link);
		if (!d->stopping)
			device_update(dev);
	}
}

static void store_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, store_fd);
	char path[STORE_VALUE_MAX], token[64];
	int rc = 0;

	for (int i = 0; i < EVENTS_PER_ROUND; i++) {
		rc = store_check_watch(d->store, path, sizeof path, token, sizeof token);
		if (rc <= 0)
			break;
		if (token[0] == 'b' && token[1] >= '0' &&
		    (unsigned)(token[1] - '0') < d->opt.nr_kinds)
			backend_event(d, (unsigned)(token[1] - '0'), path);
		else if (token[0] == 'f')
			frontend_event(d, path, token);
	}
	if (rc < 0) {
		log_error("lost the connection to xenstored: %s; workers go on, start xenblkd "
		          "again when it is back (exit status %d)",
		          error_name(rc), EXIT_STORE_LOST);
		d->exit_status = EXIT_STORE_LOST;
		loop_del(&d->loop, &d->store_fd);
		loop_stop(&d->loop);
	}
}

int discovery_watch_frontend(struct device *dev, const char *path)
{
	struct daemon *d = dev->d;
	int rc;

	discovery_unwatch_frontend(dev);
	if (path != dev->frontend)
		snprintf(dev->frontend, sizeof dev->frontend, "%s", path);
	snprintf(dev->token, sizeof dev->token, "f %u %u %u", dev->domid, dev->devid,
	         ++d->last_watch);
	rc = store_watch(d->store, dev->frontend, dev->token);
	if (rc)
		dev->token[0] = '\0';
	return rc;
}

void discovery_unwatch_frontend(struct device *dev)
{
	if (!dev->token[0])
		return;
	store_unwatch(dev->d->store, dev->frontend, dev->token);
	dev->token[0] = '\0';
}

/* 0, or -errno: it cannot be read. */
static int read_own_domid(struct daemon *d)
{
	uint64_t domid;
	int rc = store_read_u64(d->store, XBT_NULL, "domid", NULL, 0, XEN_DOMID_MAX, &domid);

	d->own_domid = rc ? 0 : (unsigned)domid;
	if (store_unread(rc))
		return rc;
	if (rc && d->opt.embedded)
		log_debug("no own domain number in xenstore (%s): taking 0", error_name(rc));
	else if (rc)
		log_warn("cannot read this domain's number (key domid) from xenstore: %s; taking 0",
		         error_name(rc));
	return 0;
}

int discovery_start(struct daemon *d, struct error *err)
{
	int rc = read_own_domid(d);

	if (rc)
		return error_set(err, rc,
		                 "cannot read this domain's number (key domid) from xenstore: %s; "
		                 "start xenblkd again",
		                 error_name(rc));
	foreign_start(d);
	for (unsigned k = 0; k < d->opt.nr_kinds; k++) {
		char token[] = {'b', (char)('0' + k), '\0'};
		char root[sizeof d->roots[k]];
		snprintf(root, sizeof root, "/local/domain/%u/backend/%s", d->own_domid,
		         d->opt.kinds[k]);
		memcpy(d->roots[k], root, sizeof root);
		rc = store_watch(d->store, d->roots[k], token);
		if (rc)
			return error_set(err, rc, "cannot watch %s: %s", d->roots[k],
			                 error_name(rc));
	}
	/* After the watches, so that nothing falls between. */
	for (unsigned k = 0; k < d->opt.nr_kinds; k++)
		scan_kind(d, k);
	discovery_run_dirty(d);
	d->store_fd = (struct loop_fd){.fd = store_fd(d->store), .ready = store_ready};
	rc = loop_add(&d->loop, &d->store_fd, EPOLLIN);
	return rc ? error_set(err, rc, "cannot poll xenstore: %s", error_name(rc)) : 0;
}

void discovery_stop(struct daemon *d)
{
	for (unsigned k = 0; k < d->opt.nr_kinds; k++) {
		char token[] = {'b', (char)('0' + k), '\0'};
		if (d->roots[k][0])
			store_unwatch(d->store, d->roots[k], token);
	}
}
