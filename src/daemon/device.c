/* SPDX-License-Identifier: MIT */
/* One device: its keys are read as a whole, decide() says what follows, until nothing does. */
#include "daemon/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/config.h"
#include "xenbus/path.h"

#define NO_DEVICE UINT32_MAX /* what a worker takes for a number that was not given */
#define ACTIONS_MAX 16 /* of one update; more would be a fault of ours and is not worth a spin */
#define RETRY_NS (100 * NS_PER_MS)         /* after conflicts without end and the like */
#define RETRY_DOUBLED 3                    /* … that often, if it goes on */
#define LOOK_AGAIN_NS (1 * NS_PER_S)       /* at what tells nothing: see settled */
#define REMOVAL_NS (7 * NS_PER_S)          /* the toolstack waits 10 s for Closed */
#define REMOVAL_KILL_NS (1500 * NS_PER_MS) /* then, for a drain that does not end */

void device_dirty(struct device *dev)
{
	list_remove(&dev->dirty_link);
	list_append(&dev->d->dirty, &dev->dirty_link);
}

void device_keys_stale(struct device *dev)
{
	dev->keys_stale = true;
	device_dirty(dev);
}

static void retry_expired(struct loop_timer *t)
{
	device_dirty(container_of(t, struct device, retry));
}

/* The toolstack is about to give up: first the front end is not waited for any more, then the drain
 * is not. */
static void removal_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, removal);

	if (dev->force || dev->ring == RING_DISCONNECTING || dev->image == IMAGE_CLOSING) {
		if (dev->worker.pid)
			device_warn(
			    dev,
			    "removed by force: the worker did not finish its requests in time");
		worker_kill(dev);
	}
	dev->force = true;
	loop_timer_arm(&dev->d->loop, &dev->removal, REMOVAL_KILL_NS);
	device_dirty(dev);
}

/* Once per node in a row, for each of its keys comes as an event. */
static bool may_complain(struct daemon *d, const char *backend)
{
	unsigned dropped;

	if (!strcmp(d->last_ignored, backend) || !log_limit_pass(&d->limit, &dropped))
		return false;
	snprintf(d->last_ignored, sizeof d->last_ignored, "%s", backend);
	return true;
}

/* The front end's directory as the keys name it; "" if they do not, or not properly. 0, or -errno:
 * they cannot be read. */
static int read_frontend(struct daemon *d, const char *backend, uint16_t domid, char *path,
                         size_t cap)
{
	uint64_t id;
	int rc = store_read(d->store, XBT_NULL, backend, "frontend", path, cap);
	int id_rc =
	    store_read_u64(d->store, XBT_NULL, backend, "frontend-id", 0, XEN_DOMID_MAX, &id);

	if (rc >= 0 && !id_rc && id == domid && path_is_frontend(path, domid))
		return 0;
	if (rc < 0)
		path[0] = '\0';
	if (store_unread(rc) || store_unread(id_rc)) {
		path[0] = '\0';
		return store_unread(rc) ? rc : id_rc;
	}
	/* Absent keys are a node that is still being written. */
	if (rc != -ENOENT && id_rc != -ENOENT && may_complain(d, backend))
		log_warn("%s: frontend \"%.60s\" and frontend-id do not name a device of domain "
		         "%u; ignored",
		         backend, rc < 0 ? error_name(rc) : path, domid);
	path[0] = '\0';
	return 0;
}

/* Two workers must not meet: while it is not known whether there is one, nothing is done. */
static void ask_worker(struct device *dev)
{
	int rc = folder_load_connection(dev, &dev->conn);
	struct error err;

	/* Whoever had the ring before us may have died with writes in flight. */
	dev->after_death = dev->unfenced = !rc;
	rc = error_is_transient(rc) ? rc : adopt_begin(dev);
	dev->unasked = rc < 0;
	if (rc < 0) {
		error_set(&err, rc, "cannot ask whether an earlier xenblkd's worker is there: %s",
		          error_name(rc));
		device_lacks(dev, rc, err.text);
		return;
	}
	device_lacks_nothing(dev);
	if (!rc)
		worker_died_unseen(dev);
}

