/* SPDX-License-Identifier: MIT */
/* The text of a handle's last failure. */
#ifndef FRONT_FAILURE_H
#define FRONT_FAILURE_H

#include "front/front.h"

#pragma GCC visibility push(hidden)

/* Sets the text, with the disk's name in front, and returns rc. */
int xbf_fail(struct xenblkfront *f, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void xbf_clear_error(struct xenblkfront *f);

#pragma GCC visibility pop

#endif
