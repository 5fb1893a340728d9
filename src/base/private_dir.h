/* SPDX-License-Identifier: MIT */
/* A directory that only we can change: what is found in it is then what we put there. */
#ifndef BASE_PRIVATE_DIR_H
#define BASE_PRIVATE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* What lets somebody but `us` and root change what is in a directory, as the end of a sentence that
 * begins with its name; NULL: nothing does. last: it is the directory itself, which must be `us`'s,
 * and not one above it, which may be root's, and sticky. Pure. */
const char *private_flaw(const struct stat *st, uid_t us, bool last);

/*
 * Makes `path` (with those above it) unless it is there, and refuses it unless it is the effective
 * user's, not a symbolic link, and neither it nor one above can be changed by others. Its mode is
 * 0700 then. real: its absolute path, of at most cap bytes with the NUL (-ENAMETOOLONG). Returns a
 * descriptor (O_DIRECTORY), the caller's, or -errno with *err saying whose it is and what to do.
 * Any thread.
 */
int private_dir(const char *path, char *real, size_t cap, struct error *err);

#endif
