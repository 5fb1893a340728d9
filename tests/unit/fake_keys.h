/* SPDX-License-Identifier: MIT */
/* A xenstore for key readers: one text, "key=value key=value", no value with a blank. */
#ifndef TESTS_UNIT_FAKE_KEYS_H
#define TESTS_UNIT_FAKE_KEYS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* As store_read: the value's length, -ENOENT or -EMSGSIZE. */
static inline int fake_keys_get(const char *text, const char *key, char *buf, size_t cap)
{
	char copy[1024], *save = NULL;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(w, '=');
		*eq = '\0';
		if (strcmp(w, key))
			continue;
		if (strlen(eq + 1) >= cap)
			return -EMSGSIZE;
		strcpy(buf, eq + 1);
		return (int)strlen(buf);
	}
	return -ENOENT;
}

#endif
