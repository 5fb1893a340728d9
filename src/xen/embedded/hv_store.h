/* SPDX-License-Identifier: MIT */
/* Sockets of the xenstore. */
#ifndef XEN_EMBEDDED_HV_STORE_H
#define XEN_EMBEDDED_HV_STORE_H

#include "xen/embedded/hv_state.h"

int hv_store_init(struct hv *hv, struct error *err);
void hv_store_fini(struct hv *hv);
void hv_store_flush(struct hv *hv); /* after each call into xsd that may cause output */
int hv_store_domain_add(struct hv_domain *d, struct error *err); /* its socket */
void hv_store_domain_remove(struct hv_domain *d);                /* … and its clients */
void hv_store_reap(struct hv *hv); /* clients that hung up, see hv_reap */
/* Answers are held back so long from now on. */
void hv_store_delay(struct hv *hv, uint64_t ns);

#endif
