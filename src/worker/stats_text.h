/* SPDX-License-Identifier: MIT */
/* The statistics page's numbers as plain files, for scripts. */
#ifndef WORKER_STATS_TEXT_H
#define WORKER_STATS_TEXT_H

#include "worker/worker.h"

void stats_text_write(struct worker *w);

#endif
