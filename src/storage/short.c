/* SPDX-License-Identifier: MIT */
/* Names in error texts. */
#include "storage/short.h"

#include <stdio.h>
#include <string.h>

const char *storage_short(char buf[STORAGE_SHORT_MAX], const char *path)
{
	size_t len = strlen(path);

	if (len < STORAGE_SHORT_MAX)
		return path;
	snprintf(buf, STORAGE_SHORT_MAX, "...%s", path + len - (STORAGE_SHORT_MAX - 4));
	return buf;
}
