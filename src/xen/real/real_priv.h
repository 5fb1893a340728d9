/* SPDX-License-Identifier: MIT */
/* The pieces that real.c puts together. Contracts: xen/platform.h. */
#ifndef XEN_REAL_REAL_PRIV_H
#define XEN_REAL_REAL_PRIV_H

#include "xen/platform_ops.h"

#define REAL_MAP_MAX 256 /* references that one map takes, whatever the kernel allows */

int real_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err);
void real_gnttab_close(struct xen_gnttab *g);
int real_gnttab_map(struct xen_gnttab *g, uint16_t domid, uint32_t count, const uint32_t *refs,
                    bool writable, void **addr);
int real_gnttab_unmap(struct xen_gnttab *g, void *addr, uint32_t count);
int real_gnttab_copy(struct xen_gnttab *g, uint16_t domid, struct xen_copy *pieces, uint32_t n);

/* Whether the kernel copies for that handle; else real_gnttab_copy maps each piece. */
bool real_gnttab_copies(struct xen_gnttab *g);

int real_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err);
void real_gntshr_close(struct xen_gntshr *s);
int real_gntshr_share(struct xen_gntshr *s, uint16_t domid, uint32_t count, bool writable,
                      uint32_t *refs, void **addr);
int real_gntshr_unshare(struct xen_gntshr *s, void *addr, uint32_t count);
int real_gntshr_revoke(struct xen_gntshr *s, const uint32_t *refs, uint32_t count);

int real_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err);
void real_evtchn_close(struct xen_evtchn *e);
int real_evtchn_fd(const struct xen_evtchn *e);
int real_evtchn_bind_interdomain(struct xen_evtchn *e, uint16_t domid, uint32_t remote_port);
int real_evtchn_bind_unbound(struct xen_evtchn *e, uint16_t domid);
int real_evtchn_unbind(struct xen_evtchn *e, uint32_t port);
int real_evtchn_notify(struct xen_evtchn *e, uint32_t port);
int real_evtchn_pending(struct xen_evtchn *e);
int real_evtchn_unmask(struct xen_evtchn *e, uint32_t port);

#endif
