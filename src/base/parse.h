/* SPDX-License-Identifier: MIT */
/* Strict parsers for text that strangers wrote: the whole string or nothing, with a range. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdint.h>

/* All: any thread; 0 and *out, or -EINVAL (not a number), -ERANGE (outside min..max), *out
 * untouched. No sign, blank, prefix or suffix is accepted. */

/* Decimal. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out);
int parse_u32(const char *s, uint32_t min, uint32_t max, uint32_t *out);

/* "MAJOR:MINOR" in hex without 0x, as the hotplug scripts write physical-device. */
int parse_devnum(const char *s, uint32_t *major, uint32_t *minor);

/* Bytes with an optional suffix K, M, G, T (powers of 1024). */
int parse_size(const char *s, uint64_t *out);

#endif
