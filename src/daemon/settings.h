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
};

/* One line of the table. Constant. */
struct setting {
	const char *name; /* as an option "--NAME VALUE" */
	uint32_t min, max;
	const char *help; /* lines for --help */
};

extern const struct setting settings_table[];
extern const unsigned settings_count;

void settings_default(struct settings *s);
/* 0, -EINVAL or -ERANGE with *err; index: into the table. */
int settings_set(struct settings *s, unsigned index, const char *value, struct error *err);

#endif
