/* SPDX-License-Identifier: MIT */
/* The worker's image. 0 or -errno with *err. */
#ifndef WORKER_IMAGE_H
#define WORKER_IMAGE_H

#include "worker/worker.h"

/* Starts opening; w->opened becomes readable when that has ended. fd: the claim's parcel, lent, or
 * -1. */
int image_open(struct worker *w, const struct wm_open *m, int fd, struct error *err);
/* Main thread, any time. */
bool image_waits_for_fence(const struct worker *w);
/* The result; note: what is worth a word about an image that is open, or "". */
int image_opened(struct worker *w, struct storage_caps *caps, struct error *note,
                 struct error *err);
/* Idempotent; disconnects the rings first, keeping the journal. What is still being opened is left
 * to the end of the process, which must follow. */
void image_close(struct worker *w);

#endif
