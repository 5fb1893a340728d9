/* SPDX-License-Identifier: MIT */
/* The file engine's control half: one open file description, its fence, clean caches. */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/claim.h"
#include "storage/file_caps.h"
#include "storage/file_io.h"
#include "storage/lost.h"
#include "storage/open.h"
#include "storage/short.h"

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
	if (!spec->after_death)
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

/* The claim has the disk that was claimed; another one may stand behind the device's number by now.
 */
static int check_same(const struct file *f, const struct storage_spec *spec, struct error *err)
{
	struct storage_identity claimed, opened;
	char buf[STORAGE_SHORT_MAX];
	int rc;

	if (!f->block)
		return 0;
	rc = claim_identify(spec->fd, &claimed);
	if (!rc)
		rc = claim_identify(f->fd, &opened);
	if (!rc && claimed.ino == opened.ino)
		return 0;
	return error_set(err, rc ?: -ESTALE,
	                 "block device %s is gone, another disk has its number now; detach the "
	                 "disk, then attach it again",
	                 storage_short(buf, spec->target.path));
}

/* Opens with O_DIRECT where the file system knows it. */
static int open_image(struct file *f, const struct storage_spec *spec, struct error *err)
{
	int flags = spec->readonly ? O_RDONLY : O_RDWR;

	f->fd = file_reopen(spec->fd, flags | O_DIRECT);
	f->base.caps.direct = f->fd >= 0;
	if (f->fd == -EINVAL)
		f->fd = file_reopen(spec->fd, flags);
	if (f->fd >= 0)
		return check_same(f, spec, err);
	int rc = f->fd;
	f->fd = -1;
	return file_open_error(rc, spec->target.path, spec->fd, f->block, spec->readonly, err);
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

static int wait_fence(const struct file *f, const struct storage_spec *spec, struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	int rc;

	if (spec->fencing)
		__atomic_store_n(spec->fencing, true, __ATOMIC_RELAXED);
	rc = claim_fence(f->fd, spec->shared, spec->owner, storage_short(buf, spec->target.path),
	                 err);
	if (spec->fencing)
		__atomic_store_n(spec->fencing, false, __ATOMIC_RELAXED);
	return rc;
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
	if ((rc = open_image(f, spec, err)))
		goto out;
	/* Who only reads leaves nothing behind that others would have to wait for. */
	if (!spec->readonly && (rc = wait_fence(f, spec, err)))
		goto out;
	if (f->block && !spec->readonly && (rc = file_device_writable(f->fd, path, err)))
		goto out;
	if ((rc = clean_caches(f, spec, err)))
		goto out;
	/* Only now: before the fence was ours, an earlier worker may have changed the size. */
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
