/* SPDX-License-Identifier: MIT */
/* Under which other names the kernel knows an image: loop devices over it, files below it. For the
 * files of this folder only. */
#ifndef STORAGE_STACK_H
#define STORAGE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define STACK_NAME_MAX 200

/* A loop device over the image that writes, or any, if we do. name: "/dev/loop3". */
bool stack_loop_over(const struct stat *image, bool we_write, char name[STACK_NAME_MAX]);

/* Calls fn with the path and a descriptor (read-only) of each file that the block device stands on,
 * through loop devices, partitions and device mapper, until it returns true. Files that cannot be
 * opened are passed over. True if fn did. */
bool stack_files_below(dev_t rdev, bool (*fn)(const char *path, int fd, void *arg), void *arg);

/* Who uses that block device or one of its partitions, or the device that it is a part of, in words:
 * "it is mounted at /srv", "/dev/sdb1, a part of it, is swap". False: not known. */
bool stack_user(dev_t rdev, char *text, size_t cap);

/* /dev/NAME of a block device, as the kernel calls it. False: it is not there. */
bool stack_node(dev_t rdev, char *path, size_t cap);

#endif
