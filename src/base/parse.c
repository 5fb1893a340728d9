/* SPDX-License-Identifier: MIT */
/* Strict number parsers. */
#include "base/parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Digits of the base from s on; *end is the first character that is none. */
static int digits(const char *s, unsigned base, const char **end, uint64_t *out)
{
	uint64_t v = 0;
	const char *p = s;

	for (; digit_value(*p) < (int)base; p++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit_value(*p), &v))
			return -ERANGE;
	if (p == s)
		return -EINVAL;
	*end = p;
	*out = v;
	return 0;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;
	uint64_t v;
	int rc = digits(s, 10, &end, &v);

	if (rc)
		return rc;
	if (*end)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int parse_u32(const char *s, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t v;
	int rc = parse_u64(s, min, max, &v);

	if (!rc)
		*out = (uint32_t)v;
	return rc;
}

int parse_devnum(const char *s, uint32_t *major, uint32_t *minor)
{
	const char *end;
	uint64_t maj, min;
	int rc = digits(s, 16, &end, &maj);

	if (rc)
		return rc;
	if (*end != ':')
		return -EINVAL;
	rc = digits(end + 1, 16, &end, &min);
	if (rc)
		return rc;
	if (*end)
		return -EINVAL;
	if (maj > 0xfff || min > 0xfffff) /* Linux: 12 bits and 20 bits */
		return -ERANGE;
	*major = (uint32_t)maj;
	*minor = (uint32_t)min;
	return 0;
}

int parse_size(const char *s, uint64_t *out)
{
	const char *end;
	uint64_t v;
	int rc = digits(s, 10, &end, &v);

	if (rc)
		return rc;
	if (*end) {
		static const char suffixes[] = "KMGT";
		const char *at = strchr(suffixes, *end);
		if (!at || end[1])
			return -EINVAL;
		unsigned shift = 10 * (unsigned)(at - suffixes + 1);
		if (v > UINT64_MAX >> shift)
			return -ERANGE;
		v <<= shift;
	}
	*out = v;
	return 0;
}
