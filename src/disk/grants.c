/* SPDX-License-Identifier: MIT */
/* The cache of mapped pages. */
#include "disk/grants.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/* A front end that uses more pages than the limit in turn would make us map and unmap for each one:
 * so only now and then some of the oldest make room, and the others are copied. */
#define PURGE_NS (100 * NS_PER_MS)
#define PURGE_PART 20 /* of the limit */

#define RETRY_NS (100 * NS_PER_MS)

int grants_make(struct grants *g, struct xen_gnttab *gnttab, uint16_t domid, uint32_t limit,
                uint64_t idle_ns)
{
	uint32_t size = 2;

	*g = (struct grants){.gnttab = gnttab, .domid = domid, .idle_ns = idle_ns, .limit = limit};
	if (!limit)
		return 0;
	while (size < 2 * limit)
		size *= 2;
	g->mask = size - 1;
	g->grant = calloc(limit, sizeof *g->grant);
	g->free = calloc(limit, sizeof *g->free);
	g->table = calloc(size, sizeof *g->table);
	if (!g->grant || !g->free || !g->table) {
		grants_free(g);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < limit; i++)
		g->free[i] = limit - 1 - i;
	return 0;
}

/* ---- the list ---- */

static void list_take(struct grants *g, struct grant *e)
{
	*(e->newer ? &g->grant[e->newer - 1].older : &g->newest) = e->older;
	*(e->older ? &g->grant[e->older - 1].newer : &g->oldest) = e->newer;
}

static void list_put(struct grants *g, struct grant *e)
{
	uint32_t index = (uint32_t)(e - g->grant) + 1;

	e->newer = 0;
	e->older = g->newest;
	*(g->newest ? &g->grant[g->newest - 1].newer : &g->oldest) = index;
	g->newest = index;
}

/* ---- the table: at most half full, so a search ends soon ---- */

static uint32_t home(const struct grants *g, uint32_t ref)
{
	/* Front ends hand out references in a row: spread them, whatever pattern they make. */
	return (uint32_t)(ref * 0x9e3779b97f4a7c15ull >> 32) & g->mask;
}

/* Where the reference stands, or the empty place where it would. */
static uint32_t find(const struct grants *g, uint32_t ref)
{
	uint32_t at = home(g, ref);

	while (g->table[at] && g->grant[g->table[at] - 1].ref != ref)
		at = (at + 1) & g->mask;
	return at;
}

/* Closes the gap, so that no later one is cut off from its home. */
static void table_remove(struct grants *g, uint32_t at)
{
	uint32_t gap = at;

	for (;;) {
		at = (at + 1) & g->mask;
		if (!g->table[at])
			break;
		uint32_t from = home(g, g->grant[g->table[at] - 1].ref);
		if (((at - from) & g->mask) < ((at - gap) & g->mask))
			continue;
		g->table[gap] = g->table[at];
		gap = at;
	}
	g->table[gap] = 0;
}

/* ---- pages ---- */

static void drop(struct grants *g, uint32_t index)
{
	struct grant *e = &g->grant[index];

	table_remove(g, find(g, e->ref));
	list_take(g, e);
	xen_gnttab_unmap(g->gnttab, e->page, 1);
	g->free[g->limit - g->count--] = index;
}

void grants_free(struct grants *g)
{
	while (g->oldest)
		drop(g, g->oldest - 1);
	free(g->grant);
	free(g->free);
	free(g->table);
	*g = (struct grants){0};
}

static void purge(struct grants *g, uint64_t now_ns)
{
	uint32_t part = g->limit / PURGE_PART ?: 1;

	if (now_ns < g->purge_ns)
		return;
	g->purge_ns = now_ns + PURGE_NS;
	while (part-- && g->oldest && now_ns - g->grant[g->oldest - 1].used_ns >= PURGE_NS)
		drop(g, g->oldest - 1);
}

static void *map(struct grants *g, uint32_t ref, uint64_t now_ns)
{
	void *page;

	if (now_ns < g->retry_ns)
		return NULL;
	if (g->count == g->limit)
		purge(g, now_ns);
	if (g->count == g->limit)
		return NULL;
	if (xen_gnttab_map(g->gnttab, g->domid, 1, &ref, true, &page)) {
		/* Perhaps a limit of Xen or of the kernel; the copy will tell what a bad reference
		 * deserves. */
		g->retry_ns = now_ns + RETRY_NS;
		return NULL;
	}
	uint32_t index = g->free[g->limit - ++g->count];
	struct grant *e = &g->grant[index];
	*e = (struct grant){.page = page, .ref = ref, .used_ns = now_ns};
	g->table[find(g, ref)] = index + 1;
	list_put(g, e);
	return page;
}

uint64_t grants_release_idle(struct grants *g, uint64_t now_ns)
{
	while (g->oldest && g->grant[g->oldest - 1].used_ns + g->idle_ns <= now_ns)
		drop(g, g->oldest - 1);
	if (!g->oldest)
		return 0;
	g->release_ns = g->grant[g->oldest - 1].used_ns + g->idle_ns;
	return g->release_ns;
}

void *grants_page(struct grants *g, uint32_t ref, uint64_t now_ns)
{
	if (!g->limit)
		return NULL;
	if (now_ns >= g->release_ns && g->count)
		grants_release_idle(g, now_ns);
	uint32_t index = g->table[find(g, ref)];
	if (!index)
		return map(g, ref, now_ns);
	struct grant *e = &g->grant[index - 1];
	e->used_ns = now_ns;
	if (g->newest != index) {
		list_take(g, e);
		list_put(g, e);
	}
	return e->page;
}
