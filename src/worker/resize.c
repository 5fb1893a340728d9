/* SPDX-License-Identifier: MIT */
/*
 * Notices that an image in a file has changed its size. The kernel has no event for just that: it
 * comes like a write, and our own writes are such events. So the watch is for one event, and is set
 * again a second later: a busy disk pays for one write in a second, an idle one for nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/worker.h"

#define REARM_NS NS_PER_S

/* False: it cannot be watched (any more). */
static bool arm(struct worker *w)
{
	char link[40];

	snprintf(link, sizeof link, "/proc/self/fd/%d", w->image_fd);
	if (inotify_add_watch(w->image_watch.fd, w->image_path ? w->image_path : link,
	                      IN_MODIFY | IN_ONESHOT) >= 0)
		return true;
	log_debug("the image's size is not watched: %s", error_name(errno));
	return false;
}

void resize_check(struct worker *w, uint32_t serial)
{
	struct wm m = {.version = WM_VERSION, .type = WM_RESIZED, .serial = serial};
	struct error err;
	uint64_t before;
	int rc = 0;

	if (!w->storage)
		return;
	before = storage_size(w->storage);
	rc = storage_resize(w->storage, &err);
	if (rc)
		log_warn("%s", err.text);
	m.opened = *storage_caps(w->storage);
	if (m.opened.size != before)
		log_info("the image has %llu bytes now, it had %llu",
		         (unsigned long long)m.opened.size, (unsigned long long)before);
	if (serial || m.opened.size != before)
		session_send(w, &m);
}

static void watch_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, image_watch);
	char buf[4096];

	while (read(lfd->fd, buf, sizeof buf) > 0)
		;
	resize_check(w, 0);
	loop_timer_arm(&w->loop, &w->image_rearm, REARM_NS);
}

static void rearm_expired(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, image_rearm);

	/* Armed first: what changes after the look leaves an event. */
	if (w->image_watch.fd >= 0 && arm(w))
		resize_check(w, 0);
}

void resize_watch(struct worker *w, int image_fd)
{
	struct stat st;

	w->image_rearm.expired = rearm_expired;
	if (fstat(image_fd, &st) || !S_ISREG(st.st_mode))
		return;
	w->image_fd = fcntl(image_fd, F_DUPFD_CLOEXEC, 0);
	w->image_watch =
	    (struct loop_fd){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .ready = watch_ready};
	if (w->image_fd < 0 || w->image_watch.fd < 0 || !arm(w) ||
	    loop_add(&w->loop, &w->image_watch, EPOLLIN))
		resize_unwatch(w);
}

void resize_moved(struct worker *w, const char *path)
{
	w->image_path = path;
	close(w->image_fd);
	w->image_fd = -1;
}

void resize_unwatch(struct worker *w)
{
	loop_timer_cancel(&w->image_rearm);
	if (w->image_fd >= 0)
		close(w->image_fd);
	w->image_fd = -1;
	w->image_path = NULL;
	if (w->image_watch.fd >= 0) {
		loop_del(&w->loop, &w->image_watch);
		close(w->image_watch.fd);
	}
	w->image_watch.fd = -1;
}
