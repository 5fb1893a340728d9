/* SPDX-License-Identifier: MIT */
/* The requests of the wire protocol. */
#ifndef XEN_EMBEDDED_XSD_REQUEST_H
#define XEN_EMBEDDED_XSD_REQUEST_H

#include "xen/embedded/xsd_store.h"

/* Answers one message. payload has hdr->len bytes. */
void xsd_request(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const char *payload);

#endif
