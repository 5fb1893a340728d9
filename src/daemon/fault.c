/* SPDX-License-Identifier: MIT */
/* A device's errors: in the log, in its error node and in its status, in the same words. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define LOG_BURST 8 /* a device that comes up, or fails, says more than one thing */

bool log_limit_pass(struct log_limit *l, unsigned *dropped)
{
	uint64_t now = clock_ns();

	if (l->next_ns > now + LOG_BURST * NS_PER_S) {
		l->dropped++;
		return false;
	}
	l->next_ns = (l->next_ns > now ? l->next_ns : now) + NS_PER_S;
	*dropped = l->dropped;
	l->dropped = 0;
	return true;
}

enum level { LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/* A guest can cause any of these lines, as often as it likes. */
static void limited(struct device *dev, enum level level, const char *text)
{
	char more[48] = "";
	unsigned dropped;

	if (!log_limit_pass(&dev->limit, &dropped))
		return;
	if (dropped)
		snprintf(more, sizeof more, " (%u before this one dropped)", dropped);
	switch (level) {
	case LEVEL_INFO:
		log_info("%s: %s%s", dev->id, text, more);
		break;
	case LEVEL_WARN:
		log_warn("%s: %s%s", dev->id, text, more);
		break;
	case LEVEL_ERROR:
		log_error("%s: %s%s", dev->id, text, more);
		break;
	}
}

static void error_path(const struct device *dev, char *path, size_t cap)
{
	snprintf(path, cap, "/local/domain/%u/error/backend/%s/%u/%u", dev->d->own_domid, dev->kind,
	         dev->domid, dev->devid);
}

static void report(struct device *dev, int rc)
{
	char path[STORE_PATH_MAX];

	limited(dev, LEVEL_ERROR, dev->error.text);
	systemd_changed(dev->d);
	error_path(dev, path, sizeof path);
	dev->error_node = true;
	rc = store_write(dev->d->store, XBT_NULL, path, "error", "%d %s", abs(rc), dev->error.text);
	if (rc)
		log_debug("%s: cannot write %s/error: %s", dev->id, path, error_name(rc));
}

/* Unless it tells of something worse. */
static void put_trouble(struct device *dev)
{
	char path[STORE_PATH_MAX];
	int rc;

	if (dev->error.text[0] || !dev->trouble.said.text[0])
		return;
	error_path(dev, path, sizeof path);
	dev->error_node = true;
	rc = store_write(dev->d->store, XBT_NULL, path, "error", "%d %s", abs(dev->trouble.rc),
	                 dev->trouble.said.text);
	if (rc)
		log_debug("%s: cannot write %s/error: %s", dev->id, path, error_name(rc));
}

static void remove_node(struct device *dev)
{
	char path[STORE_PATH_MAX];

	if (!dev->error_node)
		return;
	dev->error_node = false;
	error_path(dev, path, sizeof path);
	store_rm(dev->d->store, XBT_NULL, path, NULL);
}

void device_trouble(struct device *dev)
{
	limited(dev, LEVEL_ERROR, dev->trouble.said.text);
	put_trouble(dev);
}

void device_trouble_over(struct device *dev)
{
	if (!dev->error.text[0])
		remove_node(dev);
}

static void fatal(struct device *dev, int rc, const char *text)
{
	error_set(&dev->error, 0, "%s", text);
	dev->fatal = true;
	report(dev, rc);
	upgrade_failed(dev, dev->error.text);
}

void device_fatal(struct device *dev, int rc, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	dev->failed_image = false;
	fatal(dev, rc, text);
}

bool device_fails(struct device *dev, int rc, bool image, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	dev->failed_image = image;
	dev->failed_fingerprint = dev->wanted.fingerprint;
	if (!decide_holds(dev->ours, dev->theirs)) {
		fatal(dev, rc, text);
		return false;
	}
	dev->held = true;
	dev->lacking = false;
	/* What was read of the cause may be long; what to do must fit. */
	error_set(&dev->error, 0,
	          "%.400s; the guest waits: mend the cause, then `xenblkctl recover %s`", text,
	          dev->id);
	report(dev, rc);
	upgrade_failed(dev, dev->error.text);
	return true;
}

void device_lacks(struct device *dev, int rc, const char *text)
{
	struct error now;

	worker_later(dev);
	upgrade_failed(dev, text);
	error_set(&now, 0, "%s; xenblkd tries again%s%s", text, *error_remedy(rc) ? "; " : "",
	          error_remedy(rc));
	/* Of a disk that has failed, the failure is what counts. Each try finds the same. */
	if (dev->fatal || dev->held || (dev->lacking && !strcmp(now.text, dev->error.text)))
		return;
	dev->lacking = true;
	dev->error = now;
	report(dev, rc);
}

void device_lacks_nothing(struct device *dev)
{
	dev->worker.lacks = 0;
	if (!dev->lacking)
		return;
	device_log(dev, "what was short is there again");
	device_recover(dev);
}

void device_stopped(struct device *dev, const char *text)
{
	dev->stopped = true;
	error_set(&dev->error, 0, "%s", text);
	report(dev, -EIO);
}

/* The disk may be what it was then: failed until its front end comes again. */
void device_load_error(struct device *dev)
{
	char path[STORE_PATH_MAX], text[STORE_VALUE_MAX];
	const char *words;

	error_path(dev, path, sizeof path);
	if (store_read(dev->d->store, XBT_NULL, path, "error", text, sizeof text) < 0)
		return;
	dev->error_node = true;
	/* "5 what went wrong" */
	words = text + strspn(text, "0123456789");
	words += *words == ' ';
	if (words != text)
		error_set(&dev->error, 0, "%s", words);
}

void device_recover(struct device *dev)
{
	dev->fatal = dev->failed_image = dev->stopped = dev->held = dev->lacking = false;
	dev->error.text[0] = dev->warned.text[0] = '\0';
	systemd_changed(dev->d);
	remove_node(dev);
	put_trouble(dev);
}

void device_warn(struct device *dev, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	struct error now;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	error_set(&now, 0, "%s", text);
	dev->warning = now;
	/* Each look at the same keys finds the same fault. */
	if (!strcmp(now.text, dev->warned.text))
		return;
	dev->warned = now;
	limited(dev, LEVEL_WARN, now.text);
}

void device_log(struct device *dev, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	limited(dev, LEVEL_INFO, text);
}
