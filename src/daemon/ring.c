/* SPDX-License-Identifier: MIT */
/* Connecting the ring: what the front end offers goes to the worker, with what it was promised. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "blkif/request.h"
#include "daemon/device.h"
#include "daemon/steps.h"

#define QUIT_NS (10 * NS_PER_S)

_Static_assert(RING_MAX_REFS == WM_MAX_REFS && RING_MAX_QUEUES == WM_MAX_QUEUES,
               "the worker takes what we advertise");

/* What stands in our own directory, hence what the front end may make use of. */
struct offered {
	uint32_t indirect_segments, persistent, sector_size;
};

static int read_offered(const struct key_reader *r, struct offered *out, struct error *err)
{
	int rc = ring_offer_read(r, "feature-max-indirect-segments", BLKIF_MAX_INDIRECT_SEGS, 0,
	                         &out->indirect_segments, err);

	if (!rc)
		rc = ring_offer_read(r, "feature-persistent", 1, 0, &out->persistent, err);
	return rc ?: ring_offer_read(r, "sector-size", 4096, 0, &out->sector_size, err);
}

/* One snapshot of the front end's keys: it may be writing new ones just now. */
static int read_keys(struct device *dev, struct ring_keys *out, struct offered *offered,
                     struct error *err)
{
	struct reader_arg arg = {.store = dev->d->store};
	struct key_reader r = {device_reader_get, &arg, dev->backend, dev->frontend};
	struct error other = {""};
	int rc = store_begin(dev->d->store, &arg.t);

	if (rc)
		return error_set(err, rc, "cannot start a transaction: %s", error_name(rc));
	rc = ring_keys_read(&r, dev->d->opt.default_protocol, out, err);
	/* Also where the front end's keys make no sense. */
	int offer_rc = read_offered(&r, offered, rc ? &other : err);
	if (offer_rc && !store_unread(rc)) {
		rc = offer_rc;
		error_set(err, rc, "%s", other.text[0] ? other.text : err->text);
	}
	store_end(dev->d->store, arg.t, false);
	return rc;
}

int ring_keys_changed(struct device *dev, bool *changed)
{
	struct offered offered;
	struct ring_keys now;
	struct error err;
	int rc = read_keys(dev, &now, &offered, &err);

	*changed = false;
	if (store_unread(rc))
		return rc;
	/* Only a front end that asks for a connection must have sound keys. */
	*changed =
	    rc ? dev->theirs == XS_INITIALISED : memcmp(&now, &dev->conn.keys, sizeof now) != 0;
	return 0;
}

/* What stays out of reach of the guest: the name of a save or migration survives, the number does
 * not. */
int ring_guest_uuid(struct device *dev, char uuid[37])
{
	char path[64], vm[64];
	const char *last;

	uuid[0] = '\0';
	snprintf(path, sizeof path, "/local/domain/%u", dev->domid);
	int rc = store_read(dev->d->store, XBT_NULL, path, "vm", vm, sizeof vm);
	if (rc < 0)
		return store_unread(rc) ? rc : 0;
	last = strrchr(vm, '/');
	if (last && strlen(last + 1) == 36)
		memcpy(uuid, last + 1, 37);
	return 0;
}

static int discard_enabled(struct device *dev, bool *enabled)
{
	uint64_t v;
	int rc = store_read_u64(dev->d->store, XBT_NULL, dev->backend, "discard-enable", 0,
	                        UINT64_MAX, &v);

	/* Absent means yes; so does what is no number. */
	*enabled = rc || v;
	return store_unread(rc) ? rc : 0;
}

static uint32_t sector_size(const struct device *dev, const struct settings *set,
                            const struct offered *offered)
{
	/* It stays what the front end was told. */
	if (dev->ours == XS_CONNECTED && offered->sector_size)
		return offered->sector_size;
	switch ((enum sector_size)set->sector_size) {
	case SECTOR_DEVICE:
		break;
	case SECTOR_512:
		return 512;
	case SECTOR_4096:
		return 4096;
	}
	return dev->caps.logical_block;
}

uint64_t ring_sectors(const struct device *dev)
{
	uint32_t size = dev->keys.sector_size;

	return dev->caps.size / size * (dev->conn.sector_units == UNITS_SPEC ? size / 512 : 1);
}

