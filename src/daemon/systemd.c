/* SPDX-License-Identifier: MIT */
/* Tells systemd how we are: datagrams of lines to the socket that it names, see sd_notify(3). The
 * few lines need no library. */
#include "daemon/systemd.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/device.h"

#define STATUS_AFTER_NS NS_PER_S

void systemd_tell(const char *fmt, ...)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	char text[256];
	va_list ap;

	if (len < 2 || len > sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, len);
	/* An abstract one begins with a NUL. */
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || n < 0 || n >= (int)sizeof text ||
	    sendto(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sa,
	           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("cannot tell systemd \"%.20s\": %s", text, error_name(errno));
	if (fd >= 0)
		close(fd);
}

struct counts {
	unsigned connected, failed;
};

static void count(struct device *dev, void *arg)
{
	struct counts *c = arg;

	c->connected += dev->ring == RING_CONNECTED;
	c->failed += dev->error.text[0] != '\0';
}

static void describe(struct daemon *d, char text[SYSTEMD_STATUS_MAX])
{
	struct counts c = {0};
	char failed[48] = "";

	table_each(d, count, &c);
	if (c.failed)
		snprintf(failed, sizeof failed, ", %u failed (xenblkctl list)", c.failed);
	snprintf(text, SYSTEMD_STATUS_MAX, "%u disk%s, %u connected%s", d->nr_devices,
	         d->nr_devices == 1 ? "" : "s", c.connected, failed);
}

static void status_due(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, systemd.status);
	char text[SYSTEMD_STATUS_MAX];

	describe(d, text);
	if (!strcmp(text, d->systemd.said))
		return;
	memcpy(d->systemd.said, text, sizeof text);
	systemd_tell("STATUS=%s", text);
}

static void feed(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, systemd.watchdog);

	systemd_tell("WATCHDOG=1");
	loop_timer_arm(&d->loop, t, d->systemd.watchdog_ns);
}

/* Half of what it waits, see sd_watchdog_enabled(3). 0: it does not watch us. */
static uint64_t watchdog_ns(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t limit, whom;

	if (!us || parse_u64(us, 1, UINT64_MAX / 1000, &limit))
		return 0;
	if (pid && (parse_u64(pid, 0, UINT64_MAX, &whom) || whom != (uint64_t)getpid()))
		return 0;
	return limit * 1000 / 2;
}

void systemd_start(struct daemon *d)
{
	struct systemd *s = &d->systemd;

	describe(d, s->said);
	systemd_tell("READY=1\nSTATUS=%s", s->said);
	s->status.expired = status_due;
	s->watchdog.expired = feed;
	s->watchdog_ns = watchdog_ns();
	if (s->watchdog_ns)
		feed(&s->watchdog);
}

void systemd_changed(struct daemon *d)
{
	if (d->systemd.status.expired && getenv("NOTIFY_SOCKET") &&
	    !timer_armed(&d->systemd.status))
		loop_timer_arm(&d->loop, &d->systemd.status, STATUS_AFTER_NS);
}
