/* SPDX-License-Identifier: MIT */
/* The changes a client can make to a tree, with permissions, inheritance and quotas. */
#include "xen/embedded/xsd_ops.h"

#include <stdlib.h>
#include <string.h>

#include "xen/embedded/xsd_acct.h"
#include "xen/embedded/xsd_domain.h"

int xsd_view_get(const struct xsd_view *v, const struct xsd_domain *d, const char *path,
                 uint8_t need, struct xsd_node **out)
{
	const char *rest;
	struct xsd_node *n = xsd_tree_nearest(*v->root, path, &rest);

	if ((xsd_allowed(d, n->perms) & need) != need)
		return -EACCES;
	if (*rest)
		return -ENOENT;
	*out = n;
	return 0;
}

static int note(const struct xsd_view *v, const char *path, struct xsd_node *removed,
                struct xsd_perms *old_perms)
{
	return v->changes ? xsd_changes_add(v->changes, path, removed, old_perms) : 0;
}

static bool size_ok(const struct xsd_domain *d, size_t value, unsigned perms, size_t child_bytes)
{
	return xsd_privileged(d) ||
	       value + perms * sizeof(struct xsd_perm) + child_bytes <= XSD_QUOTA_NODE_SIZE;
}

/* The parent's permissions; a creator that is not privileged becomes the owner. A new reference. */
static struct xsd_perms *inherit(const struct xsd_domain *d, struct xsd_perms *parent)
{
	struct xsd_perms *perms;

	if (xsd_privileged(d) || parent->p[0].domid == d->domid)
		return xsd_perms_get(parent);
	perms = xsd_perms_new(parent->p, parent->n);
	if (perms)
		perms->p[0].domid = d->domid;
	return perms;
}

static int create(const struct xsd_view *v, const struct xsd_domain *d,
                  const struct xsd_mutation *m)
{
	const char *rest, *at;
	struct xsd_node *parent = xsd_tree_nearest(*v->root, m->path, &rest);
	struct xsd_perms *perms = NULL;
	struct xsd_domain *owner;
	long made = 0;
	size_t n, first;
	int rc;

	first = strcspn(rest + 1, "/") + 1;
	for (at = rest; xsd_path_part(&at, &n);)
		made++;
	rc = -ENOSPC;
	if (!xsd_privileged(d) && xsd_acct_nodes(v->acct, d) + made > XSD_QUOTA_NODES)
		goto out;
	if (!size_ok(d, m->len, parent->perms->n, 0) ||
	    !size_ok(d, parent->len, parent->perms->n, parent->child_bytes + first))
		goto out;
	rc = -ENOMEM;
	perms = inherit(d, parent->perms);
	if (!perms)
		goto out;
	owner = xsd_domain_of(v->x, perms->p[0].domid);
	/* The tree last: what fails before it leaves only notes that the caller throws away. */
	if (!owner || note(v, m->path, NULL, NULL) || xsd_acct_add(v->acct, owner, made))
		goto out;
	rc = xsd_tree_create(v->root, m->path, m->data, m->len, perms, ++v->x->gen);
out:
	xsd_perms_put(perms);
	return rc;
}

static int write_value(const struct xsd_view *v, const struct xsd_domain *d,
                       const struct xsd_mutation *m)
{
	struct xsd_node *n;
	int rc = xsd_view_get(v, d, m->path, XSD_WRITE, &n);

	if (rc == -ENOENT)
		return create(v, d, m);
	if (rc)
		return rc;
	if (!size_ok(d, m->len, n->perms->n, n->child_bytes))
		return -ENOSPC;
	if (note(v, m->path, NULL, NULL))
		return -ENOMEM;
	return xsd_tree_set_value(v->root, m->path, m->data, m->len, ++v->x->gen);
}

static int make_dir(const struct xsd_view *v, const struct xsd_domain *d,
                    const struct xsd_mutation *m)
{
	struct xsd_node *n;
	int rc = xsd_view_get(v, d, m->path, XSD_WRITE, &n);

	return rc == -ENOENT ? create(v, d, m) : rc;
}

static int unbook(const struct xsd_view *v, const struct xsd_node *n)
{
	struct xsd_domain *owner = xsd_domain_of(v->x, n->perms->p[0].domid);
	int rc = owner ? xsd_acct_add(v->acct, owner, -1) : -ENOMEM;

	for (unsigned i = 0; !rc && i < n->children; i++)
		rc = unbook(v, n->child[i]);
	return rc;
}

static int parent_exists(const struct xsd_view *v, const char *path)
{
	char up[XSD_PATH_CAP];

	strcpy(up, path);
	xsd_path_up(up);
	return xsd_tree_find(*v->root, up) ? 0 : -ENOENT;
}

static int remove_tree(const struct xsd_view *v, const struct xsd_domain *d,
                       const struct xsd_mutation *m)
{
	struct xsd_node *n, *removed;
	int rc;

	if (!m->path[1])
		return -EINVAL;
	rc = xsd_view_get(v, d, m->path, XSD_WRITE, &n);
	if (rc == -ENOENT)
		return parent_exists(v, m->path);
	if (rc)
		return rc;
	if (note(v, m->path, n, NULL) || unbook(v, n))
		return -ENOMEM;
	rc = xsd_tree_remove(v->root, m->path, ++v->x->gen, &removed);
	if (!rc)
		xsd_node_put(removed);
	return rc;
}

static int set_perms(const struct xsd_view *v, const struct xsd_domain *d,
                     const struct xsd_mutation *m)
{
	struct xsd_domain *from, *to;
	struct xsd_node *n;
	int rc = xsd_view_get(v, d, m->path, XSD_WRITE | XSD_OWNER, &n);

	if (rc)
		return rc;
	if (!xsd_privileged(d)) {
		if (m->perms->p[0].domid != n->perms->p[0].domid)
			return -EPERM;
		if (m->perms->n > XSD_QUOTA_PERMS ||
		    !size_ok(d, n->len, m->perms->n, n->child_bytes))
			return -ENOSPC;
	}
	from = xsd_domain_of(v->x, n->perms->p[0].domid);
	to = xsd_domain_of(v->x, m->perms->p[0].domid);
	if (!from || !to || note(v, m->path, NULL, n->perms) || xsd_acct_add(v->acct, from, -1) ||
	    xsd_acct_add(v->acct, to, 1))
		return -ENOMEM;
	return xsd_tree_set_perms(v->root, m->path, m->perms, ++v->x->gen);
}

int xsd_mutate(const struct xsd_view *v, const struct xsd_domain *d, const struct xsd_mutation *m)
{
	switch (m->op) {
	case XSD_OP_WRITE:
		return write_value(v, d, m);
	case XSD_OP_MKDIR:
		return make_dir(v, d, m);
	case XSD_OP_RM:
		return remove_tree(v, d, m);
	case XSD_OP_SET_PERMS:
		return set_perms(v, d, m);
	}
	return -EINVAL;
}
