/* SPDX-License-Identifier: MIT */
/*
 * What xenblkd needs of a Xen: grants, event channels, and where its xenstore listens.
 *
 * The embedded Xen (src/xen/embedded) and the real one (src/xen/real) have the same interface; only
 * xen_platform_open knows which there are. It follows libxengnttab and
 * libxenevtchn (Xen public headers xengnttab.h, xenevtchn.h), except that errors are -errno.
 *
 * Threads: a platform may be used from any thread; every handle opened from it (gnttab, evtchn,
 * gntshr) belongs to one thread at a time. Handles must be closed before their platform.
 */
#ifndef XEN_PLATFORM_H
#define XEN_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define XEN_PAGE_SIZE 4096u
#define XEN_DOMID_MAX 0x7fefu /* DOMID_FIRST_RESERVED - 1, xen/xen.h */

struct xen_platform;
struct xen_gnttab; /* maps and copies pages that other domains grant to us */
struct xen_evtchn; /* event channels: one file descriptor for any number of ports */
struct xen_gntshr; /* grants pages to other domains: the front end's side */

/*
 * Connects to the embedded Xen in that directory, acting as domain `domid` (0: the control domain;
 * another one must exist), or with embedded_dir NULL to the real Xen of this machine, where domid
 * is ignored. 0 or -errno with *err saying what is missing.
 */
int xen_platform_open(const char *embedded_dir, uint16_t domid, struct xen_platform **out,
                      struct error *err);
void xen_platform_close(struct xen_platform *p); /* NULL is fine */

/* Path of the socket on which xenstore answers this domain, NULL for libxenstore's default.
 * Lives as long as the platform. */
const char *xen_platform_store_path(const struct xen_platform *p);

/* What gnttab_open and evtchn_open open by path, up to a NULL; lives as long as the platform. */
const char *const *xen_platform_paths(const struct xen_platform *p);

/* What this Xen, and the kernel's way to it, can do. Probed when the platform is opened. */
struct xen_limits {
	bool grant_copy;    /* else each piece of a copy is mapped for it: correct, but slow */
	uint32_t map_pages; /* references that one xen_gnttab_map takes */
};
struct xen_limits xen_platform_limits(const struct xen_platform *p);

/* ---- grants of others ---- */

int xen_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err);
/* Unmap everything before: the real one's maps outlive the handle. NULL is fine. */
void xen_gnttab_close(struct xen_gnttab *g);

/*
 * Maps `count` references granted by domain `domid` contiguously; all or nothing.
 * 0 and *addr (page aligned), or -EINVAL (bad reference, not granted to us), -EACCES (read-only
 * grant mapped writable), -EAGAIN (paged out), -ENOMEM, …
 */
int xen_gnttab_map(struct xen_gnttab *g, uint16_t domid, uint32_t count, const uint32_t *refs,
                   bool writable, void **addr);
/* addr and count as mapped. */
int xen_gnttab_unmap(struct xen_gnttab *g, void *addr, uint32_t count);

/* One piece of a batch copy between our memory and a granted page. */
struct xen_copy {
	void *local;
	uint32_t ref;
	uint16_t offset, length; /* bytes; offset + length <= XEN_PAGE_SIZE */
	bool to_guest;           /* else from the guest's page to local */
	int16_t status;          /* out: 0 done, else negative, GNTST_* of xen/grant_table.h */
};

/* Copies each piece on its own; look at every status. Returns 0, or -errno if the call failed: then
 * a negative status says nothing of its reference, and the piece may have been copied. -ENOMEM,
 * -EAGAIN, -ENOBUFS, -EINTR: the kernel was short of memory, another call may do. No allocation, no
 * lock. */
int xen_gnttab_copy(struct xen_gnttab *g, uint16_t domid, struct xen_copy *pieces, uint32_t n);

/* ---- event channels ---- */

int xen_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err);
void xen_evtchn_close(struct xen_evtchn *e);   /* closes all its ports; NULL is fine */
int xen_evtchn_fd(const struct xen_evtchn *e); /* readable while xen_evtchn_pending has a port */

