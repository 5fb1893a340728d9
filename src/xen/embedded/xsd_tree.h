/* SPDX-License-Identifier: MIT */
/*
 * The tree of the embedded xenstored: reference-counted nodes, copied only where a snapshot shares
 * them. A snapshot is one reference on a root; a change through another root never shows in it.
 */
#ifndef XEN_EMBEDDED_XSD_TREE_H
#define XEN_EMBEDDED_XSD_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "xen/embedded/xsd_path.h"

/* Belongs to the store's thread. */
struct xsd_node {
	unsigned refs;
	uint64_t gen; /* of the last change of value, permissions or child list; 0 never */
	struct xsd_perms *perms;
	char *value;
	size_t len;
	struct xsd_node **child; /* sorted by name */
	unsigned children, child_cap;
	size_t child_bytes; /* of the names, each with its NUL */
	size_t name_len;
	char name[];
};

/* A root: no name, no value. Takes its own reference on perms. NULL: no memory. */
struct xsd_node *xsd_tree_new(struct xsd_perms *perms);
struct xsd_node *xsd_node_get(struct xsd_node *n);
void xsd_node_put(struct xsd_node *n); /* NULL is fine */

/* All paths here are canonical. NULL if there is no such node. */
struct xsd_node *xsd_tree_find(struct xsd_node *root, const char *path);
/* The deepest node on the way to path; *rest: what of path is missing, "" if nothing. */
struct xsd_node *xsd_tree_nearest(struct xsd_node *root, const char *path, const char **rest);
uint64_t xsd_tree_gen(struct xsd_node *root, const char *path); /* 0: absent */

/* Changes through *root, which may be replaced; gen marks what changed. 0 or -ENOMEM, then the
 * tree says what it said before. The node must exist, for create: must not. */
int xsd_tree_set_value(struct xsd_node **root, const char *path, const void *data, size_t len,
                       uint64_t gen);
int xsd_tree_set_perms(struct xsd_node **root, const char *path, struct xsd_perms *perms,
                       uint64_t gen);
/* With all missing parents, which get perms too. */
int xsd_tree_create(struct xsd_node **root, const char *path, const void *data, size_t len,
                    struct xsd_perms *perms, uint64_t gen);
/* Not for "/". The reference on the subtree passes to the caller in *removed. */
int xsd_tree_remove(struct xsd_node **root, const char *path, uint64_t gen,
                    struct xsd_node **removed);

#endif
