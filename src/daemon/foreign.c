/* SPDX-License-Identifier: MIT */
/*
 * Drivers of this domain's kernel that take our devices: xen_blkback binds every device of kind
 * vbd, also one that is connected, once it is loaded. What it has is left alone and said.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define WAYS_OUT "blacklist it or use backendtype=tap"
#define LOOK_AGAIN_NS (1 * NS_PER_S) /* the kernel tells nobody that a driver lets go */

void foreign_start(struct daemon *d)
{
	char path[PATH_MAX];

	if (!d->opt.sysfs)
		return;
	snprintf(path, sizeof path, "%s/module/xen_blkback", d->opt.sysfs);
	if (access(path, F_OK))
		return;
	for (unsigned k = 0; k < d->opt.nr_kinds; k++)
		if (!strcmp(d->opt.kinds[k], "vbd"))
			log_warn("xen_blkback is loaded and takes every disk of kind vbd in this "
			         "domain; rmmod it and keep it out with a file like "
			         "modprobe.d-xenblkd.conf in /etc/modprobe.d, or use "
			         "backendtype=tap (kind vbd3)");
}

static bool has_driver(const struct device *dev)
{
	char path[PATH_MAX];
	struct stat st;

	if (!dev->d->opt.sysfs)
		return false;
	snprintf(path, sizeof path, "%s/bus/xen-backend/devices/%s-%u-%u/driver", dev->d->opt.sysfs,
	         dev->kind, dev->domid, dev->devid);
	return !lstat(path, &st);
}

void foreign_check(struct device *dev)
{
	bool is = dev->ours != XS_UNKNOWN && has_driver(dev);

	if (is && !dev->foreign) {
		dev->retake = true;
		device_fatal(dev, -EBUSY, "xen_blkback owns this device; " WAYS_OUT);
	} else if (!is && dev->foreign) {
		device_recover(dev);
		device_log(dev, "no other driver has it any more");
	}
	dev->foreign = is;
	if (is)
		loop_timer_arm(&dev->d->loop, &dev->retry, LOOK_AGAIN_NS);
}

void foreign_state_check(struct device *dev)
{
	/* The toolstack writes Initialising at any time, and Closing only with online=0. */
	if (dev->ours <= XS_INITIALISING)
		dev->written = 0;
	if (!dev->written || dev->ours == dev->written || !dev->online)
		return;
	device_log(dev,
	           "another driver has bound: neither xenblkd nor the toolstack wrote state %s; if "
	           "it is xen_blkback, " WAYS_OUT,
	           xenbus_state_name(dev->ours));
	dev->written = dev->ours;
}
