/* SPDX-License-Identifier: MIT */
/* Grants of the real Xen: mapping and copying those of others, sharing pages of our own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xengnttab.h>

#include "base/list.h"
#include "xen/real/real_priv.h"

#define COPY_MAX 256 /* pieces handed over in one call; more are split */

/* Owned by the thread that uses the handle. */
struct real_gnttab {
	struct xen_gnttab pub;
	xengnttab_handle *handle;
	bool copies; /* the kernel knows grant copy (Linux 4.9) */
	xengnttab_grant_copy_segment_t segments[COPY_MAX];
};

struct real_share {
	struct list link; /* in shares */
	void *addr;
	uint32_t count;
};

struct real_gntshr {
	struct xen_gntshr pub;
	xengntshr_handle *handle;
	struct list shares; /* the kernel keeps a page granted as long as it is mapped here */
};

static struct real_gnttab *gnttab_of(struct xen_gnttab *g)
{
	return container_of(g, struct real_gnttab, pub);
}

static struct real_gntshr *gntshr_of(struct xen_gntshr *s)
{
	return container_of(s, struct real_gntshr, pub);
}

int real_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err)
{
	struct real_gnttab *g = calloc(1, sizeof *g);

	if (!g)
		return error_set(err, -ENOMEM, "out of memory");
	g->pub.ops = p->ops;
	g->handle = xengnttab_open(NULL, 0);
	if (!g->handle) {
		int rc = -errno;
		free(g);
		return error_set(
		    err, rc,
		    "cannot open /dev/xen/gntdev: %s; load xen-gntdev, and see that this "
		    "user may open it",
		    error_name(rc));
	}
	/* A copy of nothing: the answer tells whether the call is known. */
	g->copies = !xengnttab_grant_copy(g->handle, 0, g->segments);
	*out = &g->pub;
	return 0;
}

bool real_gnttab_copies(struct xen_gnttab *pub)
{
	return gnttab_of(pub)->copies;
}

void real_gnttab_close(struct xen_gnttab *pub)
{
	struct real_gnttab *g = gnttab_of(pub);

	xengnttab_close(g->handle);
	free(g);
}

