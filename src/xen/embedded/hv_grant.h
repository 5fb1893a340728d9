/* SPDX-License-Identifier: MIT */
/* Grants: calls about them, and their end. 0 or -errno. */
#ifndef XEN_EMBEDDED_HV_GRANT_H
#define XEN_EMBEDDED_HV_GRANT_H

#include "xen/embedded/hv_state.h"

int hv_memory(struct hv_call *call);
int hv_map(struct hv_call *call);
int hv_unmap(struct hv_conn *c, uint32_t id);
int hv_share(struct hv_call *call);
int hv_unshare(struct hv_conn *c, uint32_t id); /* -EBUSY: as far as we know, it is in use */
int hv_revoke(struct hv_call *call);
void hv_shares_end(struct hv_conn *c); /* without asking whether they are in use */
void hv_maps_end(struct hv_conn *c);

#endif
