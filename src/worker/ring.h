/* SPDX-License-Identifier: MIT */
/* The rings on an open image. 0 or -errno with *err. */
#ifndef WORKER_RING_H
#define WORKER_RING_H

#include "worker/worker.h"

/* Whether that connection could be gone on with; fd: as of image_open. */
int ring_check(struct worker *w, const struct wm_connect *m, int fd, struct error *err);
/* Once in a worker's life: -EALREADY. */
int ring_connect(struct worker *w, const struct wm_connect *m, struct error *err);
/* Idempotent. keep_journal: the front end is still connected, and a later worker goes on with it.
 */
void ring_disconnect(struct worker *w, bool keep_journal);

#endif
