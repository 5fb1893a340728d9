/* SPDX-License-Identifier: MIT */
/* The parts of the file engine: opening, capabilities, I/O, discards. */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include <sys/stat.h>

#include "storage/discard.h"
#include "storage/engine.h"

/* Control thread; constant after open. */
struct file {
	struct storage base;
	int fd; /* the only description that I/O goes through; it carries the fence */
	bool block;
	struct discard_turns turns; /* of the queues' helpers */
};

/* The data thread that opened it. */
struct file_queue {
	struct storage_queue base;
	int fd;
	struct discard discard; /* in use if caps.discard */
};

/* Fills f->base.caps (but for readonly and direct) of the open image. 0 or -errno. */
int file_caps_find(struct file *f, const struct stat *st, const struct storage_target *target,
                   struct error *err);

/* Whether the regular file can be used with O_DIRECT in units of 512 bytes. If not, *why says why
 * (static). Needs f->fd open with O_DIRECT. */
bool file_direct_usable(const struct file *f, const char **why);

/* An O_PATH descriptor of the target's image, which exists, is a regular file or block device and
 * can serve as a disk, as far as that is to be seen without opening it. *st is what it is. 0 or
 * -errno with *err. */
int file_resolve(const struct storage_target *target, int *fd, struct stat *st, struct error *err);

/* Opens what fd is a descriptor of: whatever stands at its path now. A descriptor, or -errno. */
int file_reopen(int fd, int flags);

/* The text for a descriptor that could not be opened, with rc. fd: of the image, for a look. */
int file_open_error(int rc, const char *path, int fd, bool block, bool readonly, struct error *err);

/* Whether the block device is writable; else -EROFS with *err. */
int file_device_writable(int fd, const char *path, struct error *err);

/* Whether a regular file's size can be a disk's that nobody uses yet. 0 or -EINVAL. */
int file_size_check(uint64_t size, const char *path, struct error *err);

/* The data calls of the engine. */
int file_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                    struct error *err);
void file_queue_close(struct storage_queue *q);
void file_submit(struct storage_queue *q, struct storage_io *io);

#endif