/* Binds to remote_port, which domain domid allocated for us. Returns our port (> 0), which is
 * pending at once as Xen makes it, or -EINVAL, -ENOENT … */
int xen_evtchn_bind_interdomain(struct xen_evtchn *e, uint16_t domid, uint32_t remote_port);
/* Allocates a port that domain domid may bind. Returns it (> 0) or -errno. */
int xen_evtchn_bind_unbound(struct xen_evtchn *e, uint16_t domid);
int xen_evtchn_unbind(struct xen_evtchn *e, uint32_t port);
/* Wakes the other end; without one the event is dropped, as in Xen. 0 or -errno. */
int xen_evtchn_notify(struct xen_evtchn *e, uint32_t port);
/* The next pending port, which is masked from now on (events are remembered, not signalled) until
 * xen_evtchn_unmask; -EAGAIN if there is none. Does not block. */
int xen_evtchn_pending(struct xen_evtchn *e);
int xen_evtchn_unmask(struct xen_evtchn *e, uint32_t port);

/* ---- grants of our own (front end's side) ---- */

int xen_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err);
void xen_gntshr_close(struct xen_gntshr *s); /* revokes everything; NULL is fine */
/* `count` fresh zeroed pages, contiguous in *addr, one reference each, granted to domid. */
int xen_gntshr_share(struct xen_gntshr *s, uint16_t domid, uint32_t count, bool writable,
                     uint32_t *refs, void **addr);
/* Revokes and frees. -EBUSY while the other side still maps one of them (nothing is freed then). */
int xen_gntshr_unshare(struct xen_gntshr *s, void *addr, uint32_t count);

/* ---- the embedded Xen's hypervisor calls for toolstack and tests; -ENOTSUP on the real one ----
 */

/* Creates / destroys a domain: memory, ports, its xenstore connection (and @introduceDomain /
 * @releaseDomain). -EEXIST / -ENOENT. The nodes under /local/domain are the toolstack's. */
int xen_domain_create(struct xen_platform *p, uint16_t domid, struct error *err);
int xen_domain_destroy(struct xen_platform *p, uint16_t domid, struct error *err);
/* Revokes grants in the middle of everything, as a hostile guest would: the entry becomes invalid
 * for new maps and copies even if it is mapped. */
int xen_gntshr_revoke(struct xen_gntshr *s, const uint32_t *refs, uint32_t count);

/*
 * Asks for a fault. One line of text:
 *   grant DOMID REF STATUS COUNT   the next COUNT maps or copies of REF fail with STATUS (negative)
 *   lose-event DOMID PORT COUNT    the next COUNT events sent to that port are dropped
 *   spurious-event DOMID PORT      that port becomes pending without a sender
 *   conflict COUNT                 the next COUNT xenstore commits fail with EAGAIN
 *   read ERRNO PATH COUNT          the next COUNT reads of nodes whose path ends with PATH fail
 *                                  with that number (5: EIO); of one PATH at a time
 *   read ERRNO watch:PATH COUNT    the same of watches on such nodes
 *   refuse-copies DOMID ERRNO COUNT  the next COUNT calls of xen_gnttab_copy with that domain fail
 *                                  as a whole with that number (12: ENOMEM), half done
 *   delay-store MS                 every xenstore answer is delayed by MS (0: not any more)
 *   clear                          ends all of the above
 * 0 or -EINVAL.
 */
int xen_fault(struct xen_platform *p, const char *line, struct error *err);

/* What is in use: counts for leak checks. */
struct xen_usage {
	uint32_t domains;     /* without domain 0 */
	uint32_t clients;     /* open connections, that of the caller included */
	uint32_t grants;      /* references handed out */
	uint32_t maps;        /* references mapped */
	uint32_t ports;       /* event-channel ports in any state but free */
	uint32_t interdomain; /* of these, bound ones */
	uint32_t store_conns; /* xenstore connections */
};
int xen_usage(struct xen_platform *p, struct xen_usage *out);

#endif
