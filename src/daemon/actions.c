/* SPDX-License-Identifier: MIT */
/* What decide() orders, done. */
#include <errno.h>

#include "base/log.h"
#include "daemon/device.h"

static int advertise(struct device *dev)
{
	struct settings set;
	int rc;

	rc = device_settings(dev, &set);
	if (rc)
		return rc;
	const struct offer_keys offer = {
	    set.max_queues, set.max_indirect_segments,
	    ring_max_order(xen_platform_limits(dev->d->platform).map_pages)};
	/* Whoever connects from now on starts afresh, also if a worker of the connection before
	 * lives still, or its death is not noticed yet. And before InitWait is written: we may die
	 * in between. */
	rc = ring_void(dev);
	if (rc)
		return rc;
	rc = publish_initwait(dev->d->store, dev->backend, dev->ours, &offer);
	if (rc)
		return rc;
	if (dev->ring == RING_FAILED)
		dev->ring = RING_IDLE;
	if (dev->image == IMAGE_FAILED)
		dev->image = IMAGE_NONE;
	device_recover(dev);
	dev->retake = false;
	/* What was written before the front end came back counts, also where its event is still to
	 * come. */
	dev->keys_stale = true;
	dev->worker.streak = dev->worker.unborn = dev->worker.stuck = 0;
	return 0;
}

static int write_connected(struct device *dev)
{
	int rc = publish_connected(dev->d->store, dev->backend, dev->ours, &dev->keys);

	if (!rc) {
		if (!dev->stopped)
			device_recover(dev);
		device_log(dev, "connected: \"%.200s\", %llu sectors, %u queue%s, %s%s",
		           dev->source.text, (unsigned long long)dev->keys.sectors,
		           dev->conn.keys.nr_queues, dev->conn.keys.nr_queues > 1 ? "s" : "",
		           blkif_protocol_name(dev->conn.keys.protocol),
		           dev->source.readonly ? ", read-only" : "");
	}
	return rc;
}

static int write_closed(struct device *dev)
{
	int rc;

	/* Its requests are done, or its worker is dead: whoever connects next starts afresh. */
	rc = ring_forget(dev);
	/* The toolstack does not wait for descriptors. Nobody connects before ring_void has done
	 * it. */
	if (rc && !dev->force)
		return rc;
	/* The toolstack's script may be about to remove the image's device. */
	if (!dev->online)
		image_unclaim(dev);
	rc = store_state_cas(dev->d->store, dev->backend, dev->ours, XS_CLOSED);
	if (!rc) {
		if (dev->stopped)
			device_recover(dev);
		device_log(dev, "closed");
	}
	return rc;
}

static int fatal_state(struct device *dev)
{
	if (!dev->fatal)
		device_fatal(dev, -EINVAL,
		             "saw state %d (%s) at front end, where it makes no sense", dev->theirs,
		             xenbus_state_name(dev->theirs));
	return store_state_cas(dev->d->store, dev->backend, dev->ours, XS_CLOSING);
}

static int act(struct device *dev, enum action a)
{
	switch (a) {
	case ACT_ADVERTISE:
		return advertise(dev);
	case ACT_OPEN_IMAGE:
		image_open(dev);
		return 0;
	case ACT_CONNECT_RING:
		ring_connect(dev);
		return 0;
	case ACT_WRITE_CONNECTED:
		return write_connected(dev);
	case ACT_DISCONNECT_RING:
		ring_disconnect(dev);
		return 0;
	case ACT_WRITE_CLOSING:
		return store_state_cas(dev->d->store, dev->backend, dev->ours, XS_CLOSING);
	case ACT_WRITE_CLOSED:
		return write_closed(dev);
	case ACT_RELEASE:
		image_release(dev);
		return 0;
	case ACT_FATAL_STATE:
		return fatal_state(dev);
	case ACT_NOTHING:
	case ACT_REMOVE: /* device_update's own */
		break;
	}
	return 0;
}

/* The state that an action leaves in the store, or 0. */
static int state_after(enum action a)
{
	switch (a) {
	case ACT_ADVERTISE:
		return XS_INITWAIT;
	case ACT_WRITE_CONNECTED:
		return XS_CONNECTED;
	case ACT_WRITE_CLOSING:
	case ACT_FATAL_STATE:
		return XS_CLOSING;
	case ACT_WRITE_CLOSED:
		return XS_CLOSED;
	case ACT_NOTHING:
	case ACT_OPEN_IMAGE:
	case ACT_CONNECT_RING:
	case ACT_DISCONNECT_RING:
	case ACT_RELEASE:
	case ACT_REMOVE:
		break;
	}
	return 0;
}

int device_act(struct device *dev, enum action a)
{
	int rc = act(dev, a);

	if (!rc && state_after(a))
		dev->written = state_after(a);
	return rc;
}
