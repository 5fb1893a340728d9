/* SPDX-License-Identifier: MIT */
/* The cache of persistent grants: found again, bounded, the oldest go first, all are given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "disk/grants.h"
#include "xen_process.h"

#define PAGES 600u
#define IDLE_NS (60 * NS_PER_S)

static struct xen_process xen;
static struct xen_platform *dom0, *guest;
static struct xen_gntshr *shr;
static struct xen_gnttab *tab;
static uint32_t refs[PAGES];
static uint8_t *pages;

static int setup(void **state)
{
	struct error err = {""};

	if (xen_process_start(&xen) || xen_platform_open(xen.dir, 0, &dom0, &err) ||
	    xen_platform_open(xen.dir, GUEST, &guest, &err) || xen_gntshr_open(guest, &shr, &err) ||
	    xen_gnttab_open(dom0, &tab, &err) ||
	    xen_gntshr_share(shr, 0, PAGES, true, refs, (void **)&pages))
		return -1;
	for (unsigned i = 0; i < PAGES; i++)
		memcpy(pages + i * 4096, &i, sizeof i);
	return 0;
}

static int teardown(void **state)
{
	xen_gnttab_close(tab);
	xen_gntshr_close(shr);
	xen_platform_close(guest);
	xen_platform_close(dom0);
	xen_process_stop(&xen);
	return 0;
}

static uint32_t maps(void)
{
	struct xen_usage u;

	assert_int_equal(xen_usage(dom0, &u), 0);
	return u.maps;
}

/* That of page i; its first word is i. */
static void *page(struct grants *g, unsigned i, uint64_t now)
{
	unsigned *p = grants_page(g, refs[i], now);

	if (p)
		assert_int_equal(*p, i);
	return p;
}

static void mapped_once_and_given_back(void **state)
{
	uint32_t before = maps();
	struct grants g;
	void *first;

	assert_int_equal(grants_make(&g, tab, GUEST, 16, IDLE_NS), 0);
	first = page(&g, 3, 1);
	assert_non_null(first);
	assert_ptr_equal(page(&g, 3, 2), first);
	assert_non_null(page(&g, 4, 2));
	assert_int_equal(maps(), before + 2);
	*((uint8_t *)first + 100) = 0x77; /* it is the guest's page */
	assert_int_equal(pages[3 * 4096 + 100], 0x77);
	grants_free(&g);
	assert_int_equal(maps(), before);
	grants_free(&g);
	/* Off. */
	assert_int_equal(grants_make(&g, tab, GUEST, 0, IDLE_NS), 0);
	assert_null(page(&g, 3, 1));
	assert_int_equal(maps(), before);
	grants_free(&g);
}

/* In a small table, in any order, with removals: each reference finds its own page. */
static void random_use(void **state)
{
	struct grants g;
	uint64_t seed = 3, now = NS_PER_S;
	unsigned hits = 0;

	assert_int_equal(grants_make(&g, tab, GUEST, 100, 2 * NS_PER_S), 0);
	for (unsigned n = 0; n < 100000; n++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		now += (seed >> 40) % NS_PER_MS;
		hits += page(&g, (unsigned)(seed >> 33) % 200, now) != NULL;
		assert_in_range(g.count, 1, 100);
	}
	assert_in_range(hits, 30000, 99000);
	unsigned entries = 0;
	for (uint32_t i = 0; i <= g.mask; i++)
		entries += g.table[i] != 0;
	assert_int_equal(entries, g.count);
	grants_free(&g);
}

/* More pages than the limit, in turn: the others are copied, and only now and then one goes. */
static void over_the_limit(void **state)
{
	uint32_t before = maps();
	struct grants g;
	uint64_t now = NS_PER_S;

	assert_int_equal(grants_make(&g, tab, GUEST, 40, IDLE_NS), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_non_null(page(&g, i, now));
	for (unsigned i = 40; i < 80; i++)
		assert_null(page(&g, i, now));
	assert_int_equal(maps(), before + 40);
	/* A little later a twentieth may go, the least recently used ones first. */
	now += 100 * NS_PER_MS;
	for (unsigned i = 1; i < 40; i++)
		assert_non_null(page(&g, i, now));
	now += 100 * NS_PER_MS;
	assert_non_null(page(&g, 39, now));
	assert_non_null(page(&g, 50, now)); /* for 0 and 1 */
	assert_non_null(page(&g, 51, now));
	assert_null(page(&g, 52, now));
	assert_null(page(&g, 0, now));
	assert_null(page(&g, 1, now));
	assert_non_null(page(&g, 2, now));
	/* Whatever was used just now stays. */
	now += 100 * NS_PER_MS;
	for (unsigned i = 2; i < 40; i++)
		assert_non_null(page(&g, i, now));
	assert_non_null(page(&g, 50, now));
	assert_non_null(page(&g, 51, now));
	assert_null(page(&g, 60, now));
	assert_int_equal(maps(), before + 40);
	grants_free(&g);
	assert_int_equal(maps(), before);
}

static void idle_ones_go(void **state)
{
	uint32_t before = maps();
	struct grants g;
	uint64_t now = NS_PER_S;

	assert_int_equal(grants_make(&g, tab, GUEST, 16, IDLE_NS), 0);
	assert_non_null(page(&g, 1, now));
	assert_non_null(page(&g, 2, now + 5));
	assert_int_equal(grants_release_idle(&g, now + IDLE_NS - 1), now + IDLE_NS);
	assert_int_equal(maps(), before + 2);
	assert_int_equal(grants_release_idle(&g, now + IDLE_NS), now + 5 + IDLE_NS);
	assert_int_equal(maps(), before + 1);
	/* Without anybody asking, as long as there is traffic. */
	assert_non_null(page(&g, 3, now + 2 * IDLE_NS));
	assert_int_equal(maps(), before + 1);
	assert_int_equal(grants_release_idle(&g, now + 3 * IDLE_NS), 0);
	assert_int_equal(maps(), before);
	grants_free(&g);
}

/* References that cannot be mapped are left to the copy, and not tried at every turn. */
static void bad_references(void **state)
{
	uint32_t ro, before = maps();
	struct grants g;
	void *p;

	assert_int_equal(xen_gntshr_share(shr, 0, 1, false, &ro, &p), 0);
	assert_int_equal(grants_make(&g, tab, GUEST, 16, IDLE_NS), 0);
	assert_null(grants_page(&g, 60000, NS_PER_S));
	assert_null(page(&g, 1, NS_PER_S)); /* a good one, too soon after */
	assert_non_null(page(&g, 1, 2 * NS_PER_S));
	assert_null(grants_page(&g, ro, 3 * NS_PER_S)); /* read-only */
	assert_int_equal(g.count, 1);
	assert_int_equal(maps(), before + 1);
	/* Revoked while it is mapped: the page stays what it is, as on Xen. */
	assert_int_equal(xen_gntshr_revoke(shr, &refs[1], 1), 0);
	assert_non_null(page(&g, 1, 3 * NS_PER_S));
	grants_free(&g);
	assert_int_equal(grants_make(&g, tab, GUEST, 16, IDLE_NS), 0);
	assert_null(page(&g, 1, NS_PER_S));
	grants_free(&g);
	assert_int_equal(xen_gntshr_unshare(shr, p, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mapped_once_and_given_back),
	    cmocka_unit_test(random_use),
	    cmocka_unit_test(over_the_limit),
	    cmocka_unit_test(idle_ones_go),
	    cmocka_unit_test(bad_references),
	};

	return cmocka_run_group_tests_name("grants", tests, setup, teardown);
}
