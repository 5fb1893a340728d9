/* SPDX-License-Identifier: MIT */
/* What the worker tells of its own accord. */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "worker/worker.h"

/* The statistics page, and what queues wake the main thread by. 0 or -errno with *err. */
int report_init(struct worker *w, struct error *err);
/* Tells the supervisor if what the storage fails at has changed, now or later. _again: a supervisor
 * that knows nothing yet. */
void report_trouble(struct worker *w);
void report_trouble_again(struct worker *w);
/* Why a ring was stopped for good; false and "" if none was. */
bool report_stopped_text(const struct worker *w, char *text, size_t cap);

#endif
