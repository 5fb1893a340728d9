/* SPDX-License-Identifier: MIT */
/* The file engine's control half: one open file description, its lock, clean caches. */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/lost.h"

/* udev locks a block device (shared) while it looks at it: no reason to refuse the disk. */
#define PROBER_TRIES 50
#define PROBER_WAIT_NS 20000000

/* Bytes of the image from here on, beyond any data: one per disk that shares it. */
#define OWNER_BASE (1ull << 62)

/* Through the checked descriptor: whatever stands at the path now. */
static int reopen(int fd, int flags)
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

static int open_error(int rc, const struct storage_spec *spec, bool block, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, spec->target.path);
	const char *how = spec->readonly ? "reading" : "reading and writing";

	if (block && !spec->readonly) {
		int fd = reopen(spec->fd, O_RDONLY);
		bool ro = fd >= 0 && device_readonly(fd);
		if (fd >= 0)
			close(fd);
		if (ro)
			return readonly_error(name, err);
	}
	switch (rc) {
	case -EACCES:
	case -EPERM:
		return error_set(err, rc,
		                 "image %s: permission denied to open it for %s; give this user "
		                 "access (chmod, setfacl, chattr -i)%s",
		                 name, how, spec->readonly ? "" : " or attach it with mode r");
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

static int busy_error(const char *name, struct error *err)
{
	return error_set(err, -EBUSY,
	                 "image %s is in use by another process (its lock is held); "
	                 "detach it there first, or share it with mode w!",
	                 name);
}

/* Among writers that share the image, the same disk writes once: like the image's own lock, this
 * one is held until the last operation of a dead worker is done. */
static int take_owner_lock(const struct file *f, const struct storage_spec *spec, const char *name,
                           struct error *err)
{
	struct flock byte = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = (off_t)(OWNER_BASE + spec->owner),
	                     .l_len = 1};

	while (fcntl(f->fd, spec->wait_lock ? F_OFD_SETLKW : F_OFD_SETLK, &byte)) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EACCES)
			return busy_error(name, err);
		return error_set(err, -errno, "image %s cannot be locked: %s; check its storage",
		                 name, error_name(errno));
	}
	return 0;
}

static int take_lock(const struct file *f, const struct storage_spec *spec, struct error *err)
{
	int op = spec->readonly || spec->shared ? LOCK_SH : LOCK_EX;
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, spec->target.path);

	if (!spec->wait_lock)
		op |= LOCK_NB;
	for (int tries = 0; flock(f->fd, op);) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return error_set(err, -errno,
			                 "image %s cannot be locked: %s; check its storage", name,
			                 error_name(errno));
		if (!f->block || ++tries == PROBER_TRIES)
			return busy_error(name, err);
		nanosleep(&(struct timespec){.tv_nsec = PROBER_WAIT_NS}, NULL);
	}
	if (spec->shared && !spec->readonly && spec->owner)
		return take_owner_lock(f, spec, name, err);
	return 0;
}

/* Flushes what was written to the image before. The kernel tells each descriptor only once what the
 * page cache lost, and with this call we have been told. After a death that was the promise of the
 * dead owner, to whose front end it is passed on; else nobody knows whose it was. */
static int flush_cache(struct file *f, const struct storage_spec *spec, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, spec->target.path);

	/* Others: a descriptor or file system that has nothing to flush. */
	if (!fdatasync(f->fd) || errno == EBADF || errno == EROFS || errno == EINVAL)
		return 0;
	if (!spec->wait_lock)
		return error_set(err, -errno,
		                 "image %s: what was written to it before could not be flushed and "
		                 "may be lost: %s; check its storage and what is in it, then "
		                 "attach it again",
		                 name, error_name(errno));
	log_error("image %s: what was written to it before could not be flushed and may be lost: "
	          "%s; the front end's next flush fails; check its storage",
	          name, error_name(errno));
	if (spec->lost && !spec->readonly)
		lost_note(spec->lost);
	return 0;
}

/* What others wrote through the page cache must be on the disk, and what they read must not stay
 * there: our direct I/O goes past it. */