int ring_told_size(struct device *dev, uint64_t *size)
{
	const char *dir = dev->backend;
	uint64_t sectors, unit;
	int rc =
	    store_read_u64(dev->d->store, XBT_NULL, dir, "sectors", 0, INT64_MAX / 4096, &sectors);

	if (!rc)
		rc = store_read_u64(dev->d->store, XBT_NULL, dir, "sector-size", 512, 4096, &unit);
	*size = rc ? 0 : sectors * (dev->conn.sector_units == UNITS_SPEC ? 512 : unit);
	return store_unread(rc) ? rc : 0;
}

/* m->sector_size is set. */
static void set_units(const struct device *dev, struct wm_connect *m)
{
	uint32_t shift = (uint32_t)__builtin_ctz(m->sector_size / 512);

	switch ((enum sector_units)dev->conn.sector_units) {
	case UNITS_SPEC:
	case UNITS_MINIOS:
		break;
	case UNITS_FREEBSD:
		m->sector_shift = shift;
		break;
	case UNITS_WINDOWS:
		m->sector_shift = m->segment_shift = shift;
		break;
	}
}

static int offer(struct device *dev, const struct settings *set, uint32_t size)
{
	const struct storage_caps *c = &dev->caps;
	bool readonly = dev->source.readonly || c->readonly;
	bool enabled;
	int rc = discard_enabled(dev, &enabled);
	bool discard = c->discard && !readonly && enabled;

	dev->keys = (struct disk_keys){
	    .sector_size = size,
	    .physical_sector_size = storage_physical(c, size),
	    .info = dev->source.info | (readonly ? VDISK_READONLY : 0) |
	            (c->cdrom ? VDISK_CDROM : 0) | (c->removable ? VDISK_REMOVABLE : 0),
	    .flush = c->flush,
	    .barrier = c->flush,
	    .discard = discard,
	    .discard_secure = discard && c->discard_secure,
	    .discard_granularity = c->discard_granularity,
	    .discard_alignment = c->discard_alignment,
	    .persistent = set->persistent,
	};
	dev->keys.sectors = ring_sectors(dev);
	return rc;
}

/* Pages to keep mapped for each queue. A front end that is connected already goes by what it was
 * told then: one that was not told would take its pages back. */
static uint32_t persistent_grants(const struct device *dev, const struct settings *set,
                                  const struct ring_keys *keys, const struct offered *offered)
{
	bool told = dev->ours == XS_CONNECTED ? offered->persistent : dev->keys.persistent;

	return told && set->persistent && keys->persistent ? set->max_persistent_grants : 0;
}

/* Whether this is the connection that an earlier worker of ours had, and its journal counts: 1, 0,
 * or -errno: that cannot be known now. *noted: the disk's folder says so already. */
static int resumes(struct device *dev, const struct ring_keys *keys, enum sector_units units,
                   bool *noted)
{
	struct connection old;
	int rc;

	*noted = false;
	if (dev->ring_anew)
		return 0;
	rc = folder_load_connection(dev, &old);
	if (error_is_transient(rc))
		return rc;
	if (!rc) {
		/* In a full run directory only we know of the last ones. */
		if (dev->conn.generation != old.generation || dev->conn.faults < old.faults)
			dev->conn.faults = old.faults;
		dev->conn.generation = old.generation;
		dev->conn.sector_units = old.sector_units;
		dev->conn.fresh = old.fresh;
		/* All journals are there before the first queue starts: killed in between, a worker
		 * has executed nothing, and the connection is a new one still. Of one that a worker
		 * had, journals that are not there are lost. */
		rc = !memcmp(&old.keys, keys, sizeof *keys);
		if (rc && (old.fresh || dev->ours != XS_CONNECTED))
			rc = folder_has_journals(dev, keys->nr_queues);
		*noted = rc > 0;
		return rc;
	}
	/* Nothing says in which units the front end counts but the settings of today. */
	dev->conn.sector_units = units;
	/* Connected, but not by us, nor disconnected by us: the run directory was lost. */
	return dev->ours == XS_CONNECTED && !dev->conn.generation;
}

/* All of dev->conn and dev->keys but for `resume`. */
static int describe(struct device *dev, const struct settings *set, const struct offered *offered,
                    struct wm_connect *c)
{
	const struct ring_keys *keys = &dev->conn.keys;

