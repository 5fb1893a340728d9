/* SPDX-License-Identifier: MIT */
/*
 * How long a worker may take. Opening an image may wait for ever, for the lock of one that died:
 * but it is asked meanwhile whether it is alive. Connecting waits for nothing that lasts.
 * Disconnecting waits for the storage; what is not done in time is left to the fence.
 *
 * A worker that was killed and does not end waits in the kernel, for storage that does not answer.
 * Nobody can end it. What it had counts as lost from then on, so that the disk, its upgrade and
 * xenblkd's go on; but what it has under way may still reach the image. So no other worker starts,
 * and of a disk that is written Closed is not said, before it has ended.
 */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define SLOW_NS (2 * NS_PER_S)     /* then status says that it takes long */
#define INCOMING_NS (NS_PER_S / 2) /* the guest stands still meanwhile, see toolstack_hotplug */
#define PING_NS (5 * NS_PER_S) /* for an answer, which comes at once from a worker that is well */
#define CONNECT_NS (10 * NS_PER_S)
#define DRAIN_NS (15 * NS_PER_S)
/* From SIGKILL on. One that gives back much memory takes longer than most, and loses nothing. */
#define END_NS (2 * NS_PER_S)

static void hung(struct device *dev, const char *at)
{
	log_error("%s: the worker (process %d) hangs while it %s; killed", dev->id, dev->worker.pid,
	          at);
	worker_blame(dev, "it hung");
}

static void expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, slow);
	struct wm m = {.type = WM_HELLO};

	if (!dev->worker.pid)
		return;
	if (dev->image == IMAGE_OPENING) {
		if (dev->worker.pinged) {
			hung(dev, "opens its image");
			return;
		}
		dev->worker.pinged = true;
		worker_send(dev, &m, -1);
		loop_timer_arm(&dev->d->loop, &dev->slow, PING_NS);
	} else if (dev->ring == RING_CONNECTING) {
		hung(dev, "connects the ring");
	} else if (dev->ring == RING_DISCONNECTING) {
		device_warn(dev,
		            "its storage does not finish the requests of the ring that is to be "
		            "disconnected: worker killed");
		worker_kill(dev);
	}
}

void patience_heard(struct device *dev, uint32_t flags)
{
	if (dev->worker.pinged && dev->image == IMAGE_OPENING) {
		dev->slow_opening = true;
		dev->fencing = flags & WM_FENCING;
	}
	dev->worker.pinged = false;
}

static void warn_opening(struct device *dev)
{
	if (!dev->slow_opening || dev->image != IMAGE_OPENING)
		return;
	if (dev->incoming)
		device_warn(dev,
		            "waits for the host that the guest comes from to let go of \"%.200s\"",
		            dev->source.text);
	else if (dev->fencing)
		device_warn(dev,
		            "still opening \"%.200s\": waits since %s for the last I/O of the "
		            "disk's earlier worker to end",
		            dev->source.text, dev->opening_since);
	else
		device_warn(dev,
		            "still opening \"%.200s\": waits since %s for its file system to "
		            "answer; check its storage; the disk goes on by itself",
		            dev->source.text, dev->opening_since);
}

void patience_start(struct device *dev)
{
	time_t now = time(NULL);
	struct tm tm;
	uint64_t ns = dev->image == IMAGE_OPENING       ? (dev->incoming ? INCOMING_NS : SLOW_NS)
	              : dev->ring == RING_DISCONNECTING ? DRAIN_NS
	                                                : CONNECT_NS;

	dev->slow_opening = dev->fencing = dev->worker.pinged = false;
	strftime(dev->opening_since, sizeof dev->opening_since, "%F %T", localtime_r(&now, &tm));
	dev->slow.expired = expired;
	loop_timer_arm(&dev->d->loop, &dev->slow, ns);
}

void patience_over(struct device *dev)
{
	loop_timer_cancel(&dev->slow);
}

static void dying_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, worker.dying);
	struct worker *w = &dev->worker;
	struct tm now;
	time_t s = time(NULL);

	strftime(w->hangs, sizeof w->hangs, "%F %T", localtime_r(&s, &now));
	if (w->adopting && folder_load_source(dev, &dev->source))
		dev->source = (struct source){.kind = SOURCE_WAIT};
	w->adopting = false;
	loop_timer_cancel(&w->kill);
	patience_over(dev);
	dev->ring = RING_IDLE;
	dev->image = IMAGE_NONE;
	dev->renewing = false;
	dev->after_death = true;
	dev->unfenced = !dev->source.readonly;
	upgrade_failed(dev, "its old worker was killed and hangs in the kernel; see its status");
	device_keys_stale(dev);
}

void patience_killed(struct device *dev)
{
	struct worker *w = &dev->worker;

	if (w->hangs[0] || timer_armed(&w->dying))
		return;
	w->dying.expired = dying_expired;
	loop_timer_arm(&dev->d->loop, &w->dying, END_NS);
}

void patience_ended(struct device *dev)
{
	loop_timer_cancel(&dev->worker.dying);
	if (dev->worker.hangs[0])
		device_log(dev, "the worker that hung in the kernel (process %d) has ended",
		           dev->worker.pid);
	dev->worker.hangs[0] = '\0';
}

void patience_warn(struct device *dev)
{
	const struct worker *w = &dev->worker;

	warn_opening(dev);
	if (w->hangs[0])
		device_warn(dev,
		            "its worker (process %d) was killed and hangs in the kernel since %s, "
		            "waiting for \"%.150s\"; until it ends, no other worker serves the "
		            "disk%s; make the storage answer, or unmount it by force (umount -f)",
		            w->pid, w->hangs, dev->source.text,
		            dev->source.readonly ? "" : ", and Closed is not written");
}