int real_gnttab_map(struct xen_gnttab *pub, uint16_t domid, uint32_t count, const uint32_t *refs,
                    bool writable, void **addr)
{
	uint32_t copy[REAL_MAP_MAX];

	/* The library wants to write what it only reads. */
	if (!count || count > REAL_MAP_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		copy[i] = refs[i];
	*addr = xengnttab_map_domain_grant_refs(gnttab_of(pub)->handle, count, domid, copy,
	                                        writable ? PROT_READ | PROT_WRITE : PROT_READ);
	return *addr ? 0 : errno ? -errno : -EINVAL;
}

int real_gnttab_unmap(struct xen_gnttab *pub, void *addr, uint32_t count)
{
	return xengnttab_unmap(gnttab_of(pub)->handle, addr, count) ? -errno : 0;
}

static void segment_fill(xengnttab_grant_copy_segment_t *s, uint16_t domid,
                         const struct xen_copy *piece)
{
	union xengnttab_copy_ptr local = {.virt = piece->local};
	union xengnttab_copy_ptr foreign = {
	    .foreign = {.ref = piece->ref, .offset = piece->offset, .domid = domid}};

	s->source = piece->to_guest ? local : foreign;
	s->dest = piece->to_guest ? foreign : local;
	s->len = piece->length;
	s->flags = piece->to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
	s->status = GNTST_general_error;
}

/* *rc: -errno if the kernel was short of memory, which says nothing of the reference; else as it
 * was.
 */
static int16_t copy_by_map(struct real_gnttab *g, uint16_t domid, const struct xen_copy *piece,
                           int *rc)
{
	uint32_t ref = piece->ref;
	int prot = piece->to_guest ? PROT_READ | PROT_WRITE : PROT_READ;
	char *page;

	if ((uint32_t)piece->offset + piece->length > XEN_PAGE_SIZE)
		return GNTST_bad_copy_arg;
	page = xengnttab_map_domain_grant_refs(g->handle, 1, domid, &ref, prot);
	if (!page) {
		if (errno == ENOMEM || errno == EAGAIN)
			*rc = -errno;
		return GNTST_bad_gntref;
	}
	if (piece->to_guest)
		memcpy(page + piece->offset, piece->local, piece->length);
	else
		memcpy(piece->local, page + piece->offset, piece->length);
	return xengnttab_unmap(g->handle, page, 1) ? GNTST_general_error : GNTST_okay;
}

int real_gnttab_copy(struct xen_gnttab *pub, uint16_t domid, struct xen_copy *pieces, uint32_t n)
{
	struct real_gnttab *g = gnttab_of(pub);
	int rc = 0;

	if (!g->copies) {
		for (uint32_t i = 0; i < n; i++)
			pieces[i].status = copy_by_map(g, domid, &pieces[i], &rc);
		return rc;
	}
	for (uint32_t at = 0; at < n; at += COPY_MAX) {
		uint32_t part = n - at < COPY_MAX ? n - at : COPY_MAX;
		for (uint32_t i = 0; i < part; i++)
			segment_fill(&g->segments[i], domid, &pieces[at + i]);
		if (!rc && xengnttab_grant_copy(g->handle, part, g->segments))
			rc = -errno;
		for (uint32_t i = 0; i < part; i++)
			pieces[at + i].status = rc ? GNTST_general_error : g->segments[i].status;
	}
	return rc;
}

/* ---- pages of our own ---- */

int real_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err)
{
	struct real_gntshr *s = calloc(1, sizeof *s);

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	s->pub.ops = p->ops;
	list_init(&s->shares);
	s->handle = xengntshr_open(NULL, 0);
	if (!s->handle) {
		int rc = -errno;
		free(s);
		return error_set(
		    err, rc,
		    "cannot open /dev/xen/gntalloc: %s; load xen-gntalloc, and see that "
		    "this user may open it",
		    error_name(rc));
	}
	*out = &s->pub;
	return 0;
}

static int share_end(struct real_gntshr *s, struct real_share *share)
{
	if (xengntshr_unshare(s->handle, share->addr, share->count))
		return -errno;
	list_remove(&share->link);
	free(share);
	return 0;
}

void real_gntshr_close(struct xen_gntshr *pub)
{
	struct real_gntshr *s = gntshr_of(pub);

	while (!list_empty(&s->shares))
		if (share_end(s, container_of(s->shares.next, struct real_share, link)))
			break;
	xengntshr_close(s->handle);
	free(s);
}

int real_gntshr_share(struct xen_gntshr *pub, uint16_t domid, uint32_t count, bool writable,
                      uint32_t *refs, void **addr)
{
	struct real_gntshr *s = gntshr_of(pub);
	struct real_share *share = calloc(1, sizeof *share);

	if (!share)
		return -ENOMEM;
	*addr = xengntshr_share_pages(s->handle, domid, (int)count, refs, writable);
	if (!*addr) {
		int rc = errno ? -errno : -EIO;
		free(share);
		return rc;
	}
	share->addr = *addr;
	share->count = count;
	list_append(&s->shares, &share->link);
	return 0;
}

int real_gntshr_unshare(struct xen_gntshr *pub, void *addr, uint32_t count)
{
	struct real_gntshr *s = gntshr_of(pub);

	list_for_each(it, tmp, &s->shares)
	{
		struct real_share *share = container_of(it, struct real_share, link);
		if (share->addr == addr && share->count == count)
			return share_end(s, share);
	}
	return -EINVAL;
}

int real_gntshr_revoke(struct xen_gntshr *pub, const uint32_t *refs, uint32_t count)
{
	return -ENOTSUP; /* the kernel revokes only what nobody uses */
}
