/* SPDX-License-Identifier: MIT */
/* Pending node counts per domain, and the list of changes that watches are to hear of. */
#include "xen/embedded/xsd_acct.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more element of that size; moves *e. */
static int reserve(void **e, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 4;
	void *bigger;

	if (n < *cap)
		return 0;
	bigger = realloc(*e, want * size);
	if (!bigger)
		return -ENOMEM;
	*e = bigger;
	*cap = want;
	return 0;
}

int xsd_acct_add(struct xsd_acct *a, struct xsd_domain *d, long delta)
{
	void *e = a->e;

	for (size_t i = 0; i < a->n; i++) {
		if (a->e[i].dom == d) {
			a->e[i].delta += delta;
			return 0;
		}
	}
	if (reserve(&e, a->n, &a->cap, sizeof *a->e))
		return -ENOMEM;
	a->e = e;
	a->e[a->n++] = (struct xsd_acct_entry){d, delta};
	return 0;
}

long xsd_acct_nodes(const struct xsd_acct *a, const struct xsd_domain *d)
{
	long n = d->nodes;

	for (size_t i = 0; i < a->n; i++) {
		if (a->e[i].dom == d)
			n += a->e[i].delta;
	}
	return n;
}

void xsd_acct_book(struct xsd_acct *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct xsd_domain *d = a->e[i].dom;
		long n = (long)d->nodes + a->e[i].delta;

		/* Nodes of a released domain are removed after its count was forgotten. */
		d->nodes = n > 0 ? (unsigned)n : 0;
	}
	a->n = 0;
}

void xsd_acct_fini(struct xsd_acct *a)
{
	free(a->e);
	*a = (struct xsd_acct){0};
}

int xsd_changes_add(struct xsd_changes *ch, const char *path, struct xsd_node *removed,
                    struct xsd_perms *old_perms)
{
	void *e = ch->e;
	char *copy;

	if (reserve(&e, ch->n, &ch->cap, sizeof *ch->e))
		return -ENOMEM;
	ch->e = e;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	ch->e[ch->n++] = (struct xsd_change){
	    .path = copy,
	    .removed = removed ? xsd_node_get(removed) : NULL,
	    .old_perms = old_perms ? xsd_perms_get(old_perms) : NULL,
	};
	return 0;
}

void xsd_changes_clear(struct xsd_changes *ch)
{
	for (size_t i = 0; i < ch->n; i++) {
		free(ch->e[i].path);
		xsd_node_put(ch->e[i].removed);
		xsd_perms_put(ch->e[i].old_perms);
	}
	free(ch->e);
	*ch = (struct xsd_changes){0};
}
