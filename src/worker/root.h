/* SPDX-License-Identifier: MIT */
/* The mount namespace's part of the sandbox. */
#ifndef WORKER_ROOT_H
#define WORKER_ROOT_H

#include "worker/sandbox.h"

/* For this process only xen has a name. On failure everything is as before, unless it is
 * -ENOTRECOVERABLE. */
int root_enter(const struct sandbox *s, struct error *err);

#endif
