/* SPDX-License-Identifier: MIT */
/* The table of settings. */
#include "daemon/settings.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "base/parse.h"
#include "blkif/request.h"
#include "xenbus/keys.h"

const struct setting settings_table[] = {
    {"max-queues", 1, RING_MAX_QUEUES,
     "  --max-queues N           queues offered to each front end, 1 to 16 (default: "
     "processors)\n"},
    {"max-indirect-segments", 0, BLKIF_MAX_INDIRECT_SEGS,
     "  --max-indirect-segments N  pages in one request, up to 256 (default); 0: no indirect "
     "requests\n"},
    {"persistent", 0, 1,
     "  --persistent 0|1         keep pages mapped for front ends that keep them granted "
     "(default 1)\n"},
    {"max-persistent-grants", 0, 65536,
     "  --max-persistent-grants N  pages kept mapped for each queue (default 1056)\n"},
    {"persistent-idle-seconds", 1, 86400,
     "  --persistent-idle-seconds N  pages that are not used for so long are let go (default "
     "60)\n"},
};

static const size_t offsets[] = {
    offsetof(struct settings, max_queues),
    offsetof(struct settings, max_indirect_segments),
    offsetof(struct settings, persistent),
    offsetof(struct settings, max_persistent_grants),
    offsetof(struct settings, persistent_idle_seconds),
};

#define COUNT (sizeof settings_table / sizeof *settings_table)
_Static_assert(COUNT == sizeof offsets / sizeof *offsets, "a field for each name");
_Static_assert(sizeof(struct settings) == COUNT * sizeof(uint32_t), "a name for each field");

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

int settings_set(struct settings *s, unsigned index, const char *value, struct error *err)
{
	const struct setting *t = &settings_table[index];
	uint32_t *field = (uint32_t *)(void *)((char *)s + offsets[index]);
	int rc = parse_u32(value, t->min, t->max, field);

	if (rc)
		return error_set(err, rc, "%s \"%.40s\" is not a number from %u to %u", t->name,
		                 value, t->min, t->max);
	return 0;
}
