/* SPDX-License-Identifier: MIT */
/* What the process inherited of signals and limits. */
#ifndef WORKER_INHERITED_H
#define WORKER_INHERITED_H

/* Undoes it. Once, before faults_init. */
void inherited_reset(void);

#endif