	/* Of a connection whose worker speaks another version, only what xenstore says is known. */
	c->sector_size = dev->keys.sector_size ?: sector_size(dev, set, offered);
	set_units(dev, c);
	c->protocol = keys->protocol;
	c->order = keys->order;
	c->nr_queues = keys->nr_queues;
	c->generation = dev->conn.generation;
	c->fault_epoch = dev->conn.faults;
	for (uint32_t i = 0; i < keys->nr_queues; i++) {
		memcpy(c->queue[i].refs, keys->queue[i].refs, sizeof keys->queue[i].refs);
		c->queue[i].port = keys->queue[i].port;
	}
	c->flush = dev->keys.flush;
	c->barrier = dev->keys.barrier;
	c->discard = dev->keys.discard;
	c->discard_secure = dev->keys.discard_secure;
	c->indirect_segments = offered->indirect_segments;
	c->persistent_grants = persistent_grants(dev, set, keys, offered);
	c->persistent_idle_seconds = set->persistent_idle_seconds;
	return ring_guest_uuid(dev, c->guest_uuid);
}

int ring_describe(struct device *dev, struct wm_connect *c)
{
	struct offered offered = {0};
	struct ring_keys keys;
	struct settings set;
	struct error err;

	/* What the front end offers now is none of this connection's business. */
	int rc = read_keys(dev, &keys, &offered, &err);
	if (!store_unread(rc))
		rc = device_settings(dev, &set);
	return rc ? rc : describe(dev, &set, &offered, c);
}

static bool same_ring(const struct ring_keys *k, const struct wm_connect *c)
{
	bool same = c->protocol == k->protocol && c->order == k->order && k->nr_queues &&
	            c->nr_queues == k->nr_queues;

	for (uint32_t i = 0; same && i < k->nr_queues; i++)
		same = c->queue[i].port == k->queue[i].port &&
		       !memcmp(c->queue[i].refs, k->queue[i].refs, sizeof(uint32_t) << k->order);
	return same;
}

/* A worker has the ring, and a journal for each of its queues. */
static void has_journals(struct device *dev)
{
	struct error err;

	if (!dev->conn.fresh)
		return;
	dev->conn.fresh = false;
	/* Then the journals decide, which are there. */
	if (folder_save_connection(dev, &err))
		log_warn("%s: %s", dev->id, err.text);
}

bool ring_adopt(struct device *dev, const struct wm_connect *c)
{
	struct wm_connect units = {.sector_size = c->sector_size};
	struct offered offered = {0};
	struct ring_keys keys;
	struct settings set;
	struct error err;

	if (!same_ring(&dev->conn.keys, c) || c->sector_size < 512 || c->sector_size > 4096 ||
	    c->sector_size & (c->sector_size - 1))
		return false;
	set_units(dev, &units);
	if (c->sector_shift != units.sector_shift || c->segment_shift != units.segment_shift)
		return false;
	read_keys(dev, &keys, &offered, &err);
	device_settings(dev, &set);
	/* As it was told, whatever the settings are by now. */
	set.persistent = dev->ours == XS_CONNECTED ? offered.persistent : c->persistent_grants != 0;
	offer(dev, &set, c->sector_size);
	dev->keys.flush = c->flush;
	dev->keys.barrier = c->barrier;
	dev->keys.discard = c->discard;
	dev->keys.discard_secure = c->discard_secure;
	dev->ring = RING_CONNECTED;
	has_journals(dev);
	return true;
}

static void failed(struct device *dev, int rc, bool unread, const char *text)
{
	if (error_is_transient(rc) || unread) {
		dev->ring = RING_IDLE;
		device_lacks(dev, rc, text);
		return;
	}
	dev->ring = RING_FAILED;
	if (!device_fails(dev, rc, false, "%s", text))
		return;
	/* The next attempt gets a worker that has tried nothing yet. */
	dev->ring = RING_IDLE;
	worker_quit(dev, QUIT_NS);
}

/* While the front end stays connected, to whatever
 * ring comes next, the record stays, too: without one, a supervisor that starts now would take the
 * journals for lost. */
int ring_let_go(struct device *dev)
{
	struct error err;

	if (dev->ours != XS_CONNECTED || !dev->conn.generation)
		return folder_drop_connection(dev);
	dev->conn.fresh = true;
	return folder_save_connection(dev, &err) ? folder_drop_connection(dev)
	                                         : folder_empty_journals(dev);
}

