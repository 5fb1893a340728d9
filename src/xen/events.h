/* SPDX-License-Identifier: MIT */
/* Watch events that wait to be looked at: each once, and a bounded number of each watch. One thread
 * at a time. */
#ifndef XEN_EVENTS_H
#define XEN_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#define EVENTS_PER_WATCH 512

struct events;

struct events *events_new(void); /* or NULL */
void events_free(struct events *e);
/* Both copied. If the same waits already, nothing is added. Beyond EVENTS_PER_WATCH of a token,
 * they become a single one with an empty path: anything below that watch may have changed. 0 or
 * -ENOMEM. */
int events_add(struct events *e, const char *path, const char *token);
/* The next one, in turn from all tokens that have any, copied and cut. False: there is none. */
bool events_take(struct events *e, char *path, size_t path_cap, char *token, size_t token_cap);

#endif
