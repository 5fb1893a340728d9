/* SPDX-License-Identifier: MIT */
/*
 * What changes while a disk is in use: its size, which is noticed (a file, size.c), the kernel
 * tells (a block device), or the user says (xenblkctl resize); and features that the device turned
 * out not to have. The front end is told either.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/device.h"

#define KERNEL_EVENTS 1 /* multicast group of what the kernel itself says */
#define EVENTS_PER_ROUND 64
#define TELL_NS (1 * NS_PER_S)

/* ---- size ---- */

void change_ask_size(struct device *dev)
{
	struct wm m = {.type = WM_RESIZE};

	/* One of another version would not understand. */
	if (dev->worker.pid && dev->image == IMAGE_OPEN && !dev->worker.other)
		worker_send(dev, &m, -1);
}

/* Conflicts went on: what is still to be told is told after a pause. */
static void tell_later(struct device *dev, int rc, const char *what)
{
	if (rc == -EAGAIN)
		loop_timer_arm(&dev->d->loop, &dev->resized, TELL_NS);
	else if (rc && rc != -ESTALE && rc != -ENOENT)
		device_warn(dev, "cannot tell the front end %s: %s", what, error_name(rc));
}

static void tell_size(struct device *dev)
{
	int rc;

	if (!dev->keys.sector_size)
		return;
	dev->keys.sectors = ring_sectors(dev);
	dev->keys.physical_sector_size = storage_physical(&dev->caps, dev->keys.sector_size);
	/* Not connected yet: it will read the size when it is. */
	rc = publish_resize(dev->d->store, dev->backend, &dev->keys);
	dev->told_size = rc == -EAGAIN ? UINT64_MAX : dev->caps.size;
	tell_later(dev, rc, "the new size");
}

static void tell_features(struct device *dev)
{
	int rc = publish_features(dev->d->store, dev->backend, &dev->keys);

	dev->features_untold = rc == -EAGAIN;
	tell_later(dev, rc, "which features it has lost");
}

static void tell_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, resized);

	if (dev->image == IMAGE_OPEN && dev->told_size && dev->told_size != dev->caps.size)
		tell_size(dev);
	if (dev->ring == RING_CONNECTED && dev->features_untold)
		tell_features(dev);
}

/* At most once a second, whatever a worker says: a fallen one must not keep the others' supervisor
 * busy. */
static void resized(struct device *dev, const struct wm *m)
{
	struct storage_caps now = dev->caps;

	now.size = m->opened.size;
	if (dev->image != IMAGE_OPEN || now.size == dev->caps.size || !storage_caps_sane(&now))
		return;
	device_log(dev, "size is %llu sectors, was %llu", (unsigned long long)m->opened.size / 512,
	           (unsigned long long)dev->caps.size / 512);
	dev->caps.size = now.size;
	/* Before the guest hears of it. */
	size_allow(dev, now.size);
	if (timer_armed(&dev->resized))
		return;
	tell_size(dev);
	loop_timer_arm(&dev->d->loop, &dev->resized, TELL_NS);
}

/* Not connected: it will read the size when it is. */
void change_check(struct device *dev)
{
	uint64_t told = 0;

	/* Where it cannot be read, it is told once too often. */
	store_read_u64(dev->d->store, XBT_NULL, dev->backend, "sectors", 0, UINT64_MAX, &told);
	if (told != dev->keys.sectors)
		tell_size(dev);
}

/* ---- features ---- */

