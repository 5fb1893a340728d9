/* SPDX-License-Identifier: MIT */
/*
 * How long a worker may take. Opening an image may wait for ever, for the lock of one that died:
 * but it is asked meanwhile whether it is alive. Connecting waits for nothing that lasts.
 * Disconnecting waits for the storage; what is not done in time is left to the fence.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define SLOW_NS (2 * NS_PER_S)     /* then status says that it takes long */
#define INCOMING_NS (NS_PER_S / 2) /* the guest stands still meanwhile, see toolstack_hotplug */
#define PING_NS (5 * NS_PER_S) /* for an answer, which comes at once from a worker that is well */
#define CONNECT_NS (10 * NS_PER_S)
#define DRAIN_NS (15 * NS_PER_S)

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
		dev->slow_opening = true;
		dev->worker.pinged = true;
		worker_send(dev, &m, -1);
		loop_timer_arm(&dev->d->loop, &dev->slow, PING_NS);
		device_dirty(dev);
	} else if (dev->ring == RING_CONNECTING) {
		hung(dev, "connects the ring");
	} else if (dev->ring == RING_DISCONNECTING) {
		device_warn(dev,
		            "its storage does not finish the requests of the ring that is to be "
		            "disconnected: worker killed");
		worker_kill(dev);
	}
}

void patience_start(struct device *dev)
{
	uint64_t ns = dev->image == IMAGE_OPENING       ? (dev->incoming ? INCOMING_NS : SLOW_NS)
	              : dev->ring == RING_DISCONNECTING ? DRAIN_NS
	                                                : CONNECT_NS;

	dev->slow_opening = dev->worker.pinged = false;
	dev->slow.expired = expired;
	loop_timer_arm(&dev->d->loop, &dev->slow, ns);
}

void patience_over(struct device *dev)
{
	loop_timer_cancel(&dev->slow);
}
