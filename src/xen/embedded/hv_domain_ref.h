/* SPDX-License-Identifier: MIT */
/* Domains by their number, and when nobody needs one any more. */
#ifndef XEN_EMBEDDED_HV_DOMAIN_REF_H
#define XEN_EMBEDDED_HV_DOMAIN_REF_H

#include "xen/embedded/hv_state.h"

struct hv_domain *hv_domain_find(struct hv *hv, uint16_t domid); /* alive, or NULL */
void hv_domain_put(struct hv_domain *d);

#endif
