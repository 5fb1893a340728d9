/* SPDX-License-Identifier: MIT */
/* What clients have, counted. */
#ifndef XEN_EMBEDDED_HV_USAGE_H
#define XEN_EMBEDDED_HV_USAGE_H

#include "xen/embedded/hv_state.h"

void hv_usage(struct hv *hv, struct hv_call *call);

#endif
