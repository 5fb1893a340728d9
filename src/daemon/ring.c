/* SPDX-License-Identifier: MIT */
/* Connecting the ring: what the front end offers goes to the worker, with what it was promised. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/steps.h"

#define QUIT_NS (10 * NS_PER_S)

_Static_assert(RING_MAX_REFS == WM_MAX_REFS, "the worker takes what we advertise");

/* One snapshot of the front end's keys: it may be writing new ones just now. */
static int read_keys(struct device *dev, struct ring_keys *out, struct error *err)
{
	struct reader_arg arg = {.store = dev->d->store};
	struct key_reader r = {device_reader_get, &arg, dev->backend, dev->frontend};
	int rc = store_begin(dev->d->store, &arg.t);

	if (rc)
		return error_set(err, rc, "cannot start a transaction: %s", error_name(rc));
	rc = ring_keys_read(&r, dev->d->opt.default_protocol, out, err);
	store_end(dev->d->store, arg.t, false);
	return rc;
}

bool ring_keys_changed(struct device *dev)
{
	struct ring_keys now;
	struct error err;

	/* Only a front end that asks for a connection must have sound keys. */
	if (read_keys(dev, &now, &err))
		return dev->theirs == XS_INITIALISED;
	return memcmp(&now, &dev->conn.keys, sizeof now) != 0;
}

/* What stays out of reach of the guest: the name of a save or migration survives, the number does
 * not. */
void ring_guest_uuid(struct device *dev, char uuid[37])
{
	char path[64], vm[64];
	const char *last;

	uuid[0] = '\0';
	snprintf(path, sizeof path, "/local/domain/%u", dev->domid);
	if (store_read(dev->d->store, XBT_NULL, path, "vm", vm, sizeof vm) < 0)
		return;
	last = strrchr(vm, '/');
	if (last && strlen(last + 1) == 36)
		memcpy(uuid, last + 1, 37);
}

static bool discard_enabled(struct device *dev)
{
	uint64_t v;

	/* Absent means yes; so does what is no number. */
	return store_read_u64(dev->d->store, XBT_NULL, dev->backend, "discard-enable", 0,
	                      UINT64_MAX, &v) ||
	       v;
}

static void offer(struct device *dev)
{
	const struct storage_caps *c = &dev->caps;
	bool readonly = dev->source.readonly || c->readonly;
	bool discard = c->discard && !readonly && discard_enabled(dev);

	dev->keys = (struct disk_keys){
	    .sectors = c->size / 512,
	    .sector_size = c->logical_block,
	    .physical_sector_size = c->physical_block,
	    .info = dev->source.info | (readonly ? VDISK_READONLY : 0) |
	            (c->cdrom ? VDISK_CDROM : 0) | (c->removable ? VDISK_REMOVABLE : 0),
	    .flush = c->flush,
	    .barrier = c->flush,
	    .discard = discard,
	    .discard_secure = discard && c->discard_secure,
	    .discard_granularity = c->discard_granularity,
	    .discard_alignment = c->discard_alignment,
	};
}

void ring_offered(struct device *dev, bool flush, bool barrier, bool discard, bool discard_secure)
{
	offer(dev);
	dev->keys.flush = flush;
	dev->keys.barrier = barrier;
	dev->keys.discard = discard;
	dev->keys.discard_secure = discard_secure;
}

/* Whether this is the connection that an earlier worker of ours had, and its journal counts. */
static bool resumes(struct device *dev, const struct ring_keys *keys)
{
	struct connection old;

	if (!folder_load_connection(dev, &old)) {
		dev->conn.generation = old.generation;
		dev->conn.faults = old.faults;
		return !memcmp(&old.keys, keys, sizeof *keys);
	}
	/* Connected, but not by us, nor disconnected by us: the run directory was lost. */
	return dev->ours == XS_CONNECTED && !dev->conn.generation;
}

void ring_describe(struct device *dev, struct wm_connect *c)
{
	const struct ring_keys *keys = &dev->conn.keys;

	c->protocol = keys->protocol;
	c->order = keys->order;
	c->nr_queues = 1;
	c->generation = dev->conn.generation;
	c->fault_epoch = dev->conn.faults;
	ring_guest_uuid(dev, c->guest_uuid);
	memcpy(c->queue[0].refs, keys->refs, sizeof keys->refs);
	c->queue[0].port = keys->port;
	c->flush = dev->keys.flush;
	c->barrier = dev->keys.barrier;
	c->discard = dev->keys.discard;
	c->discard_secure = dev->keys.discard_secure;
}

void ring_connect(struct device *dev)
{
	struct wm m = {.type = WM_CONNECT};
	struct ring_keys keys;
	struct error err;
	int rc = read_keys(dev, &keys, &err);

	if (!rc) {
		m.connect.resume = resumes(dev, &keys);
		if (!m.connect.resume) {
			folder_drop_connection(dev);
			dev->conn.generation++;
			dev->conn.faults = 0;
		}
		dev->conn.keys = keys;
		rc = folder_save_connection(dev, &err);
	}
	if (rc) {
		dev->ring = RING_FAILED;
		device_fatal(dev, rc, false, "%s", err.text);
		return;
	}
	offer(dev);
	ring_describe(dev, &m.connect);
	dev->ring = RING_CONNECTING;
	patience_start(dev);
	dev->worker.ring_serial = worker_send(dev, &m, -1);
	upgrade_step(STEP_CONNECTING, 0, dev->worker.pid);
}

void ring_disconnect(struct device *dev)
{
	struct wm m = {.type = WM_DISCONNECT};

	if (!dev->worker.pid) {
		dev->ring = RING_IDLE;
		return;
	}
	dev->ring = RING_DISCONNECTING;
	/* One of another version only knows how to end, which drains as well. */
	if (dev->worker.other) {
		worker_quit(dev, QUIT_NS);
		return;
	}
	patience_start(dev);
	dev->worker.ring_serial = worker_send(dev, &m, -1);
}

void ring_answer(struct device *dev, const struct wm *m)
{
	patience_over(dev);
	if (m->type == WM_CONNECTED && dev->ring == RING_CONNECTING) {
		dev->ring = RING_CONNECTED;
		if (dev->ours == XS_CONNECTED) {
			device_log(dev, "connected again: the guest goes on");
			if (!dev->stopped)
				device_recover(dev);
		}
		upgrade_settled(dev);
	} else if (m->type == WM_DISCONNECTED && dev->ring == RING_DISCONNECTING) {
		dev->ring = RING_IDLE;
		ring_forget(dev);
	} else if (m->type == WM_FAILED && dev->ring == RING_CONNECTING) {
		dev->ring = RING_FAILED;
		device_fatal(dev, m->rc, false, "%.*s", (int)sizeof m->text - 1, m->text);
	} else if (m->type == WM_FAILED && dev->ring == RING_DISCONNECTING) {
		/* It cannot let go otherwise. */
		worker_kill(dev);
	}
}

void ring_forget(struct device *dev)
{
	if (dev->ring == RING_IDLE)
		folder_drop_connection(dev);
}
