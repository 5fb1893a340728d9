/* SPDX-License-Identifier: MIT */
/* The Xen of this machine: is there one, and its operations. */
#include "xen/real/real.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "xen/real/real_priv.h"

static void real_close(struct xen_platform *p)
{
	free(p);
}

/* libxenstore finds its own way: the daemon's socket, or the kernel's device in other domains. */
static const char *real_store_path(const struct xen_platform *p)
{
	return NULL;
}

static int real_domain(struct xen_platform *p, uint16_t domid, struct error *err)
{
	return error_set(err, -ENOTSUP, "on a real Xen, xl makes and destroys domains");
}

static int real_fault(struct xen_platform *p, const char *line, struct error *err)
{
	return error_set(err, -ENOTSUP, "only the embedded Xen has faults on request");
}

static int real_usage(struct xen_platform *p, struct xen_usage *out)
{
	return -ENOTSUP;
}

static const struct xen_platform_ops real_ops = {
	.close = real_close,
	.store_path = real_store_path,
	.domain_create = real_domain,
	.domain_destroy = real_domain,
	.fault = real_fault,
	.usage = real_usage,
	.gnttab_open = real_gnttab_open,
	.gnttab_close = real_gnttab_close,
	.gnttab_map = real_gnttab_map,
	.gnttab_unmap = real_gnttab_unmap,
	.gnttab_copy = real_gnttab_copy,
	.evtchn_open = real_evtchn_open,
	.evtchn_close = real_evtchn_close,
	.evtchn_fd = real_evtchn_fd,
	.evtchn_bind_interdomain = real_evtchn_bind_interdomain,
	.evtchn_bind_unbound = real_evtchn_bind_unbound,
	.evtchn_unbind = real_evtchn_unbind,
	.evtchn_notify = real_evtchn_notify,
	.evtchn_pending = real_evtchn_pending,
	.evtchn_unmask = real_evtchn_unmask,
	.gntshr_open = real_gntshr_open,
	.gntshr_close = real_gntshr_close,
	.gntshr_share = real_gntshr_share,
	.gntshr_unshare = real_gntshr_unshare,
	.gntshr_revoke = real_gntshr_revoke,
};

int real_open(struct xen_platform **out, struct error *err)
{
	if (access("/sys/hypervisor", F_OK) && access("/proc/xen", F_OK))
		return error_set(err, -ENODEV,
				 "this machine does not run on Xen (no /sys/hypervisor, no /proc/xen); use "
				 "--embedded DIR to work without one");
	if (access("/dev/xen/gntdev", R_OK | W_OK) || access("/dev/xen/evtchn", R_OK | W_OK))
		return error_set(err, -errno,
				 "cannot use /dev/xen/gntdev and /dev/xen/evtchn: %s; load xen-gntdev and "
				 "xen-evtchn and run as root, or use --embedded DIR to work without Xen",
				 error_name(errno));
	struct xen_platform *p = calloc(1, sizeof *p);
	if (!p)
		return error_set(err, -ENOMEM, "out of memory");
	p->ops = &real_ops;
	*out = p;
	return 0;
}
