/* SPDX-License-Identifier: MIT */
/* What xenblkctl prints for people. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>

#include "xen/platform.h"

/* Puts an array of disks ("id": "7:xvda") in order: by domain, then by device. */
void sort_disks(json_t *disks);

/* The control socket's results, on stdout. */
void show_list(json_t *disks);
void show_status(json_t *disk);
void show_stats(json_t *stats);
void show_usage(const struct xen_usage *usage);
json_t *usage_json(const struct xen_usage *usage); /* NULL: no memory */

/* "64 MiB", "1.5 GiB", "512 bytes". text has SIZE_TEXT_MAX bytes. */
#define SIZE_TEXT_MAX 32
void size_text(uint64_t bytes, char *text);

/* "1:xvda attached: /path (64 MiB, read-write)" */
void show_attached(const char *id, const char *target, json_t *status);

#endif
