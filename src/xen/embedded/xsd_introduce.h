/* SPDX-License-Identifier: MIT */
/* Domains come and go, and those who watch for that are told. */
#ifndef XEN_EMBEDDED_XSD_INTRODUCE_H
#define XEN_EMBEDDED_XSD_INTRODUCE_H

#include "xen/embedded/xsd_store.h"

/* As the public pair, but without calling anybody's output_ready. False: it was so already. */
bool xsd_set_introduced(struct xsd *x, struct xsd_domain *d, bool introduced);

#endif
