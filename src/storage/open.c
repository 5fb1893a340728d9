/* SPDX-License-Identifier: MIT */
/* Opening an image that is known already, and why that can fail. */
#include "storage/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "storage/short.h"

int file_reopen(int fd, int flags)
{
	char link[40];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	int n = open(link, flags | O_CLOEXEC);
	return n < 0 ? -errno : n;
}

/* Whether the block device itself is read-only, which open reports as one of several errors. */
static bool device_readonly(int fd)
{
	int ro = 0;

	return !ioctl(fd, BLKROGET, &ro) && ro;
}

static int readonly_error(const char *name, struct error *err)
{
	return error_set(err, -EROFS,
	                 "block device %s is read-only; attach the disk with mode r, or make the "
	                 "device writable (blockdev --setrw)",
	                 name);
}

int file_device_writable(int fd, const char *path, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];

	return device_readonly(fd) ? readonly_error(storage_short(buf, path), err) : 0;
}

int file_open_error(int rc, const char *path, int fd, bool block, bool readonly, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, path);
	const char *how = readonly ? "reading" : "reading and writing";

	if (block && !readonly) {
		int look = file_reopen(fd, O_RDONLY);
		bool ro = look >= 0 && device_readonly(look);
		if (look >= 0)
			close(look);
		if (ro)
			return readonly_error(name, err);
	}
	switch (rc) {
	case -EACCES:
	case -EPERM:
		return error_set(err, rc,
		                 "image %s: permission denied to open it for %s; give this user "
		                 "access (chmod, setfacl, chattr -i)%s",
		                 name, how, readonly ? "" : " or attach it with mode r");
	case -EROFS:
		return error_set(
		    err, rc,
		    "image %s is on a read-only file system; attach it with mode r, or "
		    "remount that",
		    name);
	case -ENOMEDIUM:
		return error_set(err, rc, "block device %s has no medium; insert one", name);
	case -ENXIO:
	case -ENODEV:
		return error_set(
		    err, rc, "block device %s does not exist (any more); set it up first", name);
	default:
		return error_set(err, rc, "image %s cannot be opened for %s: %s; check its storage",
		                 name, how, error_name(rc));
	}
}