struct device *device_probe(struct daemon *d, unsigned kind, uint16_t domid, uint32_t devid)
{
	struct device *dev = table_find(d, domid, devid);
	char backend[STORE_PATH_MAX], frontend[STORE_PATH_MAX], state[16];
	int rc;

	if (dev && dev->kind == d->opt.kinds[kind])
		return dev;
	snprintf(backend, sizeof backend, "%s/%u/%u", d->roots[kind], domid, devid);
	if (devid == NO_DEVICE) {
		if (may_complain(d, backend))
			log_warn(
			    "%s: ignored: %u is no disk's number; see `xenblkctl attach --help` "
			    "for names like xvda",
			    backend, devid);
		return NULL;
	}
	rc = store_read(d->store, XBT_NULL, backend, "state", state, sizeof state);
	if (rc == -ENOENT || rc == -EACCES)
		return NULL;
	if (!store_unread(rc))
		rc = read_frontend(d, backend, domid, frontend, sizeof frontend);
	if (store_unread(rc)) {
		discovery_later(d, backend, rc);
		return NULL;
	}
	if (!frontend[0])
		return NULL;
	if (dev) {
		if (may_complain(d, backend))
			log_warn("%s: ignored: %s is served as kind %s already", backend, dev->id,
			         dev->kind);
		return NULL;
	}
	dev = calloc(1, sizeof *dev);
	if (!dev) {
		log_error("%s: out of memory", backend);
		return NULL;
	}
	dev->d = d;
	dev->kind = d->opt.kinds[kind];
	dev->domid = domid;
	dev->devid = devid;
	dev->ours = dev->theirs = -1;
	dev->keys_stale = dev->ring_stale = true;
	dev->worker.sock.fd = dev->claim = dev->size.wd = dev->size.path = -1;
	dev->worker.forbidden = -1;
	dev->retry.expired = retry_expired;
	dev->removal.expired = removal_expired;
	change_init(dev);
	vdev_name(devid, dev->vdev);
	snprintf(dev->id, sizeof dev->id, "%u:%s", domid, dev->vdev);
	memcpy(dev->backend, backend, sizeof backend);
	snprintf(dev->folder, sizeof dev->folder, "%s/disks/%s", d->run_dir, dev->id);
	table_add(dev);
	discovery_watch_frontend(dev, frontend);
	device_log(dev, "found %s", dev->backend);
	device_load_error(dev);
	image_claim_again(dev);
	ask_worker(dev);
	return dev;
}

void device_forget(struct device *dev)
{
	upgrade_failed(dev, "it is not there any more");
	discovery_unwatch_frontend(dev);
	worker_abandon(dev);
	loop_timer_cancel(&dev->worker.backoff);
	loop_timer_cancel(&dev->retry);
	loop_timer_cancel(&dev->removal);
	loop_timer_cancel(&dev->slow);
	loop_timer_cancel(&dev->resized);
	loop_timer_cancel(&dev->noise.timer);
	if (dev->claim >= 0)
		close(dev->claim);
	table_remove(dev);
	free(dev);
}

int device_settings(const struct device *dev, struct settings *s)
{
	char image[STORE_VALUE_MAX];
	int rc = store_read(dev->d->store, XBT_NULL, dev->backend, "params", image, sizeof image);

	*s = dev->d->opt.settings;
	if (rc < 0)
		image[0] = '\0';
	config_apply(dev->d->config, dev->id, image, s);
	return store_unread(rc) ? rc : 0;
}

int device_reader_get(void *arg, const char *dir, const char *name, char *buf, size_t cap)
{
	const struct reader_arg *a = arg;

	return store_read(a->store, a->t, dir, name, buf, cap);
}

/* Our state: 0 only if it is gone. Garbage is nothing that we act on. */
/* Each of these: 0, or -errno: the key cannot be read, and what was known of it stays. */
static int unread(struct device *dev, const char *what, int rc)
{
	device_warn(dev, "cannot read %s: %s; it is taken to be what it was; trying again", what,
	            error_name(rc));
	return rc;
}

