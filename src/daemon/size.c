/* SPDX-License-Identifier: MIT */
/*
 * Notices that an image in a file has changed its size. Here and not in the worker: that may not
 * look at its image any more by the time, nor would a watch for each of a thousand workers be
 * granted by the kernel.
 *
 * The kernel has no event for just that: it comes like a write, and the guest's own writes are such
 * events. So the watch is for one event, and is set again a second later: a busy disk pays for one
 * write in a second, an idle one for nothing, and no guest can keep us busy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/device.h"
#include "storage/parcel.h"

#define AGAIN_NS NS_PER_S
#define EVENTS_PER_ROUND 64

static struct list *bucket(struct daemon *d, int wd)
{
	return &d->by_watch[(unsigned)wd % WATCH_BUCKETS];
}

static void not_watched(struct device *dev, const char *why)
{
	device_log(
	    dev,
	    "its image is not watched for changes of the size: %s; after one, say `xenblkctl "
	    "resize %s`",
	    why, dev->id);
}

/* Without asking a server. False: it is not known. */
static bool size_now(const struct device *dev, uint64_t *size)
{
	struct statx sx;

	if (dev->size.path < 0 ||
	    statx(dev->size.path, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &sx))
		return false;
	*size = sx.stx_size;
	return true;
}

/* Where we cannot look ourselves, its word must do, which is in the log. */
void size_allow(struct device *dev, uint64_t said)
{
	struct rlimit r;
	uint64_t size;

	if (!dev->worker.pid || dev->source.readonly)
		return;
	if (!size_now(dev, &size))
		size = said;
	/* Never lowered: what it has under way must not fail. */
	if (prlimit(dev->worker.pid, RLIMIT_FSIZE, NULL, &r) || r.rlim_cur >= size)
		return;
	r.rlim_cur = size < r.rlim_max ? size : r.rlim_max;
	if (prlimit(dev->worker.pid, RLIMIT_FSIZE, &r, NULL))
		device_warn(dev,
		            "cannot raise the worker's limit of file sizes (RLIMIT_FSIZE): %s; the "
		            "guest cannot write beyond the image's old end; `xenblkctl upgrade %s` "
		            "starts a worker that can",
		            error_name(errno), dev->id);
}

static void look(struct device *dev)
{
	uint64_t size;

	if (!size_now(dev, &size))
		return;
	size_allow(dev, size);
	if (size == dev->size.seen)
		return;
	dev->size.seen = size;
	change_ask_size(dev);
}

/* Watched first: what changes after the look leaves an event. */
static void arm(struct device *dev)
{
	char link[40];

	snprintf(link, sizeof link, "/proc/self/fd/%d", dev->size.path);
	dev->size.wd = inotify_add_watch(dev->d->size_fd.fd, link, IN_MODIFY | IN_ONESHOT);
	if (dev->size.wd < 0)
		not_watched(dev, error_name(errno));
	else
		list_append(bucket(dev->d, dev->size.wd), &dev->size.link);
	look(dev);
}

static void again_expired(struct loop_timer *t)
{
	arm(container_of(t, struct device, size.again));
}

static void fired(struct device *dev)
{
	list_remove(&dev->size.link);
	dev->size.wd = -1;
	look(dev);
	dev->size.again.expired = again_expired;
	loop_timer_arm(&dev->d->loop, &dev->size.again, AGAIN_NS);
}

/* Disks that share an image share its watch. Its last event (IN_IGNORED) finds nobody, unless one
 * of them has taken it from the others. */
static void event(struct daemon *d, int wd)
{
	list_for_each(it, tmp, bucket(d, wd))
	{
		struct device *dev = container_of(it, struct device, size.link);
		if (dev->size.wd == wd)
			fired(dev);
	}
}

static void size_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, size_fd);
	union {
		char bytes[EVENTS_PER_ROUND * sizeof(struct inotify_event)];
		struct inotify_event align;
	} buf;
	ssize_t n = read(lfd->fd, &buf, sizeof buf);

	/* A file's own events have no name. The queue cannot overflow: two events a watch. */
	for (ssize_t at = 0; at + (ssize_t)sizeof buf.align <= n;) {
		const struct inotify_event *e = (const void *)(buf.bytes + at);
		if (e->wd >= 0)
			event(d, e->wd);
		at += (ssize_t)(sizeof *e + e->len);
	}
}

/* Of a file whose file system is near. An O_PATH descriptor, because to close it takes no file
 * system at all. */
static int open_path(int parcel)
{
	int claim = parcel_open(parcel), fd;
	char link[40];

	if (claim < 0)
		return claim;
	snprintf(link, sizeof link, "/proc/self/fd/%d", claim);
	fd = open(link, O_PATH | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(claim);
	return fd;
}

void size_watch(struct device *dev)
{
	struct parcel_label label;
	int fd;

	size_forget(dev);
	/* The kernel tells of devices, see change.c. */
	if (dev->claim < 0 || parcel_read(dev->claim, &label) || label.block)
		return;
	if (dev->d->size_fd.fd < 0)
		return;
	/* Its server may be away, and we must not wait for it; what other machines do to a file it
	 * does not tell anyway. */
	if (label.far_away) {
		not_watched(dev, "its file system is not this machine's own");
		return;
	}
	fd = open_path(dev->claim);
	if (fd < 0) {
		not_watched(dev, error_name(fd));
		return;
	}
	dev->size.path = fd;
	/* It may have changed since it was opened, or while nobody was there. */
	dev->size.seen = dev->caps.size;
	arm(dev);
}

void size_forget(struct device *dev)
{
	struct size_watch *w = &dev->size;

	loop_timer_cancel(&w->again);
	if (w->wd >= 0) {
		list_remove(&w->link);
		/* Another disk on the file learns that from its IN_IGNORED. */
		inotify_rm_watch(dev->d->size_fd.fd, w->wd);
	}
	w->wd = -1;
	if (w->path >= 0)
		close(w->path);
	w->path = -1;
}

int size_start(struct daemon *d)
{
	int rc;

	for (unsigned i = 0; i < WATCH_BUCKETS; i++)
		list_init(&d->by_watch[i]);
	d->size_fd =
	    (struct loop_fd){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .ready = size_ready};
	rc = d->size_fd.fd < 0 ? -errno : loop_add(&d->loop, &d->size_fd, EPOLLIN);
	if (rc && d->size_fd.fd >= 0) {
		close(d->size_fd.fd);
		d->size_fd.fd = -1;
	}
	return rc;
}

void size_stop(struct daemon *d)
{
	if (d->size_fd.fd < 0)
		return;
	loop_del(&d->loop, &d->size_fd);
	close(d->size_fd.fd);
	d->size_fd.fd = -1;
}
