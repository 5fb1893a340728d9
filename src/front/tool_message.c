/* SPDX-License-Identifier: MIT */
/* What the tool says went wrong. */
#include "front/tool_message.h"

#include <stdarg.h>

#include "front/tool.h"

int tool_error(const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "xenblkfront: %s\n", text);
	return TOOL_FAILED;
}

int tool_front_error(const struct xenblkfront *f)
{
	return tool_error("%s", xenblkfront_error(f));
}
