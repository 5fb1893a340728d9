/* SPDX-License-Identifier: MIT */
/* Signals that are faults end the worker as ever, but leave a note in its journals. */
#ifndef WORKER_FAULTS_H
#define WORKER_FAULTS_H

#include "worker/worker.h"

void faults_init(struct worker *w);

#endif
