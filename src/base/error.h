/* SPDX-License-Identifier: MIT */
/* One-line error text for control paths: what failed, on what, why, what to do. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

#define ERROR_TEXT_MAX 512

/* Owned by the caller, usually on its stack. text is "" until an error is set. */
struct error {
	char text[ERROR_TEXT_MAX];
};

/*
 * Formats the message into *err (which may be NULL) and returns rc unchanged, so that a caller can
 * write `return error_set(err, -EINVAL, "...")`. The result passes through text_printable: texts
 * often quote what a guest wrote. Any thread; does not touch errno.
 */
int error_set(struct error *err, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Every control character, and every byte that is not part of valid UTF-8, becomes '?'. Any thread.
 */
void text_printable(char *text);

/* Text of an errno value, sign ignored: "No such file or directory". Any thread. */
const char *error_name(int rc);

/* Whether rc (sign ignored) says that something ran short which comes back without a change to what
 * was asked for: descriptors, memory, processes, room. It is worth trying again. Any thread. */
bool error_is_transient(int rc);

/* What an administrator can do about it: "raise the limit of open files (ulimit -n)"; "" if rc is
 * not transient. Any thread. */
const char *error_remedy(int rc);

#endif
