/* SPDX-License-Identifier: MIT */
/*
 * Watches hang on a table by path. A change looks up its own path and each ancestor; a removal also
 * every path that went with it. The cost does not depend on how many watches there are.
 */
#include "xen/embedded/xsd_watch.h"

#include <stdlib.h>
#include <string.h>

#include "xen/embedded/xsd_acct.h"
#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_out.h"

static uint64_t path_hash(const char *path)
{
	return xsd_hash_bytes(path, strlen(path));
}

static struct xsd_watch *find(struct xsd_conn *c, const char *path, const char *token)
{
	struct xsd_hlink *l = xsd_hash_first(&c->x->watches, path_hash(path));

	for (; l; l = xsd_hash_next(l)) {
		struct xsd_watch *w = container_of(l, struct xsd_watch, link);

		if (w->conn == c && !strcmp(w->path, path) && !strcmp(w->token, token))
			return w;
	}
	return NULL;
}

static void watch_free(struct xsd_watch *w)
{
	free(w->path);
	free(w->token);
	free(w);
}

int xsd_watch_add(struct xsd_conn *c, const char *canonical, bool relative, const char *token,
                  struct xsd_watch **out)
{
	struct xsd_watch *w;

	if (find(c, canonical, token))
		return -EEXIST;
	if (!xsd_privileged(c->dom) && c->dom->watches >= XSD_QUOTA_WATCHES)
		return -ENOSPC;
	w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->conn = c;
	w->skip = relative ? xsd_path_own_prefix(c->dom->domid) : 0;
	w->path = strdup(canonical);
	w->token = strdup(token);
	if (!w->path || !w->token || xsd_hash_add(&c->x->watches, &w->link, path_hash(canonical))) {
		watch_free(w);
		return -ENOMEM;
	}
	list_append(&c->watches, &w->conn_link);
	c->dom->watches++;
	*out = w;
	return 0;
}

static void watch_del(struct xsd_watch *w)
{
	w->conn->dom->watches--;
	list_remove(&w->conn_link);
	xsd_hash_del(&w->conn->x->watches, &w->link);
	watch_free(w);
}

int xsd_watch_del(struct xsd_conn *c, const char *canonical, const char *token)
{
	struct xsd_watch *w = find(c, canonical, token);

	if (!w)
		return -ENOENT;
	watch_del(w);
	return 0;
}

void xsd_watch_del_all(struct xsd_conn *c)
{
	list_for_each(it, tmp, &c->watches)
	    watch_del(container_of(it, struct xsd_watch, conn_link));
}

void xsd_watch_initial(struct xsd_watch *w)
{
	xsd_out_event(w->conn, w->path + w->skip, w->token);
}

/* Whose permissions let a client hear of an event; each may be NULL. */
struct hearing {
	const struct xsd_perms *node, *parent, *old;
};

static bool may_read(const struct xsd_domain *d, const struct xsd_perms *perms)
{
	return perms && (xsd_allowed(d, perms) & XSD_READ);
}

static bool may_hear(const struct xsd_domain *d, const struct hearing *h)
{
	return xsd_privileged(d) || may_read(d, h->node) || may_read(d, h->parent) ||
	       may_read(d, h->old);
}

/* Events named `path` for the watches that hang exactly on `at`. */
static void fire_at(struct xsd *x, const char *at, const char *path, const struct hearing *h)
{
	struct xsd_hlink *l = xsd_hash_first(&x->watches, path_hash(at));

	for (; l; l = xsd_hash_next(l)) {
		struct xsd_watch *w = container_of(l, struct xsd_watch, link);

		if (!strcmp(w->path, at) && may_hear(w->conn->dom, h))
			xsd_out_event(w->conn, path + w->skip, w->token);
	}
}

/* What went with the removed node n, whose path is in buf. */
static void fire_children(struct xsd *x, const struct xsd_node *n, char buf[XSD_PATH_CAP])
{
	size_t len = strlen(buf);

	for (unsigned i = 0; i < n->children; i++) {
		const struct xsd_node *c = n->child[i];
		struct hearing h = {.node = c->perms, .parent = n->perms};

		buf[len] = '/';
		memcpy(buf + len + 1, c->name, c->name_len + 1);
		fire_at(x, buf, buf, &h);
		fire_children(x, c, buf);
	}
	buf[len] = '\0';
}

static void fire_change(struct xsd *x, const struct xsd_change *ch)
{
	char at[XSD_PATH_CAP];
	const struct xsd_node *node = ch->removed, *parent = NULL;
	struct hearing h = {.old = ch->old_perms};

	if (!node)
		node = xsd_tree_find(x->root, ch->path);
	strcpy(at, ch->path);
	if (xsd_path_up(at))
		parent = xsd_tree_find(x->root, at);
	h.node = node ? node->perms : NULL;
	h.parent = parent ? parent->perms : NULL;

	strcpy(at, ch->path);
	do
		fire_at(x, at, ch->path, &h);
	while (xsd_path_up(at));
	if (ch->removed) {
		strcpy(at, ch->path);
		fire_children(x, ch->removed, at);
	}
}

void xsd_watch_fire_changes(struct xsd *x)
{
	for (size_t i = 0; x->watches.count && i < x->changes.n; i++)
		fire_change(x, &x->changes.e[i]);
	xsd_changes_clear(&x->changes);
}

void xsd_watch_fire_special(struct xsd *x, const char *path)
{
	struct hearing h = {.node = *xsd_special_perms(x, path)};

	fire_at(x, path, path, &h);
}
