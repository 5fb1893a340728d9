/* SPDX-License-Identifier: MIT */
/* Log lines on stderr, one call one line. Never used in the data path. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/*
 * ident: stands before each line ("xenblkd", "xenblkd 1:xvda"); copied. debug: log_debug prints
 * too. Call before the first thread starts.
 */
void log_init(const char *ident, bool debug);

/* All of these: any thread, preserve errno, print "IDENT: [level: ]text". */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
