/* SPDX-License-Identifier: MIT */
/* The store as a whole: birth, connections, framing of what clients send. */
#include "xen/embedded/xsd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xen/embedded/xsd_acct.h"
#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_ops.h"
#include "xen/embedded/xsd_out.h"
#include "xen/embedded/xsd_request.h"
#include "xen/embedded/xsd_store.h"
#include "xen/embedded/xsd_txn.h"
#include "xen/embedded/xsd_watch.h"

static int seed(struct xsd *x, const char *path)
{
	struct xsd_acct acct = {0};
	struct xsd_view v = {.x = x, .root = &x->root, .acct = &acct};
	struct xsd_mutation m = {.op = XSD_OP_MKDIR, .path = path};
	struct xsd_domain *dom0 = xsd_domain_of(x, 0);
	int rc = dom0 ? xsd_mutate(&v, dom0, &m) : -ENOMEM;

	if (!rc)
		xsd_acct_book(&acct);
	xsd_acct_fini(&acct);
	return rc;
}

int xsd_new(struct xsd **out)
{
	static const char *const first[] = {"/tool/xenstored", "/local/domain", "/vm", "/libxl"};
	static const struct xsd_perm dom0_only = {.domid = 0, .bits = 0};
	struct xsd_perms *perms = xsd_perms_new(&dom0_only, 1);
	struct xsd *x = calloc(1, sizeof *x);
	int rc = -ENOMEM;

	if (!x || !perms)
		goto out;
	list_init(&x->conns);
	list_init(&x->ready);
	x->gen = 1;
	x->introduce_perms = xsd_perms_get(perms);
	x->release_perms = xsd_perms_get(perms);
	x->root = xsd_tree_new(perms);
	rc = x->root ? 0 : -ENOMEM;
	for (size_t i = 0; !rc && i < sizeof first / sizeof *first; i++)
		rc = seed(x, first[i]);
	if (rc) {
		xsd_free(x);
		x = NULL;
		goto out;
	}
	x->domain[0]->introduced = true;
	*out = x;
	x = NULL;
out:
	free(x);
	xsd_perms_put(perms);
	return rc;
}

void xsd_free(struct xsd *x)
{
	if (!x)
		return;
	list_for_each(it, tmp, &x->conns) xsd_disconnect(container_of(it, struct xsd_conn, link));
	xsd_hash_fini(&x->watches);
	xsd_changes_clear(&x->changes);
	xsd_node_put(x->root);
	xsd_perms_put(x->introduce_perms);
	xsd_perms_put(x->release_perms);
	for (size_t i = 0; i < sizeof x->domain / sizeof *x->domain; i++)
		free(x->domain[i]);
	free(x);
}

struct xsd_conn *xsd_connect(struct xsd *x, uint16_t domid, void (*output_ready)(void *arg),
                             void *arg)
{
	struct xsd_domain *dom = xsd_domain_of(x, domid);
	struct xsd_conn *c = dom ? calloc(1, sizeof *c) : NULL;

	if (!c)
		return NULL;
	c->x = x;
	c->dom = dom;
	c->output_ready = output_ready;
	c->arg = arg;
	list_init(&c->ready_link);
	list_init(&c->out);
	list_init(&c->events);
	list_init(&c->watches);
	list_init(&c->txns);
	list_append(&x->conns, &c->link);
	x->conn_count++;
	return c;
}

void xsd_disconnect(struct xsd_conn *c)
{
	if (!c)
		return;
	xsd_watch_del_all(c);
	list_for_each(it, tmp, &c->txns) xsd_txn_free(container_of(it, struct xsd_txn, link));
	xsd_out_clear(c);
	list_remove(&c->ready_link);
	list_remove(&c->link);
	c->x->conn_count--;
	free(c);
}

unsigned xsd_connections(const struct xsd *x)
{
	return x->conn_count;
}

/* Takes bytes until c->in holds `want`. True: it does. */
static bool fill(struct xsd_conn *c, size_t want, const char **data, size_t *n)
{
	size_t part = want - c->in_len < *n ? want - c->in_len : *n;

	memcpy(c->in + c->in_len, *data, part);
	c->in_len += part;
	*data += part;
	*n -= part;
	return c->in_len == want;
}

static void take(struct xsd_conn *c, const char *data, size_t n)
{
	struct xsd_sockmsg hdr;

	while (!c->dead) {
		if (c->in_len < sizeof hdr && !fill(c, sizeof hdr, &data, &n))
			return;
		memcpy(&hdr, c->in, sizeof hdr);
		if (hdr.len > XENSTORE_PAYLOAD_MAX) {
			c->dead = -EPROTO;
			return;
		}
		if (!fill(c, sizeof hdr + hdr.len, &data, &n))
			return;
		c->in_len = 0;
		xsd_request(c, &hdr, c->in + sizeof hdr);
	}
}

int xsd_input(struct xsd_conn *c, const void *data, size_t n)
{
	struct xsd *x = c->x;
	int rc;

	if (n)
		take(c, data, n);
	/* Read first: a callback may disconnect c. */
	rc = c->dead;
	xsd_out_flush_ready(x);
	return rc;
}

void xsd_fault_conflicts(struct xsd *x, unsigned n)
{
	x->fault_conflicts = n;
}

void xsd_fault_reads(struct xsd *x, int error, const char *path, unsigned n)
{
	x->fault_error = error;
	x->fault_reads = n;
	snprintf(x->fault_path, sizeof x->fault_path, "%s", path);
}
