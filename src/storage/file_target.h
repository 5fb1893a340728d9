/* SPDX-License-Identifier: MIT */
/* A TARGET that names a file or block device. */
#ifndef STORAGE_FILE_TARGET_H
#define STORAGE_FILE_TARGET_H

#include "base/error.h"
#include "storage/target.h"

/* As the parse of storage/engine.h. */
int file_target_parse(const char *text, const char *path, struct storage_target *out,
                      struct error *err);

#endif
