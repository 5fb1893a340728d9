/* SPDX-License-Identifier: MIT */
/*
 * Which processes are workers of a disk: by number and start time, so that a number that was given
 * to another process since is none. Two lines of fixed length in a file of the disk's folder, which
 * has its room from the start: a full run directory does not keep a worker from being replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/at.h"
#include "daemon/device.h"

#define LINE_BYTES (RECORD_BYTES / 2)

/* In the kernel's clock ticks since boot. 0 or -errno. */
static int start_time(pid_t pid, unsigned long long *start)
{
	char path[40], text[1024];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	int rc = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (rc)
		return rc;
	text[n] = '\0';
	/* After its name, which may have anything in it: the third field and on. */
	char *field = strrchr(text, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	*start = field ? strtoull(field, NULL, 10) : 0;
	return *start ? 0 : -ESRCH;
}

static int record_open(const struct daemon *d, const char *name, int flags)
{
	int dir = at_disk(d, name), fd;

	if (dir < 0)
		return dir;
	fd = at_file(dir, RECORD_NAME, flags);
	close(dir);
	return fd;
}

int record_set(struct device *dev, enum record_line line, pid_t pid)
{
	unsigned long long start = 0;
	char text[LINE_BYTES + 1];
	int rc = pid ? start_time(pid, &start) : 0;
	int fd = rc ? rc : record_open(dev->d, dev->id, O_WRONLY);

	if (fd < 0)
		return fd;
	int n = snprintf(text, sizeof text, "%d %llu", (int)pid, start);
	memset(text + n, ' ', LINE_BYTES - (size_t)n);
	text[LINE_BYTES - 1] = '\n';
	if (pwrite(fd, text, LINE_BYTES, (off_t)line * LINE_BYTES) != LINE_BYTES)
		rc = errno ? -errno : -EIO;
	close(fd);
	return rc;
}

/* All its threads, that is: a process without its leader looks like a zombie, but lives. */
static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static int shortage(int rc)
{
	return error_is_transient(rc) ? rc : 0;
}

pid_t record_find(const struct daemon *d, const char *name, enum record_line line, int *pidfd)
{
	unsigned long long noted = 0, start;
	char text[LINE_BYTES + 1] = "";
	int fd = record_open(d, name, O_RDONLY), pid = 0, rc;

	if (fd < 0)
		return shortage(fd);
	if (pread(fd, text, LINE_BYTES, (off_t)line * LINE_BYTES) < 0 ||
	    sscanf(text, "%d %llu", &pid, &noted) != 2)
		pid = 0;
	close(fd);
	if (pid <= 0)
		return 0;
	/* Opened first: what is looked at then is what the descriptor stands for. */
	*pidfd = pidfd_open(pid, 0);
	if (*pidfd < 0)
		return shortage(-errno);
	rc = start_time(pid, &start);
	if (!rc && start == noted && !has_ended(*pidfd))
		return pid;
	close(*pidfd);
	return shortage(rc);
}
