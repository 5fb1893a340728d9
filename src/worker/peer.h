/* SPDX-License-Identifier: MIT */
/* What goes to the supervisor, if there is one at the moment. */
#ifndef WORKER_PEER_H
#define WORKER_PEER_H

#include "worker/worker.h"

void peer_send(struct worker *w, const struct wm *m);
void peer_pass_claim(struct worker *w); /* if there is one */

#endif