/* The record of the connection that is about to be made. 0 or -errno. */
static int note_connection(struct device *dev, const struct ring_keys *keys,
                           const struct settings *set, uint8_t *resume, struct error *err)
{
	bool noted;
	int rc = resumes(dev, keys, set->sector_units, &noted);

	if (rc < 0)
		return error_set(err, rc, "cannot read the record of the connection in %s: %s",
		                 dev->folder, error_name(rc));
	*resume = (uint8_t)rc;
	if (!*resume) {
		rc = ring_let_go(dev);
		if (rc)
			return error_set(err, rc, "cannot empty the journals in %s: %s",
			                 dev->folder, error_name(rc));
		dev->conn.generation++;
		dev->conn.faults = 0;
		dev->conn.fresh = true;
		if (dev->ours != XS_CONNECTED)
			dev->conn.sector_units = set->sector_units;
	}
	dev->conn.keys = *keys;
	/* Not again: a run directory that is full by now must not end a running disk. */
	rc = folder_reserve(dev, keys, err);
	return rc || noted ? rc : folder_save_connection(dev, err);
}

void ring_connect(struct device *dev)
{
	struct wm m = {.type = WM_CONNECT};
	struct offered offered;
	struct settings set;
	struct ring_keys keys;
	struct error err;
	int rc, unread;

	/* It gave up for good what connecting takes. */
	if (dev->worker.used) {
		image_renew(dev);
		return;
	}
	rc = read_keys(dev, &keys, &offered, &err);
	unread = store_unread(rc);
	if (!rc && (rc = unread = device_settings(dev, &set)))
		error_set(&err, rc, "cannot read params: %s", error_name(rc));
	if (!rc)
		rc = note_connection(dev, &keys, &set, &m.connect.resume, &err);
	if (!rc && (rc = unread = offer(dev, &set, sector_size(dev, &set, &offered))))
		error_set(&err, rc, "cannot read discard-enable: %s", error_name(rc));
	if (!rc && (rc = unread = describe(dev, &set, &offered, &m.connect)))
		error_set(&err, rc, "cannot read the guest's UUID: %s", error_name(rc));
	if (rc) {
		failed(dev, rc, unread, err.text);
		return;
	}
	dev->ring_anew = dev->ring_stale = dev->ring_differs = false;
	dev->ring = RING_CONNECTING;
	patience_start(dev);
	dev->worker.ring_serial = worker_send(dev, &m, -1);
	dev->worker.used = true;
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

/* The guest resumed while nobody served it: the ring that could not be taken up is of no use to it
 * any more. */
static bool went_on(struct device *dev, int rc)
{
	bool changed = false;

	if (dev->ours != XS_CONNECTED)
		return false;
	return rc == -ECONNRESET || (!ring_keys_changed(dev, &changed) && changed);
}

void ring_answer(struct device *dev, const struct wm *m)
{
	struct error err;

	patience_over(dev);
	if (m->type == WM_CONNECTED && dev->ring == RING_CONNECTING) {
		dev->ring = RING_CONNECTED;
		has_journals(dev);
		device_lacks_nothing(dev);
		if (dev->ours == XS_CONNECTED) {
			device_log(dev, "connected again: the guest goes on");
			change_check(dev);
			if (!dev->stopped)
				device_recover(dev);
		}
		upgrade_settled(dev);
	} else if (m->type == WM_DISCONNECTED && dev->ring == RING_DISCONNECTING) {
		dev->ring = RING_IDLE;
		ring_let_go(dev);
	} else if (m->type == WM_FAILED && dev->ring == RING_CONNECTING && went_on(dev, m->rc)) {
		/* What the worker had in hand is forgotten, and this ring connected as a new one.
		 */
		device_log(dev, "the front end goes on with another ring: %.*s",
		           (int)sizeof m->text - 1, m->text);
		dev->ring = RING_IDLE;
		dev->ring_anew = true;
	} else if (m->type == WM_FAILED && dev->ring == RING_CONNECTING) {
		error_set(&err, 0, "%.*s", (int)sizeof m->text - 1, m->text);
		failed(dev, m->rc, false, err.text);
	} else if (m->type == WM_FAILED && dev->ring == RING_DISCONNECTING) {
		/* It cannot let go otherwise. */
		worker_kill(dev);
	}
}

int ring_void(struct device *dev)
{
	int rc = folder_drop_connection(dev);

	if (rc)
		return rc;
	memset(&dev->conn.keys, 0, sizeof dev->conn.keys);
	dev->ring_stale = true;
	folder_drop_lost(dev);
	return 0;
}

int ring_forget(struct device *dev)
{
	return dev->ring == RING_IDLE ? folder_drop_connection(dev) : 0;
}
