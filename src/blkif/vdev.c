/* SPDX-License-Identifier: MIT */
/* Virtual device names and numbers: two-way table of the naming schemes. */
#include "blkif/vdev.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define XVD_EXT (1u << 28) /* xvd beyond 16 disks or 16 partitions */
#define XVD_DISKS (1u << 20)
#define XVD_PARTITIONS 256

/* A run of numbers: base | disk << shift | partition. A name takes the first that has room. */
struct scheme {
	const char *prefix;
	uint32_t base;
	uint32_t first_disk, disks; /* first_disk is named by base, the next ones follow */
	uint32_t partitions, shift;
};

static const struct scheme schemes[] = {
    {"xvd", 202 << 8, 0, 16, 16, 4}, {"xvd", XVD_EXT, 0, XVD_DISKS, XVD_PARTITIONS, 8},
    {"hd", 3 << 8, 0, 2, 64, 6},     {"hd", 22 << 8, 2, 2, 64, 6},
    {"sd", 8 << 8, 0, 16, 16, 4},
};
#define SCHEMES (sizeof schemes / sizeof *schemes)

static int to_number(const char *prefix, uint32_t disk, uint32_t partition, uint32_t *devid)
{
	for (size_t i = 0; i < SCHEMES; i++) {
		const struct scheme *s = &schemes[i];
		if (strcmp(s->prefix, prefix) || disk < s->first_disk ||
		    disk - s->first_disk >= s->disks || partition >= s->partitions)
			continue;
		*devid = s->base | (disk - s->first_disk) << s->shift | partition;
		return 0;
	}
	return -EINVAL;
}

/* Decimal without leading zeros, up to `end`. NULL end: the rest of the string. */
static bool number(const char *at, const char *end, uint32_t max, uint32_t *out)
{
	char text[11];
	size_t len = end ? (size_t)(end - at) : strlen(at);

	if (!len || len >= sizeof text || (*at == '0' && len > 1))
		return false;
	memcpy(text, at, len);
	text[len] = '\0';
	return !parse_u32(text, 0, max, out);
}

/* Letters count a … z, aa, ab …; then perhaps a partition from 1 on. */
static int parse_letters(const char *prefix, const char *at, uint32_t *devid)
{
	uint32_t count = 0, partition = 0;

	for (; *at >= 'a' && *at <= 'z'; at++) {
		count = count * 26 + (uint32_t)(*at - 'a') + 1;
		if (count > XVD_DISKS)
			return -EINVAL;
	}
	if (!count)
		return -EINVAL;
	if (*at && (!number(at, NULL, XVD_PARTITIONS - 1, &partition) || !partition))
		return -EINVAL;
	return to_number(prefix, count - 1, partition, devid);
}

/* "0", "0p1": what follows the d. */
static int parse_disk_partition(const char *at, uint32_t *devid)
{
	const char *p = strchr(at, 'p');
	uint32_t disk, partition = 0;

	if (!number(at, p, XVD_DISKS - 1, &disk))
		return -EINVAL;
	if (p && !number(p + 1, NULL, XVD_PARTITIONS - 1, &partition))
		return -EINVAL;
	return to_number("xvd", disk, partition, devid);
}

static int parse_hex(const char *at, uint32_t *devid)
{
	uint32_t v = 0;
	size_t len = strlen(at);

	if (!len || len > 8)
		return -EINVAL;
	for (; *at; at++) {
		static const char digits[] = "0123456789abcdef";
		char c = *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at;
		const char *d = strchr(digits, c);
		if (!d)
			return -EINVAL;
		v = v << 4 | (uint32_t)(d - digits);
	}
	*devid = v;
	return 0;
}

int vdev_parse(const char *name, uint32_t *devid)
{
	if (!strncmp(name, "xvd", 3))
		return parse_letters("xvd", name + 3, devid);
	if (!strncmp(name, "hd", 2))
		return parse_letters("hd", name + 2, devid);
	if (!strncmp(name, "sd", 2))
		return parse_letters("sd", name + 2, devid);
	if (!strncmp(name, "0x", 2))
		return parse_hex(name + 2, devid);
	if (*name == 'd')
		return parse_disk_partition(name + 1, devid);
	return number(name, NULL, UINT32_MAX, devid) ? 0 : -EINVAL;
}

static void write_name(const char *prefix, uint32_t disk, uint32_t partition, char *name)
{
	char letters[8];
	char *at = letters + sizeof letters - 1;

	*at = '\0';
	for (uint32_t count = disk + 1; count; count = (count - 1) / 26)
		*--at = (char)('a' + (count - 1) % 26);
	if (partition)
		snprintf(name, VDEV_NAME_MAX, "%s%s%u", prefix, at, partition);
	else
		snprintf(name, VDEV_NAME_MAX, "%s%s", prefix, at);
}

void vdev_name(uint32_t devid, char *name)
{
	for (size_t i = 0; i < SCHEMES; i++) {
		const struct scheme *s = &schemes[i];
		uint32_t rest = devid - s->base; /* wraps to something large below base */
		uint32_t disk = (rest >> s->shift) + s->first_disk;
		uint32_t partition = rest & (s->partitions - 1);
		uint32_t back;

		if (rest >= s->disks << s->shift)
			continue;
		/* Several numbers may mean one disk; only one of them gets the name. */
		if (to_number(s->prefix, disk, partition, &back) || back != devid)
			continue;
		write_name(s->prefix, disk, partition, name);
		return;
	}
	snprintf(name, VDEV_NAME_MAX, "0x%x", devid);
}
