/* SPDX-License-Identifier: MIT */
/*
 * What moving a request's pages costs, by their number: one batch of grant copies, or one map of all pages, a
 * memcpy, and the unmap. On a real Xen (root, xen-gntalloc loaded; the pages are this domain's own, so no guest is
 * needed), or on an embedded one: bench-grants [DIR]. The choice in src/disk rests on its figures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "xen/platform.h"
#include "xen/store.h"

#define PAGES_MAX 256
#define ROUND_NS (40 * NS_PER_MS)
#define ROUNDS 7 /* of each way, in turn; the median counts */

/* Owned by the only thread. */
struct rig {
	struct xen_gnttab *gnttab;
	struct xen_gntshr *gntshr;
	uint16_t domid;
	uint32_t refs[PAGES_MAX];
	void *guest;
	char *local;
	struct xen_copy pieces[PAGES_MAX];
};

static int by_copy(struct rig *r, uint32_t n, bool to_guest)
{
	for (uint32_t i = 0; i < n; i++)
		r->pieces[i] = (struct xen_copy){.local = r->local + (size_t)i * XEN_PAGE_SIZE,
		                                 .ref = r->refs[i],
		                                 .length = XEN_PAGE_SIZE,
		                                 .to_guest = to_guest};
	int rc = xen_gnttab_copy(r->gnttab, r->domid, r->pieces, n);
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = r->pieces[i].status;
	return rc;
}

static int by_map(struct rig *r, uint32_t n, bool to_guest)
{
	size_t bytes = (size_t)n * XEN_PAGE_SIZE;
	void *at;
	int rc = xen_gnttab_map(r->gnttab, r->domid, n, r->refs, to_guest, &at);

	if (rc)
		return rc;
	if (to_guest)
		memcpy(at, r->local, bytes);
	else
		memcpy(r->local, at, bytes);
	return xen_gnttab_unmap(r->gnttab, at, n);
}

/* Nanoseconds a call; 0: it fails. */
static double cost(struct rig *r, int (*way)(struct rig *, uint32_t, bool), uint32_t n,
                   bool to_guest)
{
	uint64_t began = clock_ns(), now;
	unsigned calls = 0;

	do {
		if (way(r, n, to_guest))
			return 0;
		calls++;
		now = clock_ns();
	} while (now - began < ROUND_NS);
	return (double)(now - began) / calls;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(struct rig *r, uint32_t n, bool to_guest)
{
	double copy[ROUNDS], map[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		copy[i] = cost(r, by_copy, n, to_guest);
		map[i] = cost(r, by_map, n, to_guest);
		if (!copy[i] || !map[i])
			return -1;
	}
	qsort(copy, ROUNDS, sizeof *copy, compare);
	qsort(map, ROUNDS, sizeof *map, compare);
	double c = copy[ROUNDS / 2] / 1000, m = map[ROUNDS / 2] / 1000;
	printf("%-6s %5u %12.1f %12.1f %10.2f\n", to_guest ? "read" : "write", n, c, m, m / c);
	return 0;
}

static int own_domid(struct xen_platform *p, uint16_t *domid, struct error *err)
{
	struct store *s;
	uint64_t id = 0;
	int rc = store_open(xen_platform_store_path(p), &s, err);

	if (rc)
		return rc;
	/* Absent in the embedded Xen, where we are domain 0. */
	store_read_u64(s, XBT_NULL, "domid", NULL, 0, XEN_DOMID_MAX, &id);
	store_close(s);
	*domid = (uint16_t)id;
	return 0;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {1, 2, 4, 8, 11, 16, 32, 64, 128, 256};
	struct xen_platform *p = NULL;
	struct rig r = {0};
	struct error err;
	int rc = argc > 2 ? -1 : xen_platform_open(argc > 1 ? argv[1] : NULL, 0, &p, &err);

	if (argc > 2)
		error_set(&err, rc, "usage: bench-grants [DIR of an embedded Xen]");
	if (!rc)
		rc = own_domid(p, &r.domid, &err);
	if (!rc)
		rc = xen_gnttab_open(p, &r.gnttab, &err);
	if (!rc)
		rc = xen_gntshr_open(p, &r.gntshr, &err);
	if (!rc)
		rc = xen_gntshr_share(r.gntshr, r.domid, PAGES_MAX, true, r.refs, &r.guest);
	r.local = aligned_alloc(XEN_PAGE_SIZE, PAGES_MAX * XEN_PAGE_SIZE);
	if (rc || !r.local) {
		fprintf(stderr, "bench-grants: %s\n", err.text[0] ? err.text : "no pages");
		return 1;
	}
	memset(r.local, 1, PAGES_MAX * XEN_PAGE_SIZE);
	printf("%-6s %5s %12s %12s %10s\n", "", "pages", "copy us", "map us", "map/copy");
	for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes && !rc; i++)
		rc = measure(&r, sizes[i / 2], i % 2 == 0);
	if (rc)
		fprintf(stderr, "bench-grants: a copy or a map fails\n");
	xen_gntshr_close(r.gntshr);
	xen_gnttab_close(r.gnttab);
	xen_platform_close(p);
	free(r.local);
	return rc ? 1 : 0;
}
