/* SPDX-License-Identifier: MIT */
/* Under sanitizers: they have handlers of their own, which explain more. */
#include "worker/faults.h"

void faults_init(struct worker *w)
{
}
