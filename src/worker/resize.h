/* SPDX-License-Identifier: MIT */
/* The image's size, looked at anew. */
#ifndef WORKER_RESIZE_H
#define WORKER_RESIZE_H

#include "worker/worker.h"

/* Answers the supervisor's message of that serial. */
void resize_check(struct worker *w, uint32_t serial);

#endif
