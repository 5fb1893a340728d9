/* SPDX-License-Identifier: MIT */
/*
 * A worker that an earlier supervisor started and left: it serves on, and is asked what it has. Its
 * answer fills in what we would know had we started it; the device's keys then say what is to be
 * done, also where the earlier one died half-way. One that does not answer in time is killed, and
 * what it had is recovered like that of any dead worker. A worker may have been taken over by its
 * guest: what it says is checked against what stands in the disk's folder and in xenstore.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/logpipe.h"
#include "daemon/steps.h"

#define QUIT_NS (5 * NS_PER_S)
#define AGAIN_NS (200 * NS_PER_MS)
#define ADOPT_NS (2 * NS_PER_S) /* a worker that is well answers at once */

/* log_fd: where its log goes from now on; lent, -1: where it went */
static void ask(struct device *dev, int log_fd)
{
	struct wm m = {.type = WM_HELLO};

	if (dev->worker.sock.fd >= 0)
		worker_send(dev, &m, log_fd);
	/* Sooner than for one that only hangs up. */
	loop_timer_arm(&dev->d->loop, &dev->worker.kill, dev->worker.sock.fd >= 0 ? ADOPT_NS : 0);
}

void adopt_again(struct device *dev)
{
	if (!timer_armed(&dev->worker.kill) && !timer_armed(&dev->retry))
		ask(dev, -1);
}

/* What its answer is compared with must be known: if not, it is asked again a little later. */
static bool put_off(struct device *dev)
{
	char text[STORE_VALUE_MAX], uuid[37];
	int rc = store_read(dev->d->store, XBT_NULL, dev->backend, "state", text, sizeof text);

	rc = store_unread(rc) ? rc : ring_guest_uuid(dev, uuid);
	if (!rc)
		return false;
	device_warn(dev, "cannot read what its worker is compared with: %s; trying again",
	            error_name(rc));
	loop_timer_cancel(&dev->worker.kill);
	loop_timer_arm(&dev->d->loop, &dev->retry, AGAIN_NS);
	return true;
}

int adopt_begin(struct device *dev)
{
	struct spawned s = {0};
	int log_fd = -1, rc;

	s.pid = leftovers_find(dev->d, dev->id, &s.pidfd, &s.sock);
	if (s.pid <= 0)
		return s.pid;
	/* Without it the worker's lines are lost, and nothing else. */
	s.log = s.sock < 0 ? NULL : logpipe_new(dev->d, dev->id, &log_fd);
	rc = worker_line(dev, &s);
	if (rc) {
		if (s.sock >= 0)
			close(s.sock);
		close(s.pidfd);
		logpipe_free(s.log);
	} else {
		dev->worker.adopting = true;
		ask(dev, log_fd);
		upgrade_step(STEP_ADOPTING, s.pid, 0);
	}
	if (log_fd >= 0)
		close(log_fd);
	return rc ? rc : 1;
}

/* Nothing has gone wrong with it that its front end was told. */
static bool serving(struct device *dev)
{
	dev->ours = store_read_state(dev->d->store, XBT_NULL, dev->backend);
	return dev->ours == XS_CONNECTED;
}

static void image_from(struct device *dev, const struct wm *m)
{
	/* Without the file, what the keys say has to do. */
	if (folder_load_source(dev, &dev->source))
		dev->source = (struct source){.kind = SOURCE_WAIT};
	if (m->flags & WM_OPENING) {
		dev->image = IMAGE_OPENING;
		dev->incoming = folder_incoming(dev) > 0;
		dev->worker.open_serial = dev->worker.last_serial = m->pending;
		patience_start(dev);
		return;
	}
	dev->image = IMAGE_OPEN;
	folder_set_incoming(dev, false);
	dev->caps = m->state.caps;
	dev->after_death = dev->unfenced = false;
}

/* dev->conn: as the earlier supervisor left it, or empty. */
static const char *ring_from(struct device *dev, const struct wm *m)
{
	char uuid[37];

	if (!(m->flags & WM_HAS_RING)) {
		/* It was disconnected, but nobody was there any more to note that. */
		if (m->generation && m->generation == dev->conn.generation)
			ring_let_go(dev);
		return NULL;
	}
	if (!dev->conn.generation || m->generation != dev->conn.generation)
		return "another connection than the one on record";
	ring_guest_uuid(dev, uuid);
	if (strncmp(uuid, m->state.connect.guest_uuid, sizeof uuid))
		return "the ring of another guest, which had this number before";
	return ring_adopt(dev, &m->state.connect) ? NULL : "another ring than the one on record";
}

