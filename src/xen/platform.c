/* SPDX-License-Identifier: MIT */
/* The factory: chooses a Xen, and hands every call to it. */
#include "xen/platform.h"

#include <stddef.h>

#include "xen/embedded/client.h"
#include "xen/platform_ops.h"
#include "xen/real/real.h"

int xen_platform_open(const char *embedded_dir, uint16_t domid, struct xen_platform **out,
                      struct error *err)
{
	*out = NULL;
	if (embedded_dir)
		return embedded_open(embedded_dir, domid, out, err);
	return real_open(out, err);
}

void xen_platform_close(struct xen_platform *p)
{
	if (p)
		p->ops->close(p);
}

const char *xen_platform_store_path(const struct xen_platform *p)
{
	return p->ops->store_path(p);
}

const char *const *xen_platform_paths(const struct xen_platform *p)
{
	return p->ops->paths(p);
}

struct xen_limits xen_platform_limits(const struct xen_platform *p)
{
	return p->limits;
}

int xen_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err)
{
	*out = NULL;
	return p->ops->gnttab_open(p, out, err);
}

void xen_gnttab_close(struct xen_gnttab *g)
{
	if (g)
		g->ops->gnttab_close(g);
}

int xen_gnttab_map(struct xen_gnttab *g, uint16_t domid, uint32_t count, const uint32_t *refs,
                   bool writable, void **addr)
{
	return g->ops->gnttab_map(g, domid, count, refs, writable, addr);
}

int xen_gnttab_unmap(struct xen_gnttab *g, void *addr, uint32_t count)
{
	return g->ops->gnttab_unmap(g, addr, count);
}

int xen_gnttab_copy(struct xen_gnttab *g, uint16_t domid, struct xen_copy *pieces, uint32_t n)
{
	return g->ops->gnttab_copy(g, domid, pieces, n);
}

int xen_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err)
{
	*out = NULL;
	return p->ops->evtchn_open(p, out, err);
}

void xen_evtchn_close(struct xen_evtchn *e)
{
	if (e)
		e->ops->evtchn_close(e);
}

int xen_evtchn_fd(const struct xen_evtchn *e)
{
	return e->ops->evtchn_fd(e);
}

int xen_evtchn_bind_interdomain(struct xen_evtchn *e, uint16_t domid, uint32_t remote_port)
{
	return e->ops->evtchn_bind_interdomain(e, domid, remote_port);
}

int xen_evtchn_bind_unbound(struct xen_evtchn *e, uint16_t domid)
{
	return e->ops->evtchn_bind_unbound(e, domid);
}

int xen_evtchn_unbind(struct xen_evtchn *e, uint32_t port)
{
	return e->ops->evtchn_unbind(e, port);
}

int xen_evtchn_notify(struct xen_evtchn *e, uint32_t port)
{
	return e->ops->evtchn_notify(e, port);
}

int xen_evtchn_pending(struct xen_evtchn *e)
{
	return e->ops->evtchn_pending(e);
}

int xen_evtchn_unmask(struct xen_evtchn *e, uint32_t port)
{
	return e->ops->evtchn_unmask(e, port);
}

int xen_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err)
{
	*out = NULL;
	return p->ops->gntshr_open(p, out, err);
}

void xen_gntshr_close(struct xen_gntshr *s)
{
	if (s)
		s->ops->gntshr_close(s);
}

int xen_gntshr_share(struct xen_gntshr *s, uint16_t domid, uint32_t count, bool writable,
                     uint32_t *refs, void **addr)
{
	return s->ops->gntshr_share(s, domid, count, writable, refs, addr);
}

int xen_gntshr_unshare(struct xen_gntshr *s, void *addr, uint32_t count)
{
	return s->ops->gntshr_unshare(s, addr, count);
}

int xen_gntshr_revoke(struct xen_gntshr *s, const uint32_t *refs, uint32_t count)
{
	return s->ops->gntshr_revoke(s, refs, count);
}

int xen_domain_create(struct xen_platform *p, uint16_t domid, struct error *err)
{
	return p->ops->domain_create(p, domid, err);
}

int xen_domain_destroy(struct xen_platform *p, uint16_t domid, struct error *err)
{
	return p->ops->domain_destroy(p, domid, err);
}

int xen_fault(struct xen_platform *p, const char *line, struct error *err)
{
	return p->ops->fault(p, line, err);
}

int xen_usage(struct xen_platform *p, struct xen_usage *out)
{
	return p->ops->usage(p, out);
}
