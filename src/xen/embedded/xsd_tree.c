/* SPDX-License-Identifier: MIT */
/*
 * Copy-on-write tree. A node with one reference, reached through nodes with one reference, is ours
 * alone and changed in place; any other is cloned on the way down.
 */
#include "xen/embedded/xsd_tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct xsd_node *node_new(const char *name, size_t n, struct xsd_perms *perms, uint64_t gen)
{
	struct xsd_node *node = calloc(1, sizeof *node + n + 1);

	if (!node)
		return NULL;
	node->refs = 1;
	node->gen = gen;
	node->perms = xsd_perms_get(perms);
	node->name_len = n;
	memcpy(node->name, name, n);
	return node;
}

struct xsd_node *xsd_tree_new(struct xsd_perms *perms)
{
	return node_new("", 0, perms, 1);
}

struct xsd_node *xsd_node_get(struct xsd_node *n)
{
	n->refs++;
	return n;
}

/* Depth is bounded by the longest path: recursion is safe. */
void xsd_node_put(struct xsd_node *n)
{
	if (!n || --n->refs)
		return;
	for (unsigned i = 0; i < n->children; i++)
		xsd_node_put(n->child[i]);
	free(n->child);
	free(n->value);
	xsd_perms_put(n->perms);
	free(n);
}

static int copy_value(struct xsd_node *n, const void *data, size_t len)
{
	char *value = NULL;

	if (len) {
		value = malloc(len);
		if (!value)
			return -ENOMEM;
		memcpy(value, data, len);
	}
	free(n->value);
	n->value = value;
	n->len = len;
	return 0;
}

static struct xsd_node *node_clone(const struct xsd_node *from)
{
	struct xsd_node *n = node_new(from->name, from->name_len, from->perms, from->gen);

	if (!n)
		return NULL;
	if (copy_value(n, from->value, from->len))
		goto fail;
	if (from->children) {
		n->child = malloc(from->children * sizeof *n->child);
		if (!n->child)
			goto fail;
		for (unsigned i = 0; i < from->children; i++)
			n->child[i] = xsd_node_get(from->child[i]);
		n->children = n->child_cap = from->children;
		n->child_bytes = from->child_bytes;
	}
	return n;
fail:
	xsd_node_put(n);
	return NULL;
}

/* Index of the child of that name, or where it belongs. */
static unsigned child_index(const struct xsd_node *n, const char *name, size_t len, bool *found)
{
	unsigned lo = 0, hi = n->children;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct xsd_node *c = n->child[mid];
		int cmp = memcmp(c->name, name, c->name_len < len ? c->name_len : len);

		if (!cmp && c->name_len == len) {
			*found = true;
			return mid;
		}
		if (cmp < 0 || (!cmp && c->name_len < len))
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

struct xsd_node *xsd_tree_nearest(struct xsd_node *root, const char *path, const char **rest)
{
	struct xsd_node *n = root;
	const char *at = path, *part;
	size_t len;

	for (*rest = at; (part = xsd_path_part(&at, &len)); *rest = at) {
		bool found;
		unsigned i = child_index(n, part, len, &found);

		if (!found)
			return n;
		n = n->child[i];
	}
	*rest = "";
	return n;
}

struct xsd_node *xsd_tree_find(struct xsd_node *root, const char *path)
{
	const char *rest;
	struct xsd_node *n = xsd_tree_nearest(root, path, &rest);

	return *rest ? NULL : n;
}

uint64_t xsd_tree_gen(struct xsd_node *root, const char *path)
{
	const struct xsd_node *n = xsd_tree_find(root, path);

	return n ? n->gen : 0;
}

static struct xsd_node *own_slot(struct xsd_node **slot)
{
	struct xsd_node *clone;

	if ((*slot)->refs == 1)
		return *slot;
	clone = node_clone(*slot);
	if (!clone)
		return NULL;
	(*slot)->refs--;
	return *slot = clone;
}

/* Makes all nodes down to `end` (within path) ours alone; returns the last. NULL: no memory. */
static struct xsd_node *own(struct xsd_node **root, const char *path, const char *end)
{
	struct xsd_node *n = own_slot(root);
	const char *at = path, *part;
	size_t len;

	while (n && at < end && (part = xsd_path_part(&at, &len))) {
		bool found;

		n = own_slot(&n->child[child_index(n, part, len, &found)]);
	}
	return n;
}

static struct xsd_node *own_all(struct xsd_node **root, const char *path)
{
	return own(root, path, path + strlen(path));
}

int xsd_tree_set_value(struct xsd_node **root, const char *path, const void *data, size_t len,
                       uint64_t gen)
{
	struct xsd_node *n = own_all(root, path);

	if (!n || copy_value(n, data, len))
		return -ENOMEM;
	n->gen = gen;
	return 0;
}

int xsd_tree_set_perms(struct xsd_node **root, const char *path, struct xsd_perms *perms,
                       uint64_t gen)
{
	struct xsd_node *n = own_all(root, path);

	if (!n)
		return -ENOMEM;
	xsd_perms_get(perms);
	xsd_perms_put(n->perms);
	n->perms = perms;
	n->gen = gen;
	return 0;
}

/* Takes over the reference on c, also when it fails. */
static int child_add(struct xsd_node *n, struct xsd_node *c, uint64_t gen)
{
	bool found;
	unsigned i = child_index(n, c->name, c->name_len, &found);

	if (n->children == n->child_cap) {
		unsigned cap = n->child_cap ? n->child_cap * 2 : 4;
		struct xsd_node **bigger = realloc(n->child, cap * sizeof *bigger);

		if (!bigger) {
			xsd_node_put(c);
			return -ENOMEM;
		}
		n->child = bigger;
		n->child_cap = cap;
	}
	memmove(n->child + i + 1, n->child + i, (n->children - i) * sizeof *n->child);
	n->child[i] = c;
	n->children++;
	n->child_bytes += c->name_len + 1;
	n->gen = gen;
	return 0;
}

int xsd_tree_create(struct xsd_node **root, const char *path, const void *data, size_t len,
                    struct xsd_perms *perms, uint64_t gen)
{
	const char *rest, *part;
	struct xsd_node *parent, *top = NULL, *last = NULL;
	size_t n;

	xsd_tree_nearest(*root, path, &rest);
	parent = own(root, path, rest);
	if (!parent)
		return -ENOMEM;
	/* The new branch is built aside, so that a failure leaves nothing half-made. */
	while ((part = xsd_path_part(&rest, &n))) {
		struct xsd_node *c = node_new(part, n, perms, gen);

		if (!c)
			goto fail;
		if (!top)
			top = c;
		else if (child_add(last, c, gen))
			goto fail;
		last = c;
	}
	if (!last || copy_value(last, data, len))
		goto fail;
	return child_add(parent, top, gen);
fail:
	xsd_node_put(top);
	return -ENOMEM;
}

int xsd_tree_remove(struct xsd_node **root, const char *path, uint64_t gen,
                    struct xsd_node **removed)
{
	const char *slash = strrchr(path, '/');
	struct xsd_node *parent = own(root, path, slash);
	bool found;
	unsigned i;

	if (!parent)
		return -ENOMEM;
	i = child_index(parent, slash + 1, strlen(slash + 1), &found);
	*removed = parent->child[i];
	parent->children--;
	parent->child_bytes -= (*removed)->name_len + 1;
	memmove(parent->child + i, parent->child + i + 1,
	        (parent->children - i) * sizeof *parent->child);
	parent->gen = gen;
	return 0;
}
