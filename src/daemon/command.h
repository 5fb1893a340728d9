/* SPDX-License-Identifier: MIT */
/* Requests of the control socket. */
#ifndef DAEMON_COMMAND_H
#define DAEMON_COMMAND_H

#include <jansson.h>
#include <stddef.h>

struct daemon;

/* A request of n bytes, without the newline. Always an answer object (NULL only without memory). */
json_t *command_run(struct daemon *d, const char *line, size_t n);

/* {"ok":false,"error":…} */
json_t *command_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
