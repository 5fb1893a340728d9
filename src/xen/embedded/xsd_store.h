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

#endif
