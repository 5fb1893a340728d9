/* SPDX-License-Identifier: MIT */
/* Intrusive chained hash table of the embedded xenstored: the owner embeds the link and compares
 * keys. */
#ifndef XEN_EMBEDDED_XSD_HASH_H
#define XEN_EMBEDDED_XSD_HASH_H

#include <stddef.h>
#include <stdint.h>

struct xsd_hlink {
	struct xsd_hlink *next;
	uint64_t hash;
};

/* Belongs to its store's thread. All zero is an empty table. */
struct xsd_hash {
	struct xsd_hlink **bucket;
	size_t buckets, count;
};

uint64_t xsd_hash_bytes(const void *data, size_t n);
int xsd_hash_add(struct xsd_hash *h, struct xsd_hlink *l, uint64_t hash); /* 0 or -ENOMEM */
void xsd_hash_del(struct xsd_hash *h, struct xsd_hlink *l);               /* l must be in h */
/* Entries of that very hash, one after the other; NULL at the end. */
struct xsd_hlink *xsd_hash_first(const struct xsd_hash *h, uint64_t hash);
struct xsd_hlink *xsd_hash_next(const struct xsd_hlink *l);
/* Takes out and returns any entry, NULL when empty: to free all of them. */
struct xsd_hlink *xsd_hash_pop(struct xsd_hash *h);
void xsd_hash_fini(struct xsd_hash *h); /* frees the buckets, not the entries */

#endif
