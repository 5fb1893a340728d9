/* SPDX-License-Identifier: MIT */
/* Domains come and go. */
#ifndef XEN_EMBEDDED_HV_DOMAIN_H
#define XEN_EMBEDDED_HV_DOMAIN_H

#include "xen/embedded/hv_state.h"

int hv_domain_create(struct hv *hv, uint16_t domid, struct error *err);
int hv_domain_destroy(struct hv *hv, uint16_t domid);

#endif