static int read_ours(struct device *dev)
{
	char text[STORE_VALUE_MAX];
	uint32_t state;
	int rc = store_read(dev->d->store, XBT_NULL, dev->backend, "state", text, sizeof text);

	if (store_unread(rc))
		return unread(dev, "the back end's state", rc);
	if (rc == -ENOENT)
		dev->ours = XS_UNKNOWN;
	else if (rc >= 0 && !parse_u32(text, XS_INITIALISING, XS_RECONFIGURED, &state))
		dev->ours = (int)state;
	else {
		device_warn(
		    dev, "back end's state \"%.*s\" is no state; nothing is done until it is one",
		    KEY_QUOTE, rc < 0 ? error_name(rc) : text);
		dev->ours = XS_RECONFIGURED;
	}
	return 0;
}

/* A guest that takes away our right to read its state has taken the state away. */
static int read_theirs(struct device *dev)
{
	char text[STORE_VALUE_MAX];
	uint32_t state = XS_UNKNOWN;
	int rc = store_read(dev->d->store, XBT_NULL, dev->frontend, "state", text, sizeof text);

	/* Nobody waits longer than for a removal. */
	if (store_unread(rc) && !dev->force)
		return unread(dev, "the front end's state", rc);
	if (rc >= 0 && !parse_u32(text, XS_INITIALISING, XS_RECONFIGURED, &state)) {
		dev->theirs = (int)state;
		return 0;
	}
	if (rc != -ENOENT)
		device_warn(dev, "front end's state \"%.*s\" is no state; taken as gone", KEY_QUOTE,
		            rc < 0 ? error_name(rc) : text);
	dev->theirs = XS_UNKNOWN;
	return 0;
}

int device_guest_is(const struct device *dev, const char *mark)
{
	char path[64], name[STORE_VALUE_MAX];
	size_t length = strlen(mark);

	snprintf(path, sizeof path, "/local/domain/%u", dev->domid);
	int rc = store_read(dev->d->store, XBT_NULL, path, "name", name, sizeof name);
	if (rc < 0)
		return store_unread(rc) ? rc : 0;
	size_t n = strlen(name);
	return n >= length && !strcmp(name + n - length, mark);
}

static int read_online(struct device *dev)
{
	uint64_t v;
	int rc;

	if (dev->ours == XS_UNKNOWN) {
		dev->online = false;
		return 0;
	}
	rc = store_read_u64(dev->d->store, XBT_NULL, dev->backend, "online", 0, UINT64_MAX, &v);
	if (store_unread(rc))
		return unread(dev, "key online", rc);
	if (rc && rc != -ENOENT)
		device_warn(dev, "key online is not 0 or 1: %s; taken as 1", error_name(rc));
	dev->online = rc ? rc != -ENOENT : v != 0;
	return 0;
}

/* What only the toolstack and its scripts write. */
static int read_stale(struct device *dev)
{
	struct reader_arg arg = {dev->d->store, XBT_NULL};
	struct key_reader r = {device_reader_get, &arg, dev->backend, dev->frontend,
	                       dev->d->opt.no_hotplug};
	char frontend[STORE_PATH_MAX];
	struct source wanted;
	struct error err = {""};
	int rc = read_frontend(dev->d, dev->backend, dev->domid, frontend, sizeof frontend);

	/* Where that is refused, watch_frontend tries again. */
	if (!rc && frontend[0] && strcmp(frontend, dev->frontend)) {
		discovery_watch_frontend(dev, frontend);
		dev->ring_stale = true;
	}
	/* A script may be writing them just now: seen half-way, its path would lose to params. */
	if (!rc)
		rc = store_begin(dev->d->store, &arg.t);
	if (rc)
		return unread(dev, "the keys of the toolstack", rc);
	rc = source_read(&r, &wanted, &err);
	store_end(dev->d->store, arg.t, false);
	if (store_unread(rc))
		return unread(dev, "the keys of the toolstack", rc);
	dev->wanted = wanted;
	dev->wanted_error = err;
	dev->wanted_rc = rc;
	dev->keys_stale = false;
	return 0;
}

