/* SPDX-License-Identifier: MIT */
/* The end of connections. */
#ifndef XEN_EMBEDDED_HV_CONN_H
#define XEN_EMBEDDED_HV_CONN_H

#include "xen/embedded/hv_state.h"

void hv_conn_close(struct hv_conn *c);
/* Ends connections whose process is dead but whose end the loop has not told yet: called before
 * something is refused for being in use. */
void hv_reap(struct hv *hv, const struct hv_conn *except);

#endif
