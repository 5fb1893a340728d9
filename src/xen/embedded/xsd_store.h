/* SPDX-License-Identifier: MIT */
/* What the parts of the embedded xenstored share: the store, its domains, connections,
 * transactions. */
#ifndef XEN_EMBEDDED_XSD_STORE_H
#define XEN_EMBEDDED_XSD_STORE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "base/list.h"
#include "xen/embedded/xsd.h"
#include "xen/embedded/xsd_hash.h"
#include "xen/embedded/xsd_tree.h"

/* Limits of a domain that is not privileged; beyond one the answer is ENOSPC. */
enum {
	XSD_QUOTA_NODES = 1000,
	XSD_QUOTA_WATCHES = 128,
	XSD_QUOTA_TRANSACTIONS = 10,
	XSD_QUOTA_TXN_NODES = 1024,
	XSD_QUOTA_PERMS = 5,
	XSD_QUOTA_NODE_SIZE = 2048,
	XSD_QUOTA_TXN_BYTES = 2 << 20,            /* written in open transactions */
	XSD_QUOTA_OUTPUT = (2 << 20) + (1 << 19), /* unread: beyond it the connection is dead */
};

/* All of these structs belong to the store's thread. */

/* Made at first mention, lives as long as the store. */
struct xsd_domain {
	uint16_t domid;
	bool introduced, has_target;
	uint16_t target; /* SET_TARGET: we may do what that domain may */
	unsigned nodes, watches, transactions;
	size_t txn_bytes;
};

/* Changes of node counts that are not booked yet. */
struct xsd_acct {
	struct xsd_acct_entry {
		struct xsd_domain *dom;
		long delta;
	} * e;
	size_t n, cap;
};

/* What watches are to hear of. */
struct xsd_change {
	char *path;
	struct xsd_node *removed;    /* the subtree that is gone; or NULL */
	struct xsd_perms *old_perms; /* before SET_PERMS; or NULL */
};

struct xsd_changes {
	struct xsd_change *e;
	size_t n, cap;
};

enum xsd_op { XSD_OP_WRITE, XSD_OP_MKDIR, XSD_OP_RM, XSD_OP_SET_PERMS };

/* One change of the tree, asked for by a client; what it points to is the caller's. */
struct xsd_mutation {
	enum xsd_op op;
	const char *path; /* canonical */
	const void *data; /* WRITE */
	size_t len;
	struct xsd_perms *perms; /* SET_PERMS */
};

/* A tree to look at and change: the store's or a transaction's. */
struct xsd_view {
	struct xsd *x;
	struct xsd_node **root;
	struct xsd_acct *acct;
	struct xsd_changes *changes; /* NULL: nobody is to hear */
};

struct xsd_txn {
	struct list link; /* conn->txns */
	struct xsd_conn *conn;
	uint32_t id;
	struct xsd_node *base, *root; /* as it began; with our own writes */
	struct xsd_acct acct;
	struct list log;       /* own writes, in order */
	struct xsd_hash reads; /* paths looked at */
	size_t bytes, log_count;
};

struct xsd_watch {
	struct list conn_link;
	struct xsd_hlink link; /* x->watches, by path */
	struct xsd_conn *conn;
	size_t skip; /* cut off the front of event paths: the watch was set on a relative path */
	char *path, *token;
};

/* Bytes to the client. A message never straddles two chunks, and a chunk never moves. */
struct xsd_chunk {
	struct list link;
	size_t start, end, cap;
	char data[];
};

struct xsd_conn {
	struct list link;       /* x->conns */
	struct list ready_link; /* x->ready, or alone */
	struct xsd *x;
	struct xsd_domain *dom;
	void (*output_ready)(void *arg);
	void *arg;
	int dead; /* -errno that every later xsd_input returns */

	size_t in_len;
	char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];

	struct list out;         /* chunks */
	uint64_t queued, sent;   /* bytes, ever */
	struct list events;      /* unsent events in order */
	struct xsd_hash pending; /* the same by payload */

	struct list watches, txns;
	uint32_t last_txn;
};