/* An error in the image's keys is one only while there is no image to lose. */
static void check_source(struct device *dev)
{
	int rc = dev->wanted_rc;
	/* Adopted without a record of what was opened. */
	if (!rc && dev->image == IMAGE_OPEN && dev->source.kind == SOURCE_WAIT)
		dev->source = dev->wanted;
	bool wanted =
	    dev->ours == XS_INITWAIT || dev->ours == XS_INITIALISED || dev->ours == XS_CONNECTED;

	if (dev->failed_image && dev->wanted.fingerprint != dev->failed_fingerprint) {
		device_recover(dev);
		if (dev->image == IMAGE_FAILED)
			dev->image = IMAGE_NONE;
	}
	if (rc && dev->image == IMAGE_OPEN)
		device_warn(dev, "%s; the image stays what it is", dev->wanted_error.text);
	else if (rc && wanted && !dev->fatal && !dev->held)
		device_fails(dev, rc, true, "%s", dev->wanted_error.text);
	else if (!rc && dev->image == IMAGE_OPEN && image_differs(dev))
		device_warn(
		    dev,
		    "changing the image of a running disk is not supported; it stays \"%.200s\"",
		    dev->source.text);
}

/* Whether a worker may be started now. */
static bool may_start(const struct device *dev)
{
	return !timer_armed(&dev->worker.backoff) && !(dev->worker.pid && dev->worker.killed);
}

/* xenstored has a quota of watches for a driver domain. Without one the front end is looked at now
 * and then (settled): slow, but no disk waits in silence. */
static void watch_frontend(struct device *dev)
{
	int rc = dev->token[0] ? 0 : discovery_watch_frontend(dev, dev->frontend);

	if (!rc)
		return;
	dev->ring_stale = true;
	device_warn(dev,
	            "cannot watch the front end, %s: %s; it is looked at once a second instead; "
	            "raise xenstored's quota of watches for this domain",
	            dev->frontend, error_name(rc));
}

/* All keys that are read each time, or are stale. */
static int read_keys(struct device *dev)
{
	int away = 0, before = dev->theirs, rc = read_ours(dev);

	/* First: a removal must be noticed, whatever the other keys are. */
	if (!rc)
		rc = read_online(dev);
	/* InitWait is waited for, and depends on nothing of this. */
	if (!rc && dev->ours > XS_INITIALISING && dev->keys_stale)
		rc = read_stale(dev);
	if (!rc)
		rc = read_theirs(dev);
	if (rc)
		return rc;
	if (dev->theirs != before)
		dev->ring_stale = true;
	if (dev->theirs != XS_UNKNOWN)
		dev->fe_seen = true;
	/* Asked only before something is taken up again. */
	if (dev->ours == XS_CONNECTED && dev->ring == RING_IDLE)
		away = device_guest_is(dev, MIGRATED_AWAY);
	if (away < 0)
		return unread(dev, "the domain's name", away);
	dev->away = away;
	return 0;
}

/* 0, or -errno: nothing can be decided now. */
static int read_all(struct device *dev, struct snapshot *s)
{
	int rc;

	dev->warning.text[0] = '\0';
	if (dev->image_note.text[0])
		device_warn(dev, "%s", dev->image_note.text);
	if (dev->worker.other)
		device_warn(
		    dev, "its worker is of another version (%u, xenblkd's is %u), and stays so: %s",
		    dev->worker.other, WM_VERSION,
		    dev->worker.why_other[0] ? dev->worker.why_other : "not replaced yet");
	patience_warn(dev);
	watch_frontend(dev);
	rc = read_keys(dev);
	if (rc)
		return rc;
	foreign_state_check(dev);
	foreign_check(dev);
	if (dev->ours > XS_INITIALISING)
		check_source(dev);
	*s = (struct snapshot){
	    .ours = dev->ours,
	    .theirs = dev->theirs,
	    .fe_seen = dev->fe_seen,
	    .online = dev->online,
	    .fatal = dev->fatal && !dev->foreign,
	    .held = dev->held,
	    .hangs = dev->worker.hangs[0] && !dev->source.readonly,
	    .foreign = dev->foreign,
	    .retake = dev->retake,
	    .later = timer_armed(&dev->worker.backoff),
	    .source_ready = dev->wanted.kind != SOURCE_WAIT && may_start(dev),
	    /* Without a source there is nothing to lock. */
	    .unfenced = dev->unfenced && dev->wanted.kind != SOURCE_WAIT,
	    .away = dev->away,
	    .force = dev->force,
	    .image = dev->image,
	    .ring = dev->ring,
	};
	if (dev->ring == RING_CONNECTED &&
	    (dev->theirs == XS_INITIALISED || dev->theirs == XS_CONNECTED)) {
		rc = discovery_look(dev);
		s->ring_changed = dev->ring_differs;
	}
	return rc ? unread(dev, "the front end's keys", rc) : 0;
}

