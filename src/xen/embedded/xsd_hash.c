/* SPDX-License-Identifier: MIT */
/* Intrusive chained hash table: FNV-1a, power-of-two buckets, grows at one entry per bucket. */
#include "xen/embedded/xsd_hash.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BUCKETS 16

uint64_t xsd_hash_bytes(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	/* The low bits choose the bucket: let the high ones take part. */
	return h ^ (h >> 32);
}

static struct xsd_hlink **slot(const struct xsd_hash *h, uint64_t hash)
{
	return &h->bucket[hash & (h->buckets - 1)];
}

static int grow(struct xsd_hash *h)
{
	size_t n = h->buckets ? h->buckets * 2 : FIRST_BUCKETS;
	struct xsd_hash bigger = {calloc(n, sizeof *bigger.bucket), n, h->count};

	if (!bigger.bucket)
		return -ENOMEM;
	for (size_t i = 0; i < h->buckets; i++) {
		for (struct xsd_hlink *l = h->bucket[i], *next; l; l = next) {
			struct xsd_hlink **to = slot(&bigger, l->hash);

			next = l->next;
			l->next = *to;
			*to = l;
		}
	}
	free(h->bucket);
	*h = bigger;
	return 0;
}

int xsd_hash_add(struct xsd_hash *h, struct xsd_hlink *l, uint64_t hash)
{
	struct xsd_hlink **to;

	/* A table that cannot grow is only slower, unless it has no bucket at all. */
	if (h->count >= h->buckets && grow(h) && !h->buckets)
		return -ENOMEM;
	to = slot(h, hash);
	l->hash = hash;
	l->next = *to;
	*to = l;
	h->count++;
	return 0;
}

void xsd_hash_del(struct xsd_hash *h, struct xsd_hlink *l)
{
	struct xsd_hlink **at = slot(h, l->hash);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	h->count--;
}

static struct xsd_hlink *same(struct xsd_hlink *l, uint64_t hash)
{
	while (l && l->hash != hash)
		l = l->next;
	return l;
}

struct xsd_hlink *xsd_hash_first(const struct xsd_hash *h, uint64_t hash)
{
	return h->count ? same(*slot(h, hash), hash) : NULL;
}

struct xsd_hlink *xsd_hash_next(const struct xsd_hlink *l)
{
	return same(l->next, l->hash);
}

struct xsd_hlink *xsd_hash_pop(struct xsd_hash *h)
{
	for (size_t i = 0; h->count && i < h->buckets; i++) {
		struct xsd_hlink *l = h->bucket[i];

		if (!l)
			continue;
		h->bucket[i] = l->next;
		h->count--;
		return l;
	}
	return NULL;
}

void xsd_hash_fini(struct xsd_hash *h)
{
	free(h->bucket);
	*h = (struct xsd_hash){0};
}
