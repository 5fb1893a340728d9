/* SPDX-License-Identifier: MIT */
/* The supervisor's messages. */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include "worker/worker.h"

/* Messages come through listen_fd from then on. 0 or -errno. */
int session_init(struct worker *w, int listen_fd);

#endif
