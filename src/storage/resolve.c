/* SPDX-License-Identifier: MIT */
/* What can be known of an image without opening it. */
#include "storage/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "storage/short.h"

static int open_error(int rc, const char *path, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, path);

	switch (rc) {
	case -ENOENT:
		return error_set(err, rc,
		                 "no such image: %s does not exist; correct the path, or create it "
		                 "with truncate -s SIZE",
		                 name);
	case -EACCES:
		return error_set(err, rc,
		                 "image %s: permission denied; allow this user to search every "
		                 "directory on the way (chmod +x)",
		                 name);
	case -ENOTDIR:
		return error_set(err, rc,
		                 "no such image: a part of %s is not a directory; correct the path",
		                 name);
	case -ELOOP:
		return error_set(
		    err, rc, "image %s: the symbolic links run in a circle; correct them", name);
	default:
		return error_set(err, rc, "image %s cannot be looked up: %s%s", name,
		                 error_name(rc), error_is_transient(rc) ? "" : "; check the path");
	}
}

/* What a file of that mode is called, if it cannot be a disk; else NULL. */
static const char *unfit_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFBLK:
		return NULL;
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a fifo";
	case S_IFSOCK:
		return "a socket";
	default:
		return "of an unknown type";
	}
}

int file_size_check(uint64_t size, const char *path, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, path);

	if (!size)
		return error_set(err, -EINVAL,
		                 "image %s is empty; give it a size, as in truncate -s 10G", name);
	if (size % 512)
		return error_set(err, -EINVAL,
		                 "image %s has %llu bytes, no multiple of the sector's 512; round "
		                 "it up with truncate -s %llu",
		                 name, (unsigned long long)size,
		                 (unsigned long long)(size - size % 512 + 512));
	return 0;
}

static int check(const struct stat *st, const struct storage_target *target, struct error *err)
{
	const char *path = target->path;
	char buf[STORAGE_SHORT_MAX];
	const char *kind = unfit_kind(st->st_mode);

	if (kind)
		return error_set(err, S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL,
		                 "image %s is %s; give a regular file or a block device",
		                 storage_short(buf, path), kind);
	if (target->rdev && (!S_ISBLK(st->st_mode) || st->st_rdev != target->rdev))
		return error_set(err, -ENODEV, "physical-device %x:%x: %s is another device",
		                 major(target->rdev), minor(target->rdev),
		                 storage_short(buf, path));
	/* A block device tells its size only to those who open it. */
	if (!S_ISREG(st->st_mode) || target->size)
		return 0;
	return file_size_check((uint64_t)st->st_size, path, err);
}

int file_resolve(const struct storage_target *target, int *fd, struct stat *st, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	int rc;

	*fd = -1;
	int found = open(target->path, O_PATH | O_CLOEXEC);
	if (found < 0)
		return open_error(-errno, target->path, err);
	if (fstat(found, st))
		rc = error_set(err, -errno, "image %s: %s%s", storage_short(buf, target->path),
		               error_name(errno),
		               error_is_transient(errno) ? "" : "; check its file system");
	else
		rc = check(st, target, err);
	if (rc)
		close(found);
	else
		*fd = found;
	return rc;
}
