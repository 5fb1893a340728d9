/* SPDX-License-Identifier: MIT */
/* Requests of the control socket. */
#ifndef DAEMON_COMMAND_H
#define DAEMON_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;

/* A request of n bytes, without the newline, of that client (control.c). The answer (NULL only
 * without memory); or *later is set, and it comes by control_answer. */
json_t *command_run(struct daemon *d, uint64_t client, const char *line, size_t n, bool *later);

/* {"ok":true,"result":value}; value's reference is taken. */
json_t *command_result(json_t *value);

/* {"ok":false,"error":…} */
json_t *command_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
