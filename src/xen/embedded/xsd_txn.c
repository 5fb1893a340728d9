/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a snapshot that takes the client's own writes, a set of what was read, a log of
 * what was written. A commit compares the reads with the store of now and plays the log again
 * there.
 */
#include "xen/embedded/xsd_txn.h"

#include <stdlib.h>
#include <string.h>

#include "xen/embedded/xsd_acct.h"
#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_ops.h"

struct read_entry {
	struct xsd_hlink link;
	char path[];
};

struct log_entry {
	struct list link;
	struct xsd_mutation m; /* points into text, and holds a reference on perms */
	size_t size;
	char text[];
};

struct xsd_txn *xsd_txn_find(struct xsd_conn *c, uint32_t id)
{
	list_for_each(it, tmp, &c->txns)
	{
		struct xsd_txn *t = container_of(it, struct xsd_txn, link);

		if (t->id == id)
			return t;
	}
	return NULL;
}

int xsd_txn_start(struct xsd_conn *c, uint32_t *id)
{
	struct xsd_txn *t;

	if (!xsd_privileged(c->dom) && c->dom->transactions >= XSD_QUOTA_TRANSACTIONS)
		return -ENOSPC;
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	do {
		t->id = ++c->last_txn;
	} while (!t->id || xsd_txn_find(c, t->id));
	t->conn = c;
	t->base = xsd_node_get(c->x->root);
	t->root = xsd_node_get(c->x->root);
	list_init(&t->log);
	list_append(&c->txns, &t->link);
	c->dom->transactions++;
	*id = t->id;
	return 0;
}

static void log_entry_free(struct log_entry *e)
{
	xsd_perms_put(e->m.perms);
	free(e);
}

void xsd_txn_free(struct xsd_txn *t)
{
	struct xsd_hlink *l;

	list_for_each(it, tmp, &t->log) log_entry_free(container_of(it, struct log_entry, link));
	while ((l = xsd_hash_pop(&t->reads)))
		free(container_of(l, struct read_entry, link));
	xsd_hash_fini(&t->reads);
	xsd_acct_fini(&t->acct);
	xsd_node_put(t->base);
	xsd_node_put(t->root);
	t->conn->dom->transactions--;
	t->conn->dom->txn_bytes -= t->bytes;
	list_remove(&t->link);
	free(t);
}

struct xsd_view xsd_txn_view(struct xsd_txn *t)
{
	return (struct xsd_view){.x = t->conn->x, .root = &t->root, .acct = &t->acct};
}

/* Books n more bytes of a transaction's memory on its domain. */
static int charge(struct xsd_txn *t, size_t n)
{
	struct xsd_domain *d = t->conn->dom;

	if (!xsd_privileged(d) && (t->log_count + t->reads.count >= XSD_QUOTA_TXN_NODES ||
	                           d->txn_bytes + n > XSD_QUOTA_TXN_BYTES))
		return -ENOSPC;
	t->bytes += n;
	d->txn_bytes += n;
	return 0;
}

static void uncharge(struct xsd_txn *t, size_t n)
{
	t->bytes -= n;
	t->conn->dom->txn_bytes -= n;
}

int xsd_txn_note_read(struct xsd_txn *t, const char *path)
{
	size_t n = strlen(path) + 1;
	uint64_t hash = xsd_hash_bytes(path, n);
	struct read_entry *e;
	int rc;

	for (struct xsd_hlink *l = xsd_hash_first(&t->reads, hash); l; l = xsd_hash_next(l)) {
		if (!strcmp(container_of(l, struct read_entry, link)->path, path))
			return 0;
	}
	rc = charge(t, sizeof *e + n);
	if (rc)
		return rc;
	e = malloc(sizeof *e + n);
	if (e) {
		memcpy(e->path, path, n);
		if (!xsd_hash_add(&t->reads, &e->link, hash))
			return 0;
	}
	free(e);
	uncharge(t, sizeof *e + n);
	return -ENOMEM;
}

