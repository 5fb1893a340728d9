/* SPDX-License-Identifier: MIT */
/* The changes a client can make to a tree. */
#ifndef XEN_EMBEDDED_XSD_OPS_H
#define XEN_EMBEDDED_XSD_OPS_H

#include "xen/embedded/xsd_store.h"

/* The node, if d has all of `need`. 0, -ENOENT, -EACCES (also for a missing one, judged by its
 * nearest ancestor). */
int xsd_view_get(const struct xsd_view *v, const struct xsd_domain *d, const char *path,
                 uint8_t need, struct xsd_node **out);
/* 0 or -errno as the client shall see it. Checks permissions and quotas. */
int xsd_mutate(const struct xsd_view *v, const struct xsd_domain *d, const struct xsd_mutation *m);

#endif
