/* SPDX-License-Identifier: MIT */
/* What an open image can do. */
#ifndef STORAGE_FILE_CAPS_H
#define STORAGE_FILE_CAPS_H

#include <sys/stat.h>

#include "storage/file.h"

/* Fills f->base.caps (but for readonly and direct) of the open image. 0 or -errno. */
int file_caps_find(struct file *f, const struct stat *st, const struct storage_target *target,
                   struct error *err);

/* Whether the regular file can be used with O_DIRECT in units of 512 bytes. If not, *why says why
 * (static). Needs f->fd open with O_DIRECT. */
bool file_direct_usable(const struct file *f, const char **why);

#endif
