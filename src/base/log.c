/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr. One write per line, so that lines of several processes do not mix.
 *
 * The reader of stderr may stop: a pipe fills, ^S halts a terminal. No write may wait for that.
 * O_NONBLOCK belongs to the open file description, which stderr shares with the shell and
 * with others that log there, so it is not set on stderr itself. A pipe or terminal is opened a
 * second time instead (by /proc), without blocking: no other process shares that description. Where
 * that is refused (another user's pipe, no /proc), poll says before each line whether there is
 * room; only another writer could take that room in between. A socket, which is what systemd gives,
 * takes the flag with each call. Regular files never wait for a reader.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum way {
	WAY_WRITE,
	WAY_ASK,  /* poll first */
	WAY_SEND, /* a socket */
};

static char log_ident[64] = "xenblkd";
static bool log_debug_on;
/* Atomic, as log_move may come while another thread logs. */
static int log_fd = STDERR_FILENO;
static int log_way;       /* enum way */
static unsigned log_lost; /* lines that stderr did not take */
static bool log_cut;      /* the last line has no end */

static void set_way(int fd, int own)
{
	struct stat st;
	int way = WAY_WRITE;

	if (!fstat(fd, &st))
		way = S_ISSOCK(st.st_mode) ? WAY_SEND : S_ISREG(st.st_mode) ? WAY_WRITE : WAY_ASK;
	int old = __atomic_exchange_n(&log_fd, own >= 0 ? own : STDERR_FILENO, __ATOMIC_RELAXED);
	__atomic_store_n(&log_way, way, __ATOMIC_RELAXED);
	if (old != STDERR_FILENO)
		close(old);
}

/* Pipe or terminal on stderr: a description of our own, or -1. */
static int open_own(void)
{
	struct stat st;
	int flags = fcntl(STDERR_FILENO, F_GETFL);

	if (flags < 0 || flags & O_NONBLOCK || fstat(STDERR_FILENO, &st) ||
	    (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
		return -1;
	return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_init(const char *ident, bool debug)
{
	snprintf(log_ident, sizeof log_ident, "%s", ident);
	log_debug_on = debug;
	set_way(STDERR_FILENO, open_own());
}

int log_move(int fd)
{
	if (dup3(fd, STDERR_FILENO, 0) < 0)
		return -errno;
	set_way(fd, -1);
	return 0;
}

/* False: it was not taken, or not all of it. */
static bool put_bytes(const char *bytes, size_t n)
{
	int fd = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
	int way = __atomic_load_n(&log_way, __ATOMIC_RELAXED);
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	ssize_t done;

	if (way == WAY_ASK && poll(&room, 1, 0) != 1)
		return false;
	done =
	    way == WAY_SEND ? send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, bytes, n);
	if (done > 0)
		__atomic_store_n(&log_cut, (size_t)done < n, __ATOMIC_RELAXED);
	return done == (ssize_t)n;
}

/* A log that cannot be written must not stop a disk. */
static void put(const char *line, size_t n)
{
	/* Relaxed: a number only. */
	unsigned lost = __atomic_exchange_n(&log_lost, 0, __ATOMIC_RELAXED);
	char note[64];

	if (lost) {
		const char *end = __atomic_load_n(&log_cut, __ATOMIC_RELAXED) ? "\n" : "";
		int length = snprintf(note, sizeof note,
		                      "%swarning: %u lines before this are lost\n", end, lost);
		if (!put_bytes(note, (size_t)length)) {
			__atomic_fetch_add(&log_lost, lost + 1, __ATOMIC_RELAXED);
			return;
		}
	}
	if (!put_bytes(line, n))
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
