/* SPDX-License-Identifier: MIT */
/* What can be known of an image without opening it. */
#ifndef STORAGE_RESOLVE_H
#define STORAGE_RESOLVE_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "storage/target.h"

/* An O_PATH descriptor of the target's image, which exists, is a regular file or block device and
 * can serve as a disk, as far as that is to be seen without opening it. *st is what it is. 0 or
 * -errno with *err. */
int file_resolve(const struct storage_target *target, int *fd, struct stat *st, struct error *err);

/* Whether a regular file's size can be a disk's that nobody uses yet. 0 or -EINVAL. */
int file_size_check(uint64_t size, const char *path, struct error *err);

#endif
