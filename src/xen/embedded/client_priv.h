/* SPDX-License-Identifier: MIT */
/*
 * What the client files share: the platform, one request to the hypervisor, and the registry of
 * mapped regions. client.c: platform; client_call.c: requests; client_gnttab.c, client_copy.c,
 * client_evtchn.c, client_gntshr.c: the handles.
 */
#ifndef XEN_EMBEDDED_CLIENT_PRIV_H
#define XEN_EMBEDDED_CLIENT_PRIV_H

#include <pthread.h>
#include <stddef.h>

#include "base/list.h"
#include "xen/embedded/hypercall.h"
#include "xen/platform_ops.h"

/* Any thread; the lock guards the socket, the rest never changes. */
struct embedded {
	struct xen_platform base;
	uint16_t domid;
	char dir[HV_DIR_MAX + 1];
	char store_path[HV_DIR_MAX + 32];
	char hv_path[HV_DIR_MAX + sizeof "/" HV_SOCKET];
	const char *paths[2]; /* hv_path, NULL */
	pthread_mutex_t lock;
	int sock;
};

static inline struct embedded *embedded_of(const struct xen_platform *p)
{
	return container_of(p, struct embedded, base);
}

/* One request and its reply; on the caller's stack. */
struct client_call {
	struct hv_request req;
	const void *payload; /* req.bytes of it */
	struct hv_reply reply;
	void *out; /* where the reply's payload goes; it must be out_bytes long exactly */
	uint32_t out_bytes;
	int fds[HV_FDS_MAX]; /* received, caller closes; -1: none. All -1 on failure */
};

/*
 * Sends and waits for the reply. The reply's rc, which is < 0 for errors, or -EIO: the hypervisor
 * is gone or does not speak our language. `fds` descriptors are expected on success. No allocation.
 */
int client_call(int sock, struct client_call *call, unsigned fds);
/* A connection for one handle, greeted; `fds` of the reply in call->fds. Its socket or -errno with
 * *err. */
int client_connect(const struct embedded *e, enum hv_kind kind, struct client_call *call,
                   unsigned fds, struct error *err);
/* Ends all objects of the connection before it returns, then closes. */
void client_disconnect(int sock);

/* ---- regions: addresses given out, so that they can be taken back ---- */

#define REGION_BUCKETS 256u

/* Owned by its registry. */
struct region {
	struct region *next;
	void *addr;
	uint32_t count; /* pages */
	uint32_t id;    /* the hypervisor's */
};

/* Belongs to the handle's thread; zero-initialised is empty. */
struct regions {
	struct region *bucket[REGION_BUCKETS];
};

int regions_add(struct regions *r, void *addr, uint32_t count, uint32_t id); /* 0 or -ENOMEM */
struct region *regions_find(struct regions *r, const void *addr, uint32_t count);
void regions_remove(struct regions *r, struct region *region);
void regions_unmap_all(struct regions *r);

/* ---- handles: behind the ops table in client.c ---- */

int embedded_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err);
void embedded_gnttab_close(struct xen_gnttab *g);
int embedded_gnttab_map(struct xen_gnttab *g, uint16_t domid, uint32_t count, const uint32_t *refs,
                        bool writable, void **addr);
int embedded_gnttab_unmap(struct xen_gnttab *g, void *addr, uint32_t count);
int embedded_gnttab_copy(struct xen_gnttab *g, uint16_t domid, struct xen_copy *pieces, uint32_t n);

int embedded_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err);
void embedded_evtchn_close(struct xen_evtchn *e);
int embedded_evtchn_fd(const struct xen_evtchn *e);
int embedded_evtchn_bind_interdomain(struct xen_evtchn *e, uint16_t domid, uint32_t remote_port);
int embedded_evtchn_bind_unbound(struct xen_evtchn *e, uint16_t domid);
int embedded_evtchn_unbind(struct xen_evtchn *e, uint32_t port);
int embedded_evtchn_notify(struct xen_evtchn *e, uint32_t port);
int embedded_evtchn_pending(struct xen_evtchn *e);
int embedded_evtchn_unmask(struct xen_evtchn *e, uint32_t port);

int embedded_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err);
void embedded_gntshr_close(struct xen_gntshr *s);
int embedded_gntshr_share(struct xen_gntshr *s, uint16_t domid, uint32_t count, bool writable,
                          uint32_t *refs, void **addr);
int embedded_gntshr_unshare(struct xen_gntshr *s, void *addr, uint32_t count);
int embedded_gntshr_revoke(struct xen_gntshr *s, const uint32_t *refs, uint32_t count);

#endif
