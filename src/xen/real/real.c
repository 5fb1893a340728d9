/* SPDX-License-Identifier: MIT */
/* The Xen of this machine: is there one, and its operations. */
#include "xen/real/real.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static const char *const *real_paths(const struct xen_platform *p)
{
	static const char *const paths[] = {"/dev/xen/gntdev", "/dev/xen/evtchn", NULL};

	return paths;
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
    .paths = real_paths,
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

/* Other hypervisors have /sys/hypervisor, too, and so has bare metal: empty. */
static bool on_xen(void)
{
	char type[16] = "";
	FILE *f = fopen("/sys/hypervisor/type", "re");

	if (f) {
		if (!fgets(type, sizeof type, f))
			type[0] = '\0';
		fclose(f);
	}
	return !strcmp(type, "xen\n") || !access("/proc/xen", F_OK);
}

/* 0, or which device cannot be used and why. */
static int check_device(const char *path, const char *module, struct error *err)
{
	if (!access(path, R_OK | W_OK))
		return 0;
	int rc = -errno;
	return error_set(
	    err, rc,
	    "cannot use %s: %s; %s, or use `xenblkd --embedded DIR`, which works without Xen", path,
	    error_name(rc), rc == -ENOENT ? module : "run xenblkd as root");
}

/* The kernel's cap on one mapping request (gntdev's parameter; older kernels: on one handle), or
 * ours. */
static uint32_t map_pages(void)
{
	FILE *f = fopen("/sys/module/xen_gntdev/parameters/limit", "re");
	uint32_t n = REAL_MAP_MAX;

	if (!f)
		return n;
	if (fscanf(f, "%" SCNu32, &n) != 1 || n > REAL_MAP_MAX)
		n = REAL_MAP_MAX;
	fclose(f);
	return n;
}

static int probe_limits(struct xen_platform *p, struct error *err)
{
	struct xen_gnttab *g;
	int rc = real_gnttab_open(p, &g, err);

	if (rc)
		return rc;
	p->limits.grant_copy = real_gnttab_copies(g);
	p->limits.map_pages = map_pages();
	real_gnttab_close(g);
	return 0;
}

int real_open(struct xen_platform **out, struct error *err)
{
	int rc;

	if (!on_xen())
		return error_set(err, -ENODEV,
		                 "this machine does not run on Xen (neither /sys/hypervisor/type "
		                 "nor /proc/xen says so); `xenblkd --embedded DIR` works without "
		                 "one");
	if ((rc = check_device("/dev/xen/gntdev", "load it (modprobe xen-gntdev)", err)) ||
	    (rc = check_device("/dev/xen/evtchn", "load it (modprobe xen-evtchn)", err)))
		return rc;
	struct xen_platform *p = calloc(1, sizeof *p);
	if (!p)
		return error_set(err, -ENOMEM, "out of memory");
	p->ops = &real_ops;
	rc = probe_limits(p, err);
	if (rc)
		free(p);
	else
		*out = p;
	return rc;
}
