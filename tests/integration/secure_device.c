/* SPDX-License-Identifier: MIT */
/* For a worker whose block devices know secure discards, which no device of a test does: the call
 * is made, as the sandbox must allow it, and then done by a plain one, with a line in the log. */
#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	uint64_t *range;
	int rc;

	va_start(args, request);
	range = va_arg(args, uint64_t *);
	va_end(args);
	rc = (int)syscall(SYS_ioctl, fd, request, range);
	if (request != BLKSECDISCARD || !rc || errno != EOPNOTSUPP)
		return rc;
	if (!range[1]) { /* somebody asks whether it is known */
		errno = EINVAL;
		return -1;
	}
	dprintf(STDERR_FILENO, "secure discard of %llu at %llu\n", (unsigned long long)range[1],
	        (unsigned long long)range[0]);
	return (int)syscall(SYS_ioctl, fd, BLKDISCARD, range);
}
