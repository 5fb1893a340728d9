/* SPDX-License-Identifier: MIT */
/* What an open image can do: sizes, alignment, discard. */
#include "storage/file_caps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "storage/resolve.h"
#include "storage/short.h"

/* Linux 6.1; C libraries and headers know it later, so the words are counted here. */
#define ASK_DIOALIGN 0x2000u
#define WORD_MASK 0        /* stx_mask */
#define WORD_MEM_ALIGN 38  /* stx_dio_mem_align */
#define WORD_FILE_ALIGN 39 /* stx_dio_offset_align */

/* storage.h: buffers are aligned so */
#define BUFFER_ALIGN 4096

bool file_direct_usable(const struct file *f, const char **why)
{
	union {
		struct statx sx;
		uint32_t word[64];
	} u = {0};

	*why = "its file system asks for larger or stricter blocks than 512 bytes";
	if (!statx(f->fd, "", AT_EMPTY_PATH, ASK_DIOALIGN, &u.sx) &&
	    u.word[WORD_MASK] & ASK_DIOALIGN) {
		uint32_t file_align = u.word[WORD_FILE_ALIGN];
		if (!file_align)
			*why = "its file system has no direct I/O for it";
		return file_align && file_align <= 512 && u.word[WORD_MEM_ALIGN] <= BUFFER_ALIGN;
	}
	/* An older kernel: try. */
	char sector[512 + BUFFER_ALIGN];
	char *buf = sector + (BUFFER_ALIGN - (uintptr_t)sector % BUFFER_ALIGN) % BUFFER_ALIGN;
	return pread(f->fd, buf, 512, 0) >= 0 || errno != EINVAL;
}

/* A number in the device's folder under /sys, or 0. */
static uint64_t sys_number(const struct stat *st, const char *name)
{
	char path[128], text[32];
	uint64_t v = 0;

	snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s", major(st->st_rdev),
	         minor(st->st_rdev), name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n > 0) {
		text[n] = 0;
		text[strcspn(text, "\n")] = 0;
		parse_u64(text, 0, UINT64_MAX, &v);
	}
	return v;
}

/* The same of the whole disk, if the device is a partition of it. */
static uint64_t disk_number(const struct stat *st, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "%s%s", sys_number(st, "partition") ? "../" : "", name);
	return sys_number(st, path);
}

static uint32_t clamp32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* /sys has no word about it, so the device is asked for a range that none can have: it says EINVAL
 * if it knows the operation, and EOPNOTSUPP before it looks at the range if not. Nothing is erased:
 * the range is empty, and every kernel that has the call refuses a first byte within a sector. One
 * before 5.19 looks for discards in general; there the first secure discard withdraws the offer. */
static bool secure_discard_known(int fd)
{
	uint64_t range[2] = {1, 0};

	return ioctl(fd, BLKSECDISCARD, range) && errno == EINVAL;
}

static void device_discard_caps(const struct file *f, const struct stat *st,
                                struct storage_caps *caps)
{
	caps->discard = !caps->readonly && disk_number(st, "queue/discard_max_bytes");
	if (!caps->discard)
		return;
	caps->discard_secure = secure_discard_known(f->fd);
	caps->discard_granularity = clamp32(disk_number(st, "queue/discard_granularity"));
	if (caps->discard_granularity < caps->logical_block)
		caps->discard_granularity = caps->logical_block;
	/* A partition has its own. */
	caps->discard_alignment = clamp32(sys_number(st, "discard_alignment"));
}

/* Of a disk in use: what storage_resize would have made of it. logical_block is known. */
static void settle_size(struct storage_caps *caps, const struct storage_target *target)
{
	caps->size -= caps->size % caps->logical_block;
	if (caps->size || !target->size)
		return;
	caps->size = target->size - target->size % caps->logical_block;
	log_warn("image %s has size 0 now; the disk keeps the size of %llu bytes", target->path,
	         (unsigned long long)caps->size);
}

static int device_caps(const struct file *f, const struct stat *st,
                       const struct storage_target *target, struct storage_caps *caps,
                       struct error *err)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, target->path);
	unsigned physical = 0;
	int logical = 0;

	if (ioctl(f->fd, BLKSSZGET, &logical) || ioctl(f->fd, BLKGETSIZE64, &caps->size))
		return error_set(err, -errno,
		                 "block device %s does not tell its size: %s; check it", name,
		                 error_name(errno));
	if (logical < 512 || logical > 4096 || logical & (logical - 1))
		return error_set(
		    err, -ENOTSUP,
		    "block device %s has blocks of %d bytes; only 512 to 4096 are possible", name,
		    logical);
	caps->logical_block = (uint32_t)logical;
	settle_size(caps, target);
	if (!caps->size)
		return error_set(err, -EINVAL,
		                 "block device %s has size 0; set it up or insert a medium first",
		                 name);
	if (ioctl(f->fd, BLKPBSZGET, &physical) || physical < caps->logical_block)
		physical = caps->logical_block;
	caps->physical_block = physical;
	caps->rotational = disk_number(st, "queue/rotational");
	caps->removable = disk_number(st, "removable");
	caps->cdrom = ioctl(f->fd, CDROM_GET_CAPABILITY, 0) >= 0;
	caps->major = major(st->st_rdev);
	caps->minor = minor(st->st_rdev);
	caps->diskseq = disk_number(st, "diskseq");
	device_discard_caps(f, st, caps);
	return 0;
}

static int regular_caps(const struct file *f, const struct stat *st,
                        const struct storage_target *target, struct storage_caps *caps,
                        struct error *err)
{
	uint32_t block = (uint32_t)st->st_blksize;
	int rc = target->size ? 0 : file_size_check((uint64_t)st->st_size, target->path, err);

	if (rc)
		return rc;
	if (block < 512 || block & (block - 1))
		block = 4096;
	caps->size = (uint64_t)st->st_size;
	caps->logical_block = 512;
	settle_size(caps, target);
	if (!caps->size)
		return error_set(err, -EINVAL, "the size that the disk had is none");
	/* A hint: smaller writes make the file system work harder. */
	caps->physical_block = block < 4096 ? block : 4096;
	/* Whether the file system makes holes, only making one tells, and an image is not for
	 * trying: another process may be writing what would become the hole. The first discard that
	 * fails with EOPNOTSUPP withdraws the offer. */
	caps->discard = !caps->readonly;
	caps->discard_granularity = caps->discard ? block : 0;
	return 0;
}

int file_caps_find(struct file *f, const struct stat *st, const struct storage_target *target,
                   struct error *err)
{
	struct storage_caps *caps = &f->base.caps;

	caps->flush = true;
	return f->block ? device_caps(f, st, target, caps, err)
	                : regular_caps(f, st, target, caps, err);
}
