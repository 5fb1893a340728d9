/* SPDX-License-Identifier: MIT */
/* The supervisor's files. It runs as root, so a name must not lead it elsewhere: each is opened
 * from the descriptor of its directory, and no link is followed. */
#include "daemon/at.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/device.h"

int at_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int at_make_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0700) && errno != EEXIST)
		return -errno;
	return at_dir(at, name);
}

int at_file(int at, const char *name, int flags)
{
	/* Nor is a pipe waited for. */
	int fd = openat(at, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

FILE *at_stream(int at, const char *name, const char *mode)
{
	int fd = at_file(at, name, mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY);
	FILE *f = fd < 0 ? NULL : fdopen(fd, mode);

	if (fd < 0)
		errno = -fd;
	else if (!f)
		close(fd);
	return f;
}

int at_disks(const struct daemon *d)
{
	return at_dir(d->run_fd, DISKS_NAME);
}

int at_disk(const struct daemon *d, const char *name)
{
	int disks = at_disks(d), fd;

	if (disks < 0)
		return disks;
	fd = at_dir(disks, name);
	close(disks);
	return fd;
}
