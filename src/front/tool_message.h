/* SPDX-License-Identifier: MIT */
/* What the tool says went wrong. */
#ifndef FRONT_TOOL_MESSAGE_H
#define FRONT_TOOL_MESSAGE_H

#include "xenblkfront.h"

/* "xenblkfront: …" on stderr; returns TOOL_FAILED. */
int tool_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The handle's error text. */
int tool_front_error(const struct xenblkfront *f);

#endif
