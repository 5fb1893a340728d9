/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: settings of all disks and of single ones. Lines of "name = value" below
 * "[defaults]" or "[disk 7:xvda]" or "[disk /srv/disk.img]" (the disk's ID, or its image as the
 * toolstack named it); # begins a comment. Read at start, and again at SIGHUP.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "daemon/settings.h"

struct config;

/* path NULL: an empty one. *defaults: changed by [defaults]. 0 or -errno with *err naming the line.
 */
int config_load(const char *path, struct settings *defaults, struct config **out,
                struct error *err);
void config_free(struct config *c); /* NULL is fine */
/* Changes *s by the sections of that disk, in their order. image: as in the key params, with or
 * without a format in front of it ("raw:"). */
void config_apply(const struct config *c, const char *id, const char *image, struct settings *s);

#endif
