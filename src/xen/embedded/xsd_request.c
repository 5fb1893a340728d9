/* SPDX-License-Identifier: MIT */
/* The requests of the wire protocol: who may ask, which transaction; those about nodes. */
#include "xen/embedded/xsd_request.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "xen/embedded/xsd_acct.h"
#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_message.h"
#include "xen/embedded/xsd_ops.h"
#include "xen/embedded/xsd_session.h"
#include "xen/embedded/xsd_txn.h"
#include "xen/embedded/xsd_watch.h"

static int one_path(struct xsd_request *rq)
{
	const char *arg[1];
	int rc = xsd_args(rq, arg, 1, 1);

	return rc < 0 ? rc : xsd_args_path(rq, arg[0]);
}

static int read_fault(struct xsd *x, const char *path)
{
	size_t n = strlen(path), tail = strlen(x->fault_path);

	if (!x->fault_reads || n < tail || strcmp(path + n - tail, x->fault_path))
		return 0;
	x->fault_reads--;
	return -x->fault_error;
}

/* A node to look at: what a commit must find unchanged. */
static int look(struct xsd_request *rq, struct xsd_node **n)
{
	struct xsd *x = rq->c->x;
	struct xsd_view v = {.x = x, .root = &x->root};
	int rc = read_fault(x, rq->path);

	if (rc)
		return rc;

	if (rq->txn) {
		v = xsd_txn_view(rq->txn);
		rc = xsd_txn_note_read(rq->txn, rq->path);
	}
	return rc ? rc : xsd_view_get(&v, rq->c->dom, rq->path, XSD_READ, n);
}

/* A change: at once, or within the transaction. */
static int change(struct xsd_request *rq, struct xsd_mutation *m)
{
	struct xsd *x = rq->c->x;
	struct xsd_acct acct = {0};
	struct xsd_view v = {.x = x, .root = &x->root, .acct = &acct, .changes = &x->changes};
	int rc;

	m->path = rq->path;
	if (rq->txn) {
		rc = xsd_txn_mutate(rq->txn, m);
	} else {
		rc = xsd_mutate(&v, rq->c->dom, m);
		if (rc)
			xsd_changes_clear(&x->changes);
		else
			xsd_acct_book(&acct);
		xsd_acct_fini(&acct);
	}
	if (!rc)
		xsd_reply_ok(rq);
	return rc;
}

static int do_read(struct xsd_request *rq)
{
	struct xsd_node *n;
	int rc = one_path(rq);

	if (!rc)
		rc = look(rq, &n);
	if (!rc)
		xsd_reply(rq, n->value, n->len);
	return rc;
}

static int do_directory(struct xsd_request *rq)
{
	char names[XENSTORE_PAYLOAD_MAX], *at = names;
	struct xsd_node *n;
	int rc = one_path(rq);

	if (!rc)
		rc = look(rq, &n);
	if (rc)
		return rc;
	if (n->child_bytes > sizeof names)
		return -E2BIG;
	for (unsigned i = 0; i < n->children; i++)
		at = mempcpy(at, n->child[i]->name, n->child[i]->name_len + 1);
	xsd_reply(rq, names, (size_t)(at - names));
	return 0;
}

/* The reply is "GENERATION\0NAME\0…", with one more NUL behind the very last name. */
static int part_of_directory(struct xsd_request *rq, const struct xsd_node *n, uint32_t from)
{
	char out[XENSTORE_PAYLOAD_MAX];
	size_t len = (size_t)snprintf(out, sizeof out, "%llu", (unsigned long long)n->gen) + 1;
	size_t at = 0;
	unsigned i;

	for (i = 0; i < n->children && at < from; i++)
		at += n->child[i]->name_len + 1;
	if (at != from && from < n->child_bytes)
		return -EINVAL;
	for (; i < n->children; i++) {
		size_t name_n = n->child[i]->name_len + 1;

		if (len + name_n > sizeof out - 1)
			break;
		memcpy(out + len, n->child[i]->name, name_n);
		len += name_n;
	}
	if (i == n->children)
		out[len++] = '\0';
	xsd_reply(rq, out, len);
	return 0;
}

static int do_directory_part(struct xsd_request *rq)
{
	const char *arg[2];
	struct xsd_node *n;
	uint32_t from;
	int rc = xsd_args(rq, arg, 2, 2);

	if (rc < 0 || parse_u32(arg[1], 0, UINT32_MAX, &from))
		return -EINVAL;
	rc = xsd_args_path(rq, arg[0]);
	if (!rc)
		rc = look(rq, &n);
	return rc ? rc : part_of_directory(rq, n, from);
}

static int do_write(struct xsd_request *rq)
{
	const char *nul = memchr(rq->data, '\0', rq->len);
	struct xsd_mutation m = {.op = XSD_OP_WRITE};
	int rc;

	if (!nul)
		return -EINVAL;
	m.data = nul + 1;
	m.len = rq->len - (size_t)(nul + 1 - rq->data);
	rc = xsd_args_path(rq, rq->data);
	return rc ? rc : change(rq, &m);
}

static int do_mkdir(struct xsd_request *rq)
{
	int rc = one_path(rq);

	return rc ? rc : change(rq, &(struct xsd_mutation){.op = XSD_OP_MKDIR});
}

static int do_rm(struct xsd_request *rq)
{
	int rc = one_path(rq);

	return rc ? rc : change(rq, &(struct xsd_mutation){.op = XSD_OP_RM});
}