static int clean_caches(struct file *f, const struct storage_spec *spec, struct error *err)
{
	int rc = flush_cache(f, spec, err);

	if (rc)
		return rc;
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	/* Needs CAP_SYS_ADMIN; drops also what is mapped. Without it the above has to do. */
	if (f->block)
		ioctl(f->fd, BLKFLSBUF, 0);
	return 0;
}

/* Opens with O_DIRECT where the file system knows it. */
static int open_image(struct file *f, const struct storage_spec *spec, struct error *err)
{
	int flags = spec->readonly ? O_RDONLY : O_RDWR;

	f->fd = reopen(spec->fd, flags | O_DIRECT);
	f->base.caps.direct = f->fd >= 0;
	if (f->fd == -EINVAL)
		f->fd = reopen(spec->fd, flags);
	if (f->fd >= 0)
		return 0;
	int rc = f->fd;
	f->fd = -1;
	return open_error(rc, spec, f->block, err);
}

/* Turns O_DIRECT off again where it would ask more of the guest than sectors of 512 bytes. */
static int settle_direct(struct file *f, const char *path, struct error *err)
{
	const char *why = "its file system has no direct I/O";
	char buf[STORAGE_SHORT_MAX];

	if (f->base.caps.direct) {
		if (f->block || file_direct_usable(f, &why))
			return 0;
		int flags = fcntl(f->fd, F_GETFL);
		if (flags < 0 || fcntl(f->fd, F_SETFL, flags & ~O_DIRECT))
			return error_set(err, -errno,
			                 "image %s: direct I/O cannot be turned off: %s; "
			                 "move it to another file system",
			                 storage_short(buf, path), error_name(errno));
		f->base.caps.direct = false;
	}
	log_warn("image %s: buffered I/O, because %s", path, why);
	return 0;
}

static void file_close(struct storage *s)
{
	struct file *f = container_of(s, struct file, base);

	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static int file_open(const struct storage_spec *spec, struct storage **out, struct error *err)
{
	const char *path = spec->target.path;
	struct file *f = calloc(1, sizeof *f);
	char buf[STORAGE_SHORT_MAX];
	struct stat st;
	int rc;

	if (!f)
		return error_set(err, -ENOMEM, "cannot open image %s: out of memory",
		                 storage_short(buf, path));
	f->fd = -1;
	f->turns = (struct discard_turns)DISCARD_TURNS_INIT;
	if (fstat(spec->fd, &st)) {
		rc = error_set(err, -errno, "image %s: its descriptor is bad: %s; resolve it first",
		               storage_short(buf, path), error_name(errno));
		goto out;
	}
	f->block = S_ISBLK(st.st_mode);
	f->base.caps.readonly = spec->readonly;
	f->base.lost = spec->lost;
	if ((rc = open_image(f, spec, err)) || (rc = take_lock(f, spec, err)))
		goto out;
	if (f->block && !spec->readonly && device_readonly(f->fd)) {
		rc = readonly_error(storage_short(buf, path), err);
		goto out;
	}
	if ((rc = clean_caches(f, spec, err)))
		goto out;
	/* Only now: before the lock was ours, its owner may have changed the size. */
	if (fstat(f->fd, &st)) {
		rc = error_set(err, -errno, "image %s: %s; check its file system",
		               storage_short(buf, path), error_name(errno));
		goto out;
	}
	if ((rc = file_caps_find(f, &st, &spec->target, err)))
		goto out;
	rc = settle_direct(f, path, err);
out:
	if (rc)
		file_close(&f->base);
	else
		*out = &f->base;
	return rc;
}

static int file_size(struct storage *s, uint64_t *size, struct error *err)
{
	struct file *f = container_of(s, struct file, base);
	struct stat st;

	if (f->block ? ioctl(f->fd, BLKGETSIZE64, size) : fstat(f->fd, &st))
		return error_set(err, -errno, "the image's size cannot be read: %s",
		                 error_name(errno));
	if (!f->block)
		*size = (uint64_t)st.st_size;
	return 0;
}

const struct storage_ops storage_file_ops = {
    .open = file_open,
    .queue_open = file_queue_open,
    .submit = file_submit,
    .queue_close = file_queue_close,
    .size = file_size,
    .close = file_close,
};
