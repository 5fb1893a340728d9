/* SPDX-License-Identifier: MIT */
/*
 * What the storage of a disk fails at. The guest has its errors; here they are told to those who
 * look after the host: in the log, in the error node and in the status. The disk stays Connected.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/device.h"

/* Between two lines, and two writes of the error node, of one disk. */
#define SAY_NS (10 * NS_PER_S)

static const char *remedy(int rc)
{
	switch (rc) {
	case -ENOSPC:
	case -EDQUOT:
		return "free room on the file system of the image";
	case -EFBIG:
		return "raise the limit of file sizes";
	case -ENOMEM:
	case -EAGAIN:
	case -ENOBUFS:
		return "free memory";
	default:
		return "check the image's storage (dmesg)";
	}
}

/* "write of sector 2048: No space left on device (ENOSPC), 3 times" */
static int describe(const struct wm_trouble *t, enum storage_op op, char *text, size_t cap)
{
	static const char *const names[] = {"read", "write", "flush", "discard"};
	char sector[40] = "";

	if (op != STORAGE_FLUSH)
		snprintf(sector, sizeof sector, " of sector %llu", (unsigned long long)t->sector);
	return snprintf(text, cap, "%s%s: %s (%s), %llu time%s", names[op], sector,
	                error_name(t->rc), strerrorname_np(-t->rc) ?: "?",
	                (unsigned long long)t->count, t->count == 1 ? "" : "s");
}

/* Whether anything fails; then dev->trouble.text says what. */
static bool put_text(struct device *dev, const struct wm_trouble op[WM_OPS])
{
	char text[ERROR_TEXT_MAX] = "the storage fails: ";
	size_t start = strlen(text), at = start;

	for (unsigned i = 0; i < WM_OPS && at < sizeof text; i++) {
		/* A worker is not trusted. */
		if (!op[i].count || op[i].rc >= 0 || op[i].rc < -4095)
			continue;
		if (at == start)
			dev->trouble.rc = op[i].rc;
		else
			at += (size_t)snprintf(text + at, sizeof text - at, "; ");
		at += (size_t)describe(&op[i], (enum storage_op)i, text + at, sizeof text - at);
	}
	if (at == start)
		return false;
	error_set(&dev->trouble.now, 0, "%s; %s", text, remedy(dev->trouble.rc));
	return true;
}

static void say(struct device *dev)
{
	dev->trouble.said = dev->trouble.now;
	device_trouble(dev);
}

static void say_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, trouble.timer);

	if (!strcmp(dev->trouble.now.text, dev->trouble.said.text))
		return;
	say(dev);
	loop_timer_arm(&dev->d->loop, t, SAY_NS);
}

static void over(struct device *dev)
{
	dev->trouble.now.text[0] = '\0';
	if (!dev->trouble.said.text[0])
		return;
	dev->trouble.said.text[0] = '\0';
	device_trouble_over(dev);
}

void trouble_answer(struct device *dev, const struct wm *m)
{
	/* Connecting: the replayed requests may be quicker than the answer. */
	bool used = dev->ring == RING_CONNECTED || dev->ring == RING_CONNECTING;
	struct error last = dev->trouble.now;

	if (!put_text(dev, m->trouble) || !used) {
		if (used && dev->trouble.said.text[0])
			device_log(dev, "works again; before, %s", last.text);
		over(dev);
		return;
	}
	if (timer_armed(&dev->trouble.timer))
		return;
	say(dev);
	dev->trouble.timer.expired = say_expired;
	loop_timer_arm(&dev->d->loop, &dev->trouble.timer, SAY_NS);
}

void trouble_forget(struct device *dev)
{
	over(dev);
	loop_timer_cancel(&dev->trouble.timer);
}
