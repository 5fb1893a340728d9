/* SPDX-License-Identifier: MIT */
/* What goes to a client. */
#ifndef XEN_EMBEDDED_XSD_OUT_H
#define XEN_EMBEDDED_XSD_OUT_H

#include "xen/embedded/xsd_store.h"

/* One message. After a failure (no memory, limit) the connection is dead. */
void xsd_out_message(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const void *payload);
void xsd_out_event(struct xsd_conn *c, const char *path, const char *token);
void xsd_out_clear(struct xsd_conn *c);
void xsd_out_flush_ready(struct xsd *x); /* calls output_ready where due */

#endif