/* Why it cannot be ours; NULL: it is, and the device knows what it has. */
static const char *take(struct device *dev, const struct wm *m)
{
	const char *why = NULL;

	if (m->state.domid != dev->domid || m->state.devid != dev->devid)
		return "another disk";
	/* The node is new: its keys say which image it gets. */
	if (dev->ours == XS_INITIALISING && m->flags & (WM_HAS_IMAGE | WM_OPENING))
		return "the image of an earlier disk of this number";
	if (m->flags & WM_HAS_IMAGE)
		why = storage_caps_sane(&m->state.caps) ? NULL : "an impossible image";
	else if (m->flags & WM_HAS_RING)
		why = "a ring without an image";
	/* First, for what a ring's front end was told follows from the image. */
	if (!why && m->flags & (WM_HAS_IMAGE | WM_OPENING))
		image_from(dev, m);
	if (!why && m->flags & WM_HAS_IMAGE && dev->source.readonly && !m->state.caps.readonly)
		why = "an image open for writing, and the disk is read-only";
	return why ?: ring_from(dev, m);
}

void adopt_answer(struct device *dev, const struct wm *m)
{
	char text[ERROR_TEXT_MAX];

	patience_heard(dev, m->flags);
	if (!dev->worker.adopting || m->serial != dev->worker.last_serial || put_off(dev))
		return;
	dev->worker.adopting = false;
	loop_timer_cancel(&dev->worker.kill);
	device_keys_stale(dev);
	bool served = serving(dev);
	const char *why = take(dev, m);
	if (why) {
		log_error("%s: the worker left by an earlier xenblkd (process %d) has %s; killed",
		          dev->id, dev->worker.pid, why);
		dev->ring = RING_IDLE;
		dev->image = IMAGE_NONE;
		dev->unfenced = true;
		worker_kill(dev);
		return;
	}
	device_log(dev, "took over its worker, process %d", dev->worker.pid);
	snprintf(text, sizeof text, "%.*s", (int)sizeof m->text - 1, m->text);
	if (dev->image == IMAGE_OPEN) {
		/* It may have been connected before. */
		dev->worker.used = true;
		change_adopted(dev, m->state.withdrawn);
		size_watch(dev);
	}
	if (dev->ring == RING_CONNECTED && text[0])
		device_stopped(dev, text);
	else if (dev->ring == RING_CONNECTED && served)
		device_recover(dev);
}

/* Its messages are not ours, but for what every version has. That is enough to let it serve on
 * until one of ours is known to be able to go on where it is. */
void adopt_other(struct device *dev, const struct wm *m)
{
	struct error err;
	int rc, fd;

	if (put_off(dev))
		return;
	dev->worker.adopting = false;
	dev->worker.other = m->version;
	loop_timer_cancel(&dev->worker.kill);
	device_keys_stale(dev);
	device_log(dev,
	           "its worker, process %d, speaks version %u, this xenblkd %u: to be replaced",
	           dev->worker.pid, m->version, WM_VERSION);
	/* Nothing that a guest uses: half-way up or down, or idle. */
	if (!(m->flags & WM_HAS_RING) || !dev->conn.generation ||
	    m->generation != dev->conn.generation || !serving(dev)) {
		dev->image = m->flags & WM_HAS_IMAGE ? IMAGE_OPEN : IMAGE_NONE;
		/* Nothing is connected to an image of which nobody here knows more than that. */
		dev->ring = RING_DISCONNECTING;
		worker_quit(dev, QUIT_NS);
		return;
	}
	if (folder_load_source(dev, &dev->source))
		dev->source = (struct source){.kind = SOURCE_WAIT};
	dev->image = IMAGE_OPEN;
	dev->ring = RING_CONNECTED;
	dev->after_death = dev->unfenced = false;
	fd = fcntl(dev->d->worker_fd, F_DUPFD_CLOEXEC, 0);
	rc = fd < 0 ? error_set(&err, -errno, "%s", error_name(errno))
	            : upgrade_begin(dev, fd, 0, &err);
	if (rc)
		snprintf(dev->worker.why_other, sizeof dev->worker.why_other, "%.150s", err.text);
}
