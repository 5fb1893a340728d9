/* SPDX-License-Identifier: MIT */
/* Log lines on stderr. One write per line, so that lines of several processes do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"

static char log_ident[64] = "xenblkd";
static bool log_debug_on;

void log_init(const char *ident, bool debug)
{
	snprintf(log_ident, sizeof log_ident, "%s", ident);
	log_debug_on = debug;
}

static void log_line(const char *level, const char *fmt, va_list ap)
{
	int saved = errno;
	char line[1024];
	int n = snprintf(line, sizeof line - 1, "%s: %s", log_ident, level);

	n += vsnprintf(line + n, sizeof line - 1 - (size_t)n, fmt, ap);
	if (n > (int)sizeof line - 2)
		n = sizeof line - 2;
	text_printable(line);
	line[n++] = '\n';
	/* A log that cannot be written must not stop a disk. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0) {
	}
	errno = saved;
}

#define LOG_FN(name, level)               \
	void name(const char *fmt, ...)   \
	{                                 \
		va_list ap;               \
		va_start(ap, fmt);        \
		log_line(level, fmt, ap); \
		va_end(ap);               \
	}

LOG_FN(log_error, "error: ")
LOG_FN(log_warn, "warning: ")
LOG_FN(log_info, "")

void log_debug(const char *fmt, ...)
{
	if (!log_debug_on)
		return;
	va_list ap;
	va_start(ap, fmt);
	log_line("debug: ", fmt, ap);
	va_end(ap);
}
