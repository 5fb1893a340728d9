/* SPDX-License-Identifier: MIT */
/* Opening an image that is known already, and why that can fail. */
#ifndef STORAGE_OPEN_H
#define STORAGE_OPEN_H

#include <stdbool.h>

#include "base/error.h"

/* Opens what fd is a descriptor of: whatever stands at its path now. A descriptor, or -errno. */
int file_reopen(int fd, int flags);

/* The text for a descriptor that could not be opened, with rc. fd: of the image, for a look. */
int file_open_error(int rc, const char *path, int fd, bool block, bool readonly, struct error *err);

/* Whether the block device is writable; else -EROFS with *err. */
int file_device_writable(int fd, const char *path, struct error *err);

#endif