static struct log_entry *log_entry_new(const struct xsd_mutation *m)
{
	size_t path_n = strlen(m->path) + 1, n = sizeof(struct log_entry) + path_n + m->len;
	struct log_entry *e = malloc(n);

	if (!e)
		return NULL;
	e->size = n;
	e->m = *m;
	e->m.path = memcpy(e->text, m->path, path_n);
	e->m.data = e->text + path_n;
	if (m->len)
		memcpy(e->text + path_n, m->data, m->len);
	if (m->perms)
		xsd_perms_get(m->perms);
	return e;
}

int xsd_txn_mutate(struct xsd_txn *t, const struct xsd_mutation *m)
{
	struct xsd_view v = xsd_txn_view(t);
	struct log_entry *e = log_entry_new(m);
	int rc;

	if (!e)
		return -ENOMEM;
	rc = charge(t, e->size);
	if (rc)
		goto out;
	rc = xsd_mutate(&v, t->conn->dom, m);
	if (rc) {
		uncharge(t, e->size);
		goto out;
	}
	list_append(&t->log, &e->link);
	t->log_count++;
	return 0;
out:
	log_entry_free(e);
	return rc;
}

static bool reads_hold(const struct xsd_txn *t)
{
	struct xsd_node *now = t->conn->x->root;

	if (now == t->base)
		return true;
	for (size_t i = 0; i < t->reads.buckets; i++) {
		for (struct xsd_hlink *l = t->reads.bucket[i]; l; l = l->next) {
			const char *path = container_of(l, struct read_entry, link)->path;

			if (xsd_tree_gen(t->base, path) != xsd_tree_gen(now, path))
				return false;
		}
	}
	return true;
}

/*
 * A blind write must not raise a directory from the dead: the nearest ancestor that was there when
 * the transaction began has to be there still. (RM of something gone is done already.)
 */
static bool parent_holds(const struct xsd_txn *t, const struct xsd_mutation *m)
{
	char up[XSD_PATH_CAP];

	strcpy(up, m->path);
	while (xsd_path_up(up)) {
		if (xsd_tree_find(t->base, up))
			return xsd_tree_find(t->conn->x->root, up) != NULL;
	}
	return true;
}

static int replay(struct xsd_txn *t, struct xsd_acct *acct)
{
	struct xsd *x = t->conn->x;
	struct xsd_view v = {.x = x, .root = &x->root, .acct = acct, .changes = &x->changes};

	list_for_each(it, tmp, &t->log)
	{
		struct log_entry *e = container_of(it, struct log_entry, link);
		int rc = xsd_mutate(&v, t->conn->dom, &e->m);

		if (rc == -ENOENT && e->m.op == XSD_OP_RM)
			continue;
		/* It was fine on the snapshot: somebody changed something meanwhile. */
		if (rc)
			return rc == -ENOMEM ? rc : -EAGAIN;
	}
	return 0;
}

int xsd_txn_commit(struct xsd_txn *t)
{
	struct xsd *x = t->conn->x;
	struct xsd_acct acct = {0};
	struct xsd_node *before;
	int rc;

	if (x->fault_conflicts) {
		x->fault_conflicts--;
		return -EAGAIN;
	}
	if (!reads_hold(t))
		return -EAGAIN;
	list_for_each(it, tmp, &t->log)
	{
		const struct log_entry *e = container_of(it, struct log_entry, link);

		if (e->m.op != XSD_OP_RM && !parent_holds(t, &e->m))
			return -EAGAIN;
	}
	before = xsd_node_get(x->root);
	rc = replay(t, &acct);
	if (rc) {
		xsd_node_put(x->root);
		x->root = before;
		xsd_changes_clear(&x->changes);
	} else {
		xsd_node_put(before);
		xsd_acct_book(&acct);
	}
	xsd_acct_fini(&acct);
	return rc;
}
