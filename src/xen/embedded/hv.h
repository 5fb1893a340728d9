/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own state, and what its files do, from those that all others need up to those
 * that need all others.
 * All of it belongs to the one thread that runs the loop.
 */
#ifndef XEN_EMBEDDED_HV_H
#define XEN_EMBEDDED_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/loop.h"
#include "xen/embedded/hv_ids.h"
#include "xen/embedded/hypercall.h"
#include "xen/embedded/xsd.h"

/* Owned by struct hv_domain: one page of its memory. */
struct hv_frame {
	enum {
		FRAME_FREE,
		FRAME_SHARED,
		FRAME_ORPHAN
	} state;       /* orphan: freed when nobody uses it */
	uint32_t pins; /* maps of it */
	uint32_t ref;  /* under which it is or was granted; 0: none yet */
};

/* Owned by the hypervisor: a socket that is listened on. */
struct hv_listener {
	struct loop_fd lfd; /* fd -1: not open */
	struct hv *hv;
	void (*accepted)(struct hv_listener *l, int fd); /* fd is its own from then on */
};

/* Owned by the hypervisor; lives on behind its destruction while a map or connection needs it. */
struct hv_domain {
	struct hv *hv;
	uint16_t domid;
	bool alive;
	uint32_t users; /* being alive, connections, maps, waiting frames */
	uint64_t serial;
	int memory_fd, table_fd;
	struct hv_table *table;
	struct hv_frame *frames;
	uint32_t next_frame;
	uint32_t *free_refs; /* stack */
	uint32_t free_refs_n, next_ref;
	struct hv_share **ref_share; /* which share a reference belongs to */
	struct hv_ids ports;         /* of struct hv_port */
	struct hv_listener store;
	uint32_t refusals; /* of batches of copies, still to come, with refusal_errno */
	int refusal_errno;
};

/* Owned by the connection that made it. */
struct hv_map {
	struct hv_domain *domain;
	uint32_t count;
	uint32_t frames[];
};

/* Owned by the connection that made it. */
struct hv_share {
	struct hv_conn *conn;
	struct hv_domain *domain;
	uint32_t first_frame, count;
	uint32_t refs[];
};

/* Owned by the connection that made it; known to its domain and to its line. */
struct hv_port {
	struct hv_conn *conn;
	uint16_t remote_domid; /* who may bind, or has bound */
	uint32_t port;         /* number in the domain, and in the connection */
	struct hv_line_info *line;
	unsigned side;
};

/* Owned by the hypervisor while either end has a port. */
struct hv_line_info {
	uint32_t index;
	struct hv_port *end[2];
	int efd[2];
};

/* Owned by the hypervisor: one client handle. */
struct hv_conn {
	struct loop_fd lfd;
	struct list link;
	struct hv *hv;
	bool greeted;
	enum hv_kind kind;
	struct hv_domain *domain;
	struct hv_ids maps, shares;
	struct hv_ids ports; /* by number; same objects as in the domain */
	uint32_t slot;       /* gnttab: its copy slot */
};

/* Owned by the hypervisor: COUNT uses of a reference that fail. */
struct hv_grant_fault {
	struct list link;
	uint16_t domid;
	uint32_t ref, count;
	int16_t status;
};

struct hv {
	struct loop *loop;
	const char *dir;
	struct hv_listener calls;
	struct list conns;
	struct hv_domain *domains[0x7ff0];
	uint64_t last_serial;
	struct hv_ids lines, slots;
	int lines_fd, slots_fd;
	struct hv_line *line_mem;
	struct hv_slot *slot_mem;
	uint32_t last_epoch;
	struct list waiting; /* frames that a copy still uses */
	struct loop_timer waiting_timer;
	struct list faults;
	int spare_fd; /* given up to turn away a client when descriptors run out */
	/* hv_store.c */
	struct xsd *xsd;
	struct list store_conns, store_dirty;
	uint64_t store_delay_ns;
	struct hv_call *call; /* the one being served; too big for a stack */
};

/* A request as received, and where its answer is put together. */
struct hv_call {
	struct hv_conn *conn;
	struct hv_request req;
	union {
		uint32_t words[HV_REFS_MAX];
		char text[HV_TEXT_MAX + 1];
	} in;
	struct hv_reply reply;
	uint32_t out[HV_REFS_MAX];
	int fds[HV_FDS_MAX];
};

