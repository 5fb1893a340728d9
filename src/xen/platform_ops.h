/* SPDX-License-Identifier: MIT */
/*
 * What a Xen, embedded or real, implements: platform.h's functions, of which platform.c is the
 * front. Each implementation embeds these public parts in its own structs (container_of).
 */
#ifndef XEN_PLATFORM_OPS_H
#define XEN_PLATFORM_OPS_H

#include "xen/platform.h"

/* Contracts: those of the functions of the same name in platform.h. */
struct xen_platform_ops {
	void (*close)(struct xen_platform *p);
	const char *(*store_path)(const struct xen_platform *p);
	const char *const *(*paths)(const struct xen_platform *p);
	int (*domain_create)(struct xen_platform *p, uint16_t domid, struct error *err);
	int (*domain_destroy)(struct xen_platform *p, uint16_t domid, struct error *err);
	int (*fault)(struct xen_platform *p, const char *line, struct error *err);
	int (*usage)(struct xen_platform *p, struct xen_usage *out);

	int (*gnttab_open)(struct xen_platform *p, struct xen_gnttab **out, struct error *err);
	void (*gnttab_close)(struct xen_gnttab *g);
	int (*gnttab_map)(struct xen_gnttab *g, uint16_t domid, uint32_t count,
	                  const uint32_t *refs, bool writable, void **addr);
	int (*gnttab_unmap)(struct xen_gnttab *g, void *addr, uint32_t count);
	int (*gnttab_copy)(struct xen_gnttab *g, uint16_t domid, struct xen_copy *pieces,
	                   uint32_t n);

	int (*evtchn_open)(struct xen_platform *p, struct xen_evtchn **out, struct error *err);
	void (*evtchn_close)(struct xen_evtchn *e);
	int (*evtchn_fd)(const struct xen_evtchn *e);
	int (*evtchn_bind_interdomain)(struct xen_evtchn *e, uint16_t domid, uint32_t remote_port);
	int (*evtchn_bind_unbound)(struct xen_evtchn *e, uint16_t domid);
	int (*evtchn_unbind)(struct xen_evtchn *e, uint32_t port);
	int (*evtchn_notify)(struct xen_evtchn *e, uint32_t port);
	int (*evtchn_pending)(struct xen_evtchn *e);
	int (*evtchn_unmask)(struct xen_evtchn *e, uint32_t port);

	int (*gntshr_open)(struct xen_platform *p, struct xen_gntshr **out, struct error *err);
	void (*gntshr_close)(struct xen_gntshr *s);
	int (*gntshr_share)(struct xen_gntshr *s, uint16_t domid, uint32_t count, bool writable,
	                    uint32_t *refs, void **addr);
	int (*gntshr_unshare)(struct xen_gntshr *s, void *addr, uint32_t count);
	int (*gntshr_revoke)(struct xen_gntshr *s, const uint32_t *refs, uint32_t count);
};

/* Owned by whoever opened it; nothing in it ever changes. */
struct xen_platform {
	const struct xen_platform_ops *ops;
	struct xen_limits limits;
};
struct xen_gnttab {
	const struct xen_platform_ops *ops;
};
struct xen_evtchn {
	const struct xen_platform_ops *ops;
};
struct xen_gntshr {
	const struct xen_platform_ops *ops;
};

#endif
