/* SPDX-License-Identifier: MIT */
/* Error texts of the control paths. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int error_set(struct error *err, int rc, const char *fmt, ...)
{
	if (!err)
		return rc;
	/* Via a copy: callers extend a text by passing err->text as an argument. */
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	memcpy(err->text, text, sizeof text);
	return rc;
}

const char *error_name(int rc)
{
	return strerrordesc_np(abs(rc)) ?: "unknown error";
}
