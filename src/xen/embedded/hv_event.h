/* SPDX-License-Identifier: MIT */
/* Event channels: calls about them, and their end. 0 or -errno. */
#ifndef XEN_EMBEDDED_HV_EVENT_H
#define XEN_EMBEDDED_HV_EVENT_H

#include "xen/embedded/hv_state.h"

int hv_alloc_unbound(struct hv_call *call);
int hv_bind(struct hv_call *call); /* -EBUSY: as far as we know, there is no such end to be had */
int hv_unbind(struct hv_conn *c, uint32_t port);
void hv_ports_end(struct hv_conn *c);
void hv_port_raise(struct hv_port *p);
struct hv_end *hv_port_end(const struct hv_port *p);

#endif
