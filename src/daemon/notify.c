/* SPDX-License-Identifier: MIT */
/* Tells systemd how we are: a datagram of lines to the socket that it names, see sd_notify(3). The
 * few lines need no library. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/daemon.h"

void notify(const char *fmt, ...)
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
