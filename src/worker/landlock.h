/* SPDX-License-Identifier: MIT */
/* Landlock's part of the sandbox. */
#ifndef WORKER_LANDLOCK_H
#define WORKER_LANDLOCK_H

/* Only these paths can be opened. Nothing where the kernel has no Landlock. 0 or -errno. */
int landlock_enter(const char *const *paths);

#endif
