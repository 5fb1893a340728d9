/* SPDX-License-Identifier: MIT */
/* Byte locks of open file descriptions. */
#include "storage/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

static struct flock lock_of(uint64_t first, uint64_t length, bool write)
{
	return (struct flock){.l_type = write ? F_WRLCK : F_RDLCK,
	                      .l_whence = SEEK_SET,
	                      .l_start = (off_t)first,
	                      .l_len = (off_t)length};
}

int locks_take_many(int fd, uint64_t first, uint64_t length, bool write, bool wait)
{
	struct flock l = lock_of(first, length, write);

	while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l)) {
		if (errno == EINTR)
			continue;
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	}
	return 0;
}

int locks_take(int fd, uint64_t byte, bool write, bool wait)
{
	return locks_take_many(fd, byte, 1, write, wait);
}

int locks_leave(int fd, uint64_t byte)
{
	struct flock l = lock_of(byte, 1, false);

	l.l_type = F_UNLCK;
	return fcntl(fd, F_OFD_SETLK, &l) ? -errno : 0;
}

bool locks_met(int fd, uint64_t first, uint64_t length, bool write, uint64_t *byte)
{
	struct flock l = lock_of(first, length, write);

	if (!length || fcntl(fd, F_OFD_GETLK, &l) || l.l_type == F_UNLCK)
		return false;
	if (byte)
		*byte = (uint64_t)l.l_start > first ? (uint64_t)l.l_start : first;
	return true;
}

bool locks_met_disk(int fd, enum locks_range range, uint64_t owner, bool write, uint64_t *other)
{
	uint64_t first = locks_disk(range, 0), byte;

	if (!locks_met(fd, first, owner, write, &byte) &&
	    !locks_met(fd, first + owner + 1, LOCKS_SPAN - owner - 1, write, &byte))
		return false;
	if (other)
		*other = byte - first;
	return true;
}