/* ---- hv_memfd.c ---- */
/* A sparse shared memory of that size, zeroed, mapped if `mem` is given; ours: nobody but us can
 * write to it. Its fd or -errno. */
int hv_memfd(const char *name, size_t size, bool ours, void **mem);

/* ---- hv_listen.c ---- */
/* A unix socket of that type (SOCK_STREAM …) for our user only. */
int hv_listen(struct hv *hv, struct hv_listener *l, int type, const char *path,
              void (*accepted)(struct hv_listener *l, int fd), struct error *err);
void hv_unlisten(struct hv_listener *l, const char *path); /* also if not open */
int hv_spare_fd(void);                                     /* for hv->spare_fd; or -1 */

/* ---- hv_domain_ref.c ---- */
struct hv_domain *hv_domain_find(struct hv *hv, uint16_t domid); /* alive, or NULL */
void hv_domain_put(struct hv_domain *d);

/* ---- hv_memory.c ---- */
int hv_frames_alloc(struct hv_domain *d, uint32_t count, uint32_t *first);
void hv_frames_release(struct hv_domain *d, uint32_t first,
                       uint32_t count); /* once unused: free,
                                          and their references */
void hv_frame_unpin(struct hv_domain *d, uint32_t frame);
bool hv_slot_busy(struct hv *hv, uint16_t domid, uint32_t ref);
void hv_memory_init(struct hv *hv);
void hv_memory_fini(struct hv *hv);

/* ---- hv_event.c ---- */
int hv_alloc_unbound(struct hv_call *call);
int hv_bind(struct hv_call *call); /* -EBUSY: as far as we know, there is no such end to be had */
int hv_unbind(struct hv_conn *c, uint32_t port);
void hv_ports_end(struct hv_conn *c);
void hv_port_raise(struct hv_port *p);
struct hv_end *hv_port_end(const struct hv_port *p);

/* ---- hv_store.c ---- */
int hv_store_init(struct hv *hv, struct error *err);
void hv_store_fini(struct hv *hv);
void hv_store_flush(struct hv *hv); /* after each call into xsd that may cause output */
int hv_store_domain_add(struct hv_domain *d, struct error *err); /* its socket */
void hv_store_domain_remove(struct hv_domain *d);                /* … and its clients */
void hv_store_reap(struct hv *hv); /* clients that hung up, see hv_reap */
/* Answers are held back so long from now on. */
void hv_store_delay(struct hv *hv, uint64_t ns);

/* ---- hv_fault.c ---- */
int hv_fault(struct hv *hv, const char *text);
/* The fault of one use of that grant: GNTST_* < 0, or 0. */
int hv_fault_take(struct hv *hv, struct hv_domain *d, uint32_t ref);
/* How the next batch of copies from or to that domain fails: an errno, or 0. */
int hv_refusal_take(struct hv_domain *d);
void hv_faults_forget(struct hv *hv, int domid); /* -1: of all */

/* ---- hv_grant.c ---- */
int hv_memory(struct hv_call *call);
int hv_map(struct hv_call *call);
int hv_unmap(struct hv_conn *c, uint32_t id);
int hv_share(struct hv_call *call);
int hv_unshare(struct hv_conn *c, uint32_t id); /* -EBUSY: as far as we know, it is in use */
int hv_revoke(struct hv_call *call);
void hv_shares_end(struct hv_conn *c); /* without asking whether they are in use */
void hv_maps_end(struct hv_conn *c);

/* ---- hv_conn.c ---- */
void hv_conn_close(struct hv_conn *c);
/* Ends connections whose process is dead but whose end the loop has not told yet: called before
 * something is refused for being in use. */
void hv_reap(struct hv *hv, const struct hv_conn *except);

/* ---- hv_domain.c ---- */
int hv_domain_create(struct hv *hv, uint16_t domid, struct error *err);
int hv_domain_destroy(struct hv *hv, uint16_t domid);

/* ---- hv_usage.c ---- */
void hv_usage(struct hv *hv, struct hv_call *call);

/* ---- hv_call.c ---- */
void hv_call_accepted(struct hv_listener *l, int fd); /* of hv->calls */

/* ---- hv.c ---- */

/* dir must outlive it. 0 or -errno with *err. */
int hv_new(struct loop *loop, const char *dir, struct hv **out, struct error *err);
void hv_free(struct hv *hv); /* ends all connections, unlinks the sockets; NULL is fine */

#endif
