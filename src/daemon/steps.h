/* SPDX-License-Identifier: MIT */
/* upgrade_step(step, old, new): nothing in xenblkd; in the build of it that tests use, a place
 * where the supervisor or one of both workers (process numbers, 0: not there) may be killed. */
#ifndef DAEMON_STEPS_H
#define DAEMON_STEPS_H

#include <sys/types.h>

#include "daemon/steps_list.h"
/* "daemon/steps_off.h" or "daemon/steps_on.h": meson.build says. */
#include STEPS_VARIANT

#endif
