/* SPDX-License-Identifier: MIT */
/* Domains as the store knows them, and what permissions let them do. */
#include "xen/embedded/xsd_domain.h"

#include <stdlib.h>

struct xsd_domain *xsd_domain_of(struct xsd *x, uint16_t domid)
{
	struct xsd_domain *d = x->domain[domid];

	if (!d) {
		d = x->domain[domid] = calloc(1, sizeof *d);
		if (d)
			d->domid = domid;
	}
	return d;
}

struct xsd_perms **xsd_special_perms(struct xsd *x, const char *path)
{
	return path[1] == 'i' ? &x->introduce_perms : &x->release_perms;
}

uint8_t xsd_allowed(const struct xsd_domain *d, const struct xsd_perms *perms)
{
	uint8_t bits;

	if (xsd_privileged(d))
		return XSD_READ | XSD_WRITE | XSD_OWNER;
	bits = xsd_perms_of(perms, d->domid);
	return d->has_target ? bits | xsd_perms_of(perms, d->target) : bits;
}