static void withdrawn(struct device *dev, uint32_t what)
{
	bool known = (!(what & WM_NO_FLUSH) || !dev->caps.flush) &&
	             (!(what & WM_NO_DISCARD) || !dev->caps.discard) &&
	             (!(what & WM_NO_SECURE_DISCARD) || !dev->caps.discard_secure);

	if (known)
		return;
	if (what & WM_NO_FLUSH)
		dev->caps.flush = dev->keys.flush = dev->keys.barrier = false;
	if (what & WM_NO_DISCARD)
		dev->caps.discard = dev->keys.discard = false;
	if (what & (WM_NO_DISCARD | WM_NO_SECURE_DISCARD))
		dev->caps.discard_secure = dev->keys.discard_secure = false;
	device_log(dev, "the storage does not support what it promised, withdrawn:%s%s%s",
	           what & WM_NO_FLUSH ? " flush" : "", what & WM_NO_DISCARD ? " discard" : "",
	           what & WM_NO_SECURE_DISCARD ? " secure discard" : "");
	/* Without a ring nobody was promised anything. */
	if (dev->ring == RING_CONNECTED)
		tell_features(dev);
}

void change_init(struct device *dev)
{
	dev->resized.expired = tell_expired;
}

void change_adopted(struct device *dev, uint32_t what)
{
	withdrawn(dev, what);
	if (dev->ring == RING_CONNECTED)
		change_check(dev);
}

void change_answer(struct device *dev, const struct wm *m)
{
	if (m->type == WM_RESIZED)
		resized(dev, m);
	else if (m->type == WM_WITHDRAWN)
		withdrawn(dev, m->withdrawn);
}

/* ---- events of the kernel ---- */

struct uevent {
	bool resize;
	uint32_t major, minor;
};

static void check_device(struct device *dev, void *arg)
{
	const struct uevent *e = arg;

	if (dev->caps.major == e->major && dev->caps.minor == e->minor)
		change_ask_size(dev);
}

/* The number after "KEY=", or `absent`. */
static uint32_t value(const char *word, const char *key, uint32_t absent)
{
	size_t n = strlen(key);
	uint32_t v;

	if (strncmp(word, key, n) || parse_u32(word + n, 0, UINT32_MAX, &v))
		return absent;
	return v;
}

static void uevent_parse(const char *text, size_t n, struct uevent *e)
{
	*e = (struct uevent){0};
	for (const char *word = text; word < text + n; word += strlen(word) + 1) {
		e->resize = value(word, "RESIZE=", e->resize);
		e->major = value(word, "MAJOR=", e->major);
		e->minor = value(word, "MINOR=", e->minor);
	}
}

static void uevent_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, uevent_fd);
	struct sockaddr_nl from;
	char text[8192];

	for (int i = 0; i < EVENTS_PER_ROUND; i++) {
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(lfd->fd, text, sizeof text - 1, MSG_DONTWAIT,
		                     (struct sockaddr *)&from, &len);
		struct uevent e;
		/* Lost ones (ENOBUFS) can be asked for with xenblkctl resize. */
		if (n < 0 && errno != ENOBUFS)
			return;
		/* Anybody may send to us; only the kernel has port 0. */
		if (n <= 0 || from.nl_pid)
			continue;
		text[n] = '\0';
		uevent_parse(text, (size_t)n, &e);
		if (e.resize && e.major)
			table_each(d, check_device, &e);
	}
}

int change_start(struct daemon *d)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_EVENTS};
	int rc = 0;

	d->uevent_fd = (struct loop_fd){
	    .fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	                 NETLINK_KOBJECT_UEVENT),
	    .ready = uevent_ready,
	};
	if (d->uevent_fd.fd < 0 || bind(d->uevent_fd.fd, (struct sockaddr *)&addr, sizeof addr))
		rc = -errno;
	if (!rc)
		rc = loop_add(&d->loop, &d->uevent_fd, EPOLLIN);
	if (rc && d->uevent_fd.fd >= 0) {
		close(d->uevent_fd.fd);
		d->uevent_fd.fd = -1;
	}
	return rc;
}

void change_stop(struct daemon *d)
{
	if (d->uevent_fd.fd < 0)
		return;
	loop_del(&d->loop, &d->uevent_fd);
	close(d->uevent_fd.fd);
	d->uevent_fd.fd = -1;
}