/* Someone waits for Closed, or the node is gone: that is not for ever. */
static void watch_removal(struct device *dev)
{
	bool held = dev->ring != RING_IDLE || dev->image == IMAGE_OPENING ||
	            dev->image == IMAGE_OPEN || dev->image == IMAGE_CLOSING;
	bool removing = dev->ours == XS_UNKNOWN ||
	                (!dev->online && (dev->ours == XS_CLOSING || dev->ours == XS_CLOSED));

	if (!removing || (!held && dev->ours != XS_CLOSING)) {
		loop_timer_cancel(&dev->removal);
		dev->force = false;
	} else if (!dev->force && !timer_armed(&dev->removal)) {
		loop_timer_arm(&dev->d->loop, &dev->removal, REMOVAL_NS);
	}
}

/* Nobody else would: in a driver domain without a toolstack's helper, or where the helper leaves
 * this kind to its back end. In domain 0 libxl removes the node, and takes its absence for a
 * failure. */
static bool removes_itself(const struct device *dev)
{
	return dev->d->own_domid && (dev->d->opt.no_hotplug || !strcmp(dev->kind, "qdisk")) &&
	       dev->ours == XS_CLOSED && !dev->online && !dev->foreign;
}

/* The device is at rest. */
static void settled(struct device *dev)
{
	watch_removal(dev);
	/* A guest may have closed it before the toolstack, which runs its script now, took it away.
	 */
	if (dev->claim >= 0 && dev->ours == XS_CLOSED && !dev->online && !dev->worker.pid)
		image_unclaim(dev);
	/* Nobody tells of a domain's name, or of a front end that is not watched. */
	if (dev->away || !dev->token[0])
		loop_timer_arm(&dev->d->loop, &dev->retry, LOOK_AGAIN_NS);
	if (!removes_itself(dev))
		return;
	int rc = publish_removal(dev->d->store, dev->backend);
	if (rc && rc != -ESTALE && rc != -ENOENT)
		device_warn(dev, "cannot remove %s: %s", dev->backend, error_name(rc));
}

/* Its numbers are free then. */
static void removed(struct device *dev)
{
	struct daemon *d = dev->d;
	uint16_t domid = dev->domid;
	uint32_t devid = dev->devid;

	device_recover(dev);
	ring_forget(dev);
	image_unclaim(dev);
	folder_remove(d, dev->id);
	device_log(dev, "gone");
	device_forget(dev);
	discovery_probe_again(d, domid, devid);
}

void device_update(struct device *dev)
{
	struct snapshot s;
	enum action a;

	if (dev->unasked && !timer_armed(&dev->worker.backoff))
		ask_worker(dev);
	/* Marked again when the worker has said what it has, or has ended. */
	if (dev->worker.adopting)
		adopt_again(dev);
	if (dev->unasked || dev->worker.adopting)
		return;
	for (int i = 0; i < ACTIONS_MAX; i++) {
		if (read_all(dev, &s))
			break;
		a = decide(&s);
		if (a == ACT_NOTHING) {
			dev->retries = 0;
			settled(dev);
			return;
		}
		log_debug("%s: ours %s, theirs %s: %s", dev->id, xenbus_state_name(s.ours),
		          xenbus_state_name(s.theirs), action_name(a));
		if (a == ACT_REMOVE) {
			/* One that could not open its image may just be ending: that comes back
			 * here. */
			if (dev->worker.pid) {
				worker_kill(dev);
				return;
			}
			removed(dev);
			return;
		}
		int rc = device_act(dev, a);
		/* Another writer, or the node's end: what to do follows from what is there now. */
		if (rc == -ESTALE || rc == -ENOENT)
			continue;
		if (rc) {
			device_warn(dev, "cannot %s: %s; trying again", action_name(a),
			            error_name(rc));
			break;
		}
	}
	watch_removal(dev);
	/* Longer each time: a xenstored that has trouble is not helped by many questions. */
	loop_timer_arm(&dev->d->loop, &dev->retry,
	               RETRY_NS << (dev->retries < RETRY_DOUBLED ? dev->retries++ : RETRY_DOUBLED));
}
