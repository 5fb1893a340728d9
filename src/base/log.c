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
static unsigned log_lost; /* atomic: lines that stderr did not take */

void log_init(const char *ident, bool debug)
{
	snprintf(log_ident, sizeof log_ident, "%s", ident);
	log_debug_on = debug;
}

int log_move(int fd)
{
	return dup3(fd, STDERR_FILENO, 0) < 0 ? -errno : 0;
}

/* One write. A log that cannot be written must not stop a disk. */
static void put(const char *line, size_t n)
{
	/* Relaxed: a number only. */
	unsigned lost = __atomic_exchange_n(&log_lost, 0, __ATOMIC_RELAXED);
	char note[64];

	if (lost) {
		int length =
		    snprintf(note, sizeof note, "warning: %u lines before this are lost\n", lost);
		if (write(STDERR_FILENO, note, (size_t)length) < 0) {
			__atomic_fetch_add(&log_lost, lost + 1, __ATOMIC_RELAXED);
			return;
		}
	}
	if (write(STDERR_FILENO, line, n) < 0)
		__atomic_fetch_add(&log_lost, 1, __ATOMIC_RELAXED);
}

static void log_line(const char *level, const char *fmt, va_list ap)
{
	int saved = errno;
	char line[1024];
	int n = snprintf(line, sizeof line - 1, "%s%s%s", log_ident, *log_ident ? ": " : "", level);

	n += vsnprintf(line + n, sizeof line - 1 - (size_t)n, fmt, ap);
	if (n > (int)sizeof line - 2)
		n = sizeof line - 2;
	text_printable(line);
	line[n++] = '\n';
	put(line, (size_t)n);
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

void log_from(const char *whose, const char *text)
{
	int saved = errno;
	char line[1200];
	int n = snprintf(line, sizeof line - 1, "%s %s: %s", log_ident, whose, text);

	if (n > (int)sizeof line - 2)
		n = sizeof line - 2;
	text_printable(line);
	line[n++] = '\n';
	put(line, (size_t)n);
	errno = saved;
}

void log_debug(const char *fmt, ...)
{
	if (!log_debug_on)
		return;
	va_list ap;
	va_start(ap, fmt);
	log_line("debug: ", fmt, ap);
	va_end(ap);
}
