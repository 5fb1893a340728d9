/* SPDX-License-Identifier: MIT */
/* The words in which a test asks for faults. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "storage/fault.h"

#define US_MAX 10000000u

/* "A<sep>B" */
static int two(const char *text, char sep, uint64_t max_a, uint64_t max_b, uint64_t *a, uint64_t *b)
{
	char first[24];
	const char *at = strchr(text, sep);

	if (!at || (size_t)(at - text) >= sizeof first)
		return -EINVAL;
	memcpy(first, text, (size_t)(at - text));
	first[at - text] = '\0';
	if (parse_u64(first, 0, max_a, a) || parse_u64(at + 1, 0, max_b, b))
		return -EINVAL;
	return 0;
}

static int chance(const char *value, struct fault_chance *c)
{
	uint64_t percent, us;
	int rc = two(value, '/', 100, US_MAX, &percent, &us);

	if (!rc)
		*c = (struct fault_chance){(uint32_t)percent, (uint32_t)us};
	return rc;
}

static int item(const char *key, const char *value, struct fault_spec *s)
{
	if (!strcmp(key, "seed"))
		return parse_u64(value, 0, UINT64_MAX, &s->seed);
	if (!strcmp(key, "error"))
		return parse_u32(value, 0, 100, &s->error);
	if (!strncmp(key, "error@", 6))
		return parse_u64(key + 6, 1, UINT64_MAX, &s->script_first) ||
		       parse_u64(value, 1, UINT64_MAX, &s->script_count);
	if (!strncmp(key, "short@", 6))
		return parse_u64(key + 6, 1, UINT64_MAX, &s->short_first) ||
		       parse_u64(value, 1, UINT64_MAX, &s->short_count);
	if (!strcmp(key, "bad"))
		return two(value, '-', UINT64_MAX, UINT64_MAX, &s->bad_first, &s->bad_last);
	if (!strcmp(key, "delay"))
		return chance(value, &s->delay);
	if (!strcmp(key, "late"))
		return chance(value, &s->late);
	if (!strcmp(key, "torn"))
		return chance(value, &s->torn);
	if (!strcmp(key, "abort"))
		return parse_u64(value, 0, UINT64_MAX - 1, &s->abort_sector);
	if (!strcmp(key, "cache")) {
		s->cache = true;
		return parse_u32(value, 0, 100, &s->cache_early);
	}
	if (!strcmp(key, "noflush"))
		return parse_u64(value, 1, UINT64_MAX, &s->no_flush);
	if (!strcmp(key, "discard"))
		return parse_u32(value, 0, US_MAX, &s->discard_us);
	if (!strcmp(key, "slow"))
		return parse_u32(value, 0, US_MAX, &s->slow_us);
	return -EINVAL;
}

int fault_parse(const char *text, struct fault_spec *out, struct error *err)
{
	char copy[STORAGE_FAULT_MAX], *rest = copy, *one, *value;

	*out = (struct fault_spec){.seed = 1, .bad_first = 1, .abort_sector = UINT64_MAX};
	if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
		return error_set(err, -EINVAL, "fault: the text is too long");
	while ((one = strsep(&rest, ","))) {
		char said[64];
		snprintf(said, sizeof said, "%s", one);
		value = strchr(one, '=');
		if (value)
			*value++ = '\0';
		if (!value || item(one, value, out))
			return error_set(err, -EINVAL,
			                 "fault: \"%s\" is not understood; see storage/fault.h",
			                 said);
	}
	return 0;
}
