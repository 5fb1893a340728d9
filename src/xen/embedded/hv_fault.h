/* SPDX-License-Identifier: MIT */
/* Faults on request. */
#ifndef XEN_EMBEDDED_HV_FAULT_H
#define XEN_EMBEDDED_HV_FAULT_H

#include "xen/embedded/hv_state.h"

int hv_fault(struct hv *hv, const char *text);
/* The fault of one use of that grant: GNTST_* < 0, or 0. */
int hv_fault_take(struct hv *hv, struct hv_domain *d, uint32_t ref);
/* How the next batch of copies from or to that domain fails: an errno, or 0. */
int hv_refusal_take(struct hv_domain *d);
void hv_faults_forget(struct hv *hv, int domid); /* -1: of all */

#endif
