/* SPDX-License-Identifier: MIT */
/* A TARGET's text in errors. It may come from xenstore: any length, any bytes. */
#include "storage/target.h"

#include <stdio.h>
#include <string.h>

struct target_quoted target_quote(const char *text)
{
	struct target_quoted q;

	if (snprintf(q.text, sizeof q.text, "%s", text) >= (int)sizeof q.text)
		memcpy(q.text + sizeof q.text - 4, "...", 4);
	return q;
}
