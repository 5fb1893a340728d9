/* SPDX-License-Identifier: MIT */
/* Domains as the store knows them, and what permissions let them do. */
#ifndef XEN_EMBEDDED_XSD_DOMAIN_H
#define XEN_EMBEDDED_XSD_DOMAIN_H

#include "xen/embedded/xsd_store.h"

struct xsd_domain *xsd_domain_of(struct xsd *x, uint16_t domid); /* NULL: no memory */
struct xsd_perms **xsd_special_perms(struct xsd *x, const char *path);
static inline bool xsd_privileged(const struct xsd_domain *d)
{
	return d->domid == 0;
}
uint8_t xsd_allowed(const struct xsd_domain *d, const struct xsd_perms *perms);

#endif