struct xsd {
	struct xsd_node *root;
	uint64_t gen;
	struct xsd_hash watches;
	struct list conns, ready;
	unsigned conn_count, fault_conflicts, fault_reads;
	int fault_error;
	char fault_path[128];
	struct xsd_perms *introduce_perms, *release_perms; /* who hears of domains */
	struct xsd_changes changes;                        /* of the request being served */
	struct xsd_domain *domain[UINT16_MAX + 1];
};

/* xsd_domain.c */
struct xsd_domain *xsd_domain_of(struct xsd *x, uint16_t domid); /* NULL: no memory */
struct xsd_perms **xsd_special_perms(struct xsd *x, const char *path);
static inline bool xsd_privileged(const struct xsd_domain *d)
{
	return d->domid == 0;
}
uint8_t xsd_allowed(const struct xsd_domain *d, const struct xsd_perms *perms);

/* xsd_acct.c */
int xsd_acct_add(struct xsd_acct *a, struct xsd_domain *d, long delta);    /* 0 or -ENOMEM */
long xsd_acct_nodes(const struct xsd_acct *a, const struct xsd_domain *d); /* booked + pending */
void xsd_acct_book(struct xsd_acct *a); /* into the domains; leaves it empty */
void xsd_acct_fini(struct xsd_acct *a);
/* References are taken. 0 or -ENOMEM. */
int xsd_changes_add(struct xsd_changes *ch, const char *path, struct xsd_node *removed,
                    struct xsd_perms *old_perms);
void xsd_changes_clear(struct xsd_changes *ch);

/* xsd_ops.c */
/* The node, if d has all of `need`. 0, -ENOENT, -EACCES (also for a missing one, judged by its
 * nearest ancestor). */
int xsd_view_get(const struct xsd_view *v, const struct xsd_domain *d, const char *path,
                 uint8_t need, struct xsd_node **out);
/* 0 or -errno as the client shall see it. Checks permissions and quotas. */
int xsd_mutate(const struct xsd_view *v, const struct xsd_domain *d, const struct xsd_mutation *m);

/* xsd_txn.c */
int xsd_txn_start(struct xsd_conn *c, uint32_t *id);           /* 0, -ENOSPC, -ENOMEM */
struct xsd_txn *xsd_txn_find(struct xsd_conn *c, uint32_t id); /* NULL: no such */
struct xsd_view xsd_txn_view(struct xsd_txn *t);
int xsd_txn_note_read(struct xsd_txn *t, const char *path); /* 0, -ENOSPC, -ENOMEM */
int xsd_txn_mutate(struct xsd_txn *t, const struct xsd_mutation *m);
/* Applies to the store and records in x->changes. 0, -EAGAIN, -ENOMEM. The caller frees t. */
int xsd_txn_commit(struct xsd_txn *t);
void xsd_txn_free(struct xsd_txn *t);

/* xsd_watch.c */
/* path as the client gave it, canonical: made from it. 0, -EEXIST, -ENOSPC, -ENOMEM */
int xsd_watch_add(struct xsd_conn *c, const char *canonical, bool relative, const char *token,
                  struct xsd_watch **out);
int xsd_watch_del(struct xsd_conn *c, const char *canonical, const char *token); /* 0, -ENOENT */
void xsd_watch_del_all(struct xsd_conn *c);
void xsd_watch_initial(struct xsd_watch *w);
void xsd_watch_fire_changes(struct xsd *x);                   /* and clears x->changes */
void xsd_watch_fire_special(struct xsd *x, const char *path); /* "@…" */

/* xsd_introduce.c */
/* As the public pair, but without calling anybody's output_ready. False: it was so already. */
bool xsd_set_introduced(struct xsd *x, struct xsd_domain *d, bool introduced);

/* xsd_out.c */
/* One message. After a failure (no memory, limit) the connection is dead. */
void xsd_out_message(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const void *payload);
void xsd_out_event(struct xsd_conn *c, const char *path, const char *token);
void xsd_out_clear(struct xsd_conn *c);
void xsd_out_flush_ready(struct xsd *x); /* calls output_ready where due */

/* xsd_request.c: answers one message. payload has hdr->len bytes. */
void xsd_request(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const char *payload);

#endif
