/* SPDX-License-Identifier: MIT */
/* Page frames of a domain. */
#ifndef XEN_EMBEDDED_HV_MEMORY_H
#define XEN_EMBEDDED_HV_MEMORY_H

#include "xen/embedded/hv_state.h"

int hv_frames_alloc(struct hv_domain *d, uint32_t count, uint32_t *first);
void hv_frames_release(struct hv_domain *d, uint32_t first,
                       uint32_t count); /* once unused: free,
                                          and their references */
void hv_frame_unpin(struct hv_domain *d, uint32_t frame);
bool hv_slot_busy(struct hv *hv, uint16_t domid, uint32_t ref);
void hv_memory_init(struct hv *hv);
void hv_memory_fini(struct hv *hv);

#endif
