/* SPDX-License-Identifier: MIT */
/*
 * Where tests put files. tests/run gives each test two directories and removes them, however the
 * test ends; a test that is run by hand cleans up itself, if it can.
 */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>

/* For sockets and run directories: a short path, perhaps in memory. */
static inline const char *scratch_dir(void)
{
	return getenv("TMPDIR") ?: "/tmp";
}

/* For images: a file system on a disk, with direct I/O where there is any. */
static inline const char *scratch_disk_dir(void)
{
	return getenv("TEST_DISK_DIR") ?: "/var/tmp";
}

/* A name, or a template for mkdtemp and mkstemp, in the first of them. Returns out. */
static inline char *scratch_path(char *out, size_t cap, const char *name)
{
	snprintf(out, cap, "%s/%s", scratch_dir(), name);
	return out;
}

#endif
