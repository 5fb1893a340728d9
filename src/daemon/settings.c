/* SPDX-License-Identifier: MIT */
/* The table of settings. */
#include "daemon/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "blkif/request.h"
#include "xenbus/keys.h"

static const char *const sector_sizes[] = {"device", "512", "4096"};
static const char *const sector_units[] = {"spec", "freebsd", "windows", "minios"};

const struct setting settings_table[] = {
    {"max-queues", 1, RING_MAX_QUEUES, "N",
     "queues offered to each front end, 1 to 16 (default: as many as processors)", NULL},
    {"max-indirect-segments", 0, BLKIF_MAX_INDIRECT_SEGS, "N",
     "pages in one request, up to 256 (default); 0: no indirect requests", NULL},
    {"persistent", 0, 1, "0|1",
     "keep pages mapped for front ends that keep them granted (default 1)", NULL},
    {"max-persistent-grants", 0, 65536, "N", "pages kept mapped for each queue (default 1056)",
     NULL},
    {"persistent-idle-seconds", 1, 86400, "N",
     "a page that is not used for so long is unmapped (default 60)", NULL},
    {"sector-size", 0, 2, "S",
     "device (default), 512 or 4096: what front ends are told; where the device's blocks are "
     "larger, they are read, changed and written",
     sector_sizes},
    {"sector-units", 0, 3, "U",
     "spec (default: 512 bytes), freebsd, windows or minios: which numbers count in sectors of "
     "sector-size",
     sector_units},
};

static const size_t offsets[] = {
    offsetof(struct settings, max_queues),
    offsetof(struct settings, max_indirect_segments),
    offsetof(struct settings, persistent),
    offsetof(struct settings, max_persistent_grants),
    offsetof(struct settings, persistent_idle_seconds),
    offsetof(struct settings, sector_size),
    offsetof(struct settings, sector_units),
};

#define COUNT (sizeof settings_table / sizeof *settings_table)
_Static_assert(COUNT == sizeof offsets / sizeof *offsets, "a field for each name");
_Static_assert(sizeof(struct settings) == COUNT * sizeof(uint32_t), "a name for each field");

_Static_assert(COUNT <= SETTINGS_MAX, "room on the command line");

const unsigned settings_count = COUNT;

void settings_default(struct settings *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*s = (struct settings){
	    .max_queues = cpus < 1                 ? 1
	                  : cpus > RING_MAX_QUEUES ? RING_MAX_QUEUES
	                                           : (uint32_t)cpus,
	    .max_indirect_segments = BLKIF_MAX_INDIRECT_SEGS,
	    .persistent = 1,
	    .max_persistent_grants = 1056,
	    .persistent_idle_seconds = 60,
	};
}

int settings_find(const char *name)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (!strcmp(settings_table[i].name, name))
			return (int)i;
	return -ENOENT;
}

static int set_word(const struct setting *t, uint32_t *field, const char *value, struct error *err)
{
	char known[100] = "";

	for (uint32_t i = 0; i <= t->max; i++) {
		if (!strcmp(t->words[i], value)) {
			*field = i;
			return 0;
		}
		snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
		         t->words[i]);
	}
	return error_set(err, -EINVAL, "%s \"%.40s\" is none of: %s", t->name, value, known);
}

int settings_set(struct settings *s, unsigned index, const char *value, struct error *err)
{
	const struct setting *t = &settings_table[index];
	uint32_t *field = (uint32_t *)(void *)((char *)s + offsets[index]);
	int rc;

	if (t->words)
		return set_word(t, field, value, err);
	rc = parse_u32(value, t->min, t->max, field);
	if (rc)
		return error_set(err, rc, "%s \"%.40s\" is not a number from %u to %u", t->name,
		                 value, t->min, t->max);
	return 0;
}
