/* SPDX-License-Identifier: MIT */
/* Log lines on stderr, one call one line. Never used in the data path. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/*
 * ident: before each line ("xenblkd"), copied; "": nothing is. debug: log_debug prints too. Looks
 * what stderr is, and may keep a descriptor of its own for it. Call before the first thread starts.
 */
void log_init(const char *ident, bool debug);
/* From now on lines go there: fd, lent, is a pipe's end that does not block, or a file. Any thread.
 * 0 or -errno. */
int log_move(int fd);

/* All of these: any thread, preserve errno, print "IDENT: [level: ]text", and never wait for
 * the reader of stderr. A line that it does not take at once is dropped, counted, and the number of
 * them said before the next one that it takes. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line of another process: "IDENT WHOSE: text". */
void log_from(const char *whose, const char *text);
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
