/* SPDX-License-Identifier: MIT */
/* Domains come and go, and those who watch for that are told. */
#include "xen/embedded/xsd_introduce.h"

#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_out.h"
#include "xen/embedded/xsd_watch.h"

bool xsd_set_introduced(struct xsd *x, struct xsd_domain *d, bool introduced)
{
	if (d->introduced == introduced)
		return false;
	d->introduced = introduced;
	if (!introduced) {
		d->nodes = 0;
		d->has_target = false;
	}
	xsd_watch_fire_special(x, introduced ? "@introduceDomain" : "@releaseDomain");
	return true;
}

void xsd_domain_introduced(struct xsd *x, uint16_t domid)
{
	struct xsd_domain *d = xsd_domain_of(x, domid);

	if (d && xsd_set_introduced(x, d, true))
		xsd_out_flush_ready(x);
}

void xsd_domain_released(struct xsd *x, uint16_t domid)
{
	struct xsd_domain *d = xsd_domain_of(x, domid);

	if (d && xsd_set_introduced(x, d, false))
		xsd_out_flush_ready(x);
}
