/* SPDX-License-Identifier: MIT */
/* What a user may set for all disks (command line) and for one (configuration file): one table of
 * names, limits and meanings. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <stdint.h>

#include "base/error.h"

/* Plain numbers, all of them: see the table in settings.c for units and limits. */
struct settings {
	uint32_t max_queues, max_indirect_segments;
	uint32_t persistent, max_persistent_grants, persistent_idle_seconds;
	uint32_t sector_size;  /* enum sector_size */
	uint32_t sector_units; /* enum sector_units */
};

enum sector_size { SECTOR_DEVICE, SECTOR_512, SECTOR_4096 };

/* Which numbers are in units of sector-size instead of 512 bytes, where these differ: front ends
 * and back ends have disagreed (message of xen 221f2748e8). Named after front ends that do so. */
enum sector_units {
	UNITS_SPEC,    /* none */
	UNITS_FREEBSD, /* `sectors`, and sector numbers and counts of requests */
	UNITS_WINDOWS, /* these, and first and last sector of segments */
	UNITS_MINIOS,  /* `sectors` only */
};

/* One line of the table. Constant. */
struct setting {
	const char *name; /* as an option "--NAME VALUE" */
	uint32_t min, max;
	const char *value, *help; /* for --help */
	const char *const *words; /* NULL: a number; else max + 1 words that stand for 0, 1, … */
};

#define SETTINGS_MAX 32

extern const struct setting settings_table[];
extern const unsigned settings_count;

void settings_default(struct settings *s);
/* Index into the table, or -ENOENT. */
int settings_find(const char *name);
/* 0, -EINVAL or -ERANGE with *err; index: into the table. */
int settings_set(struct settings *s, unsigned index, const char *value, struct error *err);

#endif
