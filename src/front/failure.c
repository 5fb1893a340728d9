/* SPDX-License-Identifier: MIT */
/* The text of a handle's last failure. */
#include "front/failure.h"

#include <stdarg.h>
#include <stdio.h>

int xbf_fail(struct xenblkfront *f, int rc, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX - 32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return error_set(&f->err, rc, "%u:%s: %s", f->domid, f->vdev, text);
}

void xbf_clear_error(struct xenblkfront *f)
{
	f->err.text[0] = 0;
}
