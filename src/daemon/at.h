/* SPDX-License-Identifier: MIT */
/* Files of the run directory, each from its directory's descriptor and without following a link.
 * Descriptors are the caller's; -errno instead of one. */
#ifndef DAEMON_AT_H
#define DAEMON_AT_H

#include <stdio.h>

struct daemon;

#define DISKS_NAME "disks" /* of the directory of the disks' folders */

int at_dir(int at, const char *name);
int at_make_dir(int at, const char *name); /* made unless it is there */
/* A regular file; flags as of open. */
int at_file(int at, const char *name, int flags);
/* The same as a stream, mode "r" or "w" (empties it); NULL and errno. */
FILE *at_stream(int at, const char *name, const char *mode);
int at_disks(const struct daemon *d);
int at_disk(const struct daemon *d, const char *name); /* a disk's folder, by its ID */

#endif
