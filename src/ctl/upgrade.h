/* SPDX-License-Identifier: MIT */
/* `xenblkctl upgrade`: asks for it, and says what came of it. */
#ifndef CTL_UPGRADE_H
#define CTL_UPGRADE_H

#include "base/error.h"

/* The supervisor. 0, or -errno with *err. */
int upgrade_supervisor(const char *run_dir, struct error *err);
/* One disk's worker. */
int upgrade_disk(const char *run_dir, const char *id, struct error *err);
/* The supervisor, then each disk that has a worker. Goes on with the others when one fails, says so
 * on standard error, and counts them in *err. */
int upgrade_all(const char *run_dir, struct error *err);

#endif
