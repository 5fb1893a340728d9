/* SPDX-License-Identifier: MIT */
/* Calls of clients. */
#ifndef XEN_EMBEDDED_HV_CALL_H
#define XEN_EMBEDDED_HV_CALL_H

#include "xen/embedded/hv_state.h"

void hv_call_accepted(struct hv_listener *l, int fd); /* of hv->calls */

#endif
