/* SPDX-License-Identifier: MIT */
/* From a TARGET to an open image, whatever engine that takes. */
#ifndef STORAGE_ENGINES_H
#define STORAGE_ENGINES_H

#include "storage/storage.h"

/*
 * "/path", "aio:/path", "raw:/path", "phy:/path", "null:SIZE". A leading "aio:" (libxl's prefix for
 * raw) is stripped before anything else. 0; -EINVAL: not understood, -ENOTSUP: a known scheme
 * (qcow2, vhd, nbd, nbd+unix, rbd) that is not built in; *err names the text and what would do.
 */
int storage_target_parse(const char *text, struct storage_target *out, struct error *err);

/*
 * Opens through the claim, waits for the fence without limit, flushes and drops the page cache,
 * finds the capabilities. What cannot be flushed is an error, or, after a death, the matter of
 * storage_submit. Changes nothing in the image, whatever its size is and whoever else writes to it.
 * O_DIRECT, or buffered with a log line saying why. 0 or -errno with *err.
 */
int storage_open(const struct storage_spec *spec, struct storage **out, struct error *err);

#endif