static int do_get_perms(struct xsd_request *rq)
{
	char out[XENSTORE_PAYLOAD_MAX];
	const struct xsd_perms *perms;
	const char *arg[1];
	struct xsd_node *n;
	size_t len = 0;
	int rc = xsd_args(rq, arg, 1, 1);

	if (rc < 0)
		return rc;
	if (xsd_path_is_special(arg[0]) && xsd_privileged(rq->c->dom)) {
		perms = *xsd_special_perms(rq->c->x, arg[0]);
	} else {
		rc = xsd_args_path(rq, arg[0]);
		if (!rc)
			rc = look(rq, &n);
		if (rc)
			return rc;
		perms = n->perms;
	}
	for (unsigned i = 0; i < perms->n; i++) {
		if (sizeof out - len < sizeof "b65535")
			return -E2BIG;
		len += (size_t)sprintf(out + len, "%c%u", xsd_perm_letter(perms->p[i].bits),
		                       perms->p[i].domid) +
		       1;
	}
	xsd_reply(rq, out, len);
	return 0;
}

static int set_special_perms(struct xsd_request *rq, const char *path, struct xsd_perms *perms)
{
	struct xsd_perms **slot = xsd_special_perms(rq->c->x, path);

	if (!xsd_privileged(rq->c->dom))
		return -EACCES;
	xsd_perms_put(*slot);
	*slot = xsd_perms_get(perms);
	xsd_reply_ok(rq);
	return 0;
}

static int do_set_perms(struct xsd_request *rq)
{
	const char *arg[XENSTORE_PAYLOAD_MAX / sizeof "n0"];
	struct xsd_perm list[XENSTORE_PAYLOAD_MAX / sizeof "n0"];
	struct xsd_mutation m = {.op = XSD_OP_SET_PERMS};
	int rc = xsd_args(rq, arg, 2, sizeof arg / sizeof *arg), n = rc;

	if (rc < 0)
		return rc;
	for (int i = 1; i < n; i++) {
		if (xsd_perm_parse(arg[i], &list[i - 1]))
			return -EINVAL;
	}
	m.perms = xsd_perms_new(list, (unsigned)n - 1);
	if (!m.perms)
		return -ENOMEM;
	if (xsd_path_is_special(arg[0])) {
		rc = set_special_perms(rq, arg[0], m.perms);
	} else {
		rc = xsd_args_path(rq, arg[0]);
		if (!rc)
			rc = change(rq, &m);
	}
	xsd_perms_put(m.perms);
	return rc;
}

enum {
	PRIV = 1, /* domain 0 only */
	TXN = 2,  /* the header's transaction counts; elsewhere it is ignored */
};

/* Types that xs_wire.h of 4.17 does not know yet. */
enum { TYPE_SET_FEATURE = 24, TYPE_GET_QUOTA, TYPE_SET_QUOTA, TYPES };

static const struct {
	int (*serve)(struct xsd_request *rq); /* replies itself, or -errno */
	unsigned flags;
} requests[TYPES] = {
    [XS_CONTROL] = {xsd_do_control, PRIV},
    [XS_DIRECTORY] = {do_directory, TXN},
    [XS_READ] = {do_read, TXN},
    [XS_GET_PERMS] = {do_get_perms, TXN},
    [XS_WATCH] = {xsd_do_watch, 0},
    [XS_UNWATCH] = {xsd_do_unwatch, 0},
    [XS_TRANSACTION_START] = {xsd_do_transaction_start, TXN},
    [XS_TRANSACTION_END] = {xsd_do_transaction_end, TXN},
    [XS_INTRODUCE] = {xsd_do_introduce, PRIV},
    [XS_RELEASE] = {xsd_do_release, PRIV},
    [XS_GET_DOMAIN_PATH] = {xsd_do_get_domain_path, 0},
    [XS_WRITE] = {do_write, TXN},
    [XS_MKDIR] = {do_mkdir, TXN},
    [XS_RM] = {do_rm, TXN},
    [XS_SET_PERMS] = {do_set_perms, TXN},
    [XS_IS_DOMAIN_INTRODUCED] = {xsd_do_is_domain_introduced, PRIV},
    [XS_RESUME] = {xsd_do_resume, PRIV},
    [XS_SET_TARGET] = {xsd_do_set_target, PRIV},
    [XS_RESET_WATCHES] = {xsd_do_reset_watches, 0},
    [XS_DIRECTORY_PART] = {do_directory_part, TXN},
    [TYPE_SET_FEATURE] = {NULL, PRIV},
    [TYPE_GET_QUOTA] = {NULL, PRIV},
    [TYPE_SET_QUOTA] = {NULL, PRIV},
};

static int serve(struct xsd_request *rq)
{
	uint32_t type = rq->hdr->type;

	if (type >= TYPES)
		return -ENOSYS;
	if ((requests[type].flags & PRIV) && !xsd_privileged(rq->c->dom))
		return -EACCES;
	if (!requests[type].serve)
		return -ENOSYS;
	if ((requests[type].flags & TXN) && rq->hdr->tx_id) {
		rq->txn = xsd_txn_find(rq->c, rq->hdr->tx_id);
		if (!rq->txn)
			return -ENOENT;
	}
	return requests[type].serve(rq);
}

void xsd_request(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const char *payload)
{
	struct xsd_request rq = {.c = c, .hdr = hdr, .data = payload, .len = hdr->len};
	int rc = serve(&rq);

	if (rc)
		xsd_reply_error(&rq, rc);
	/* Behind the reply: a client sees its answer before the events that it caused. */
	xsd_watch_fire_changes(c->x);
}
