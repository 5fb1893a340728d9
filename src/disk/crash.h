/* SPDX-License-Identifier: MIT */
/* crash_point(step, what): nothing in xenblkd-worker; in the build of it that tests use, a place to
 * be killed at. `what` says which one of its kind: a request counter, or a sector. */
#ifndef DISK_CRASH_H
#define DISK_CRASH_H

#include "disk/crash_steps.h"
/* "disk/crash_off.h" or "disk/crash_on.h": meson.build says. */
#include CRASH_VARIANT

#endif
