/* SPDX-License-Identifier: MIT */
/*
 * Grant copies on a real Xen's libraries, of which this program has its own: a kernel that copies,
 * and one that does not, where each piece is mapped instead.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include <xengnttab.h>

#include "xen/platform_ops.h"
#include "xen/real/real_priv.h"

#define REFS 4

/* The guest's pages, by reference; and what the kernel can do. */
static char page[REFS][XEN_PAGE_SIZE];
static bool kernel_copies, page_readonly[REFS];
static int map_errno[REFS]; /* of maps of that reference */
static int maps, unmaps, copies;

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
	return (xengnttab_handle *)page;
}

int xengnttab_close(xengnttab_handle *h)
{
	return 0;
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
	assert_int_equal(count, 1);
	assert_int_equal(domid, 7);
	if (refs[0] >= REFS || (page_readonly[refs[0]] && (prot & PROT_WRITE))) {
		errno = EINVAL;
		return NULL;
	}
	if (map_errno[refs[0]]) {
		errno = map_errno[refs[0]];
		return NULL;
	}
	maps++;
	return page[refs[0]];
}

int xengnttab_unmap(xengnttab_handle *h, void *addr, uint32_t count)
{
	assert_int_equal(count, 1);
	unmaps++;
	return 0;
}

int xengnttab_grant_copy(xengnttab_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *s)
{
	if (!kernel_copies) {
		errno = ENOTTY;
		return -1;
	}
	for (uint32_t i = 0; i < count; i++)
		s[i].status = GNTST_okay;
	copies += (int)count;
	return 0;
}

static struct xen_gnttab *open_it(bool copying)
{
	static const struct xen_platform_ops ops;
	static struct xen_platform p = {.ops = &ops};
	struct xen_gnttab *g;
	struct error err;

	kernel_copies = copying;
	maps = unmaps = copies = 0;
	memset(page_readonly, 0, sizeof page_readonly);
	assert_int_equal(real_gnttab_open(&p, &g, &err), 0);
	assert_int_equal(real_gnttab_copies(g), copying);
	return g;
}

static void kernel_that_copies(void **state)
{
	struct xen_gnttab *g = open_it(true);
	char local[8];
	struct xen_copy c[2] = {{.local = local, .ref = 0, .length = 8},
	                        {.local = local, .ref = 1, .length = 8, .to_guest = true}};

	assert_int_equal(real_gnttab_copy(g, 7, c, 2), 0);
	assert_int_equal(copies, 2);
	assert_int_equal(maps, 0);
	real_gnttab_close(g);
}

static void kernel_that_does_not(void **state)
{
	struct xen_gnttab *g = open_it(false);
	char out[8] = "to guest", in[8] = "";
	struct xen_copy c[2] = {
	    {.local = in, .ref = 2, .offset = 100, .length = 8},
	    {.local = out, .ref = 3, .offset = XEN_PAGE_SIZE - 8, .length = 8, .to_guest = true}};

	memcpy(page[2] + 100, "to local", 8);
	assert_int_equal(real_gnttab_copy(g, 7, c, 2), 0);
	assert_int_equal(c[0].status, GNTST_okay);
	assert_int_equal(c[1].status, GNTST_okay);
	assert_memory_equal(in, "to local", 8);
	assert_memory_equal(page[3] + XEN_PAGE_SIZE - 8, "to guest", 8);
	assert_int_equal(maps, 2);
	assert_int_equal(unmaps, 2);
	assert_int_equal(copies, 0);
	real_gnttab_close(g);
}

/* Each piece has its own status; a bad one harms no other. */
static void pieces_fail_alone(void **state)
{
	struct xen_gnttab *g = open_it(false);
	char local[8] = "whatever";
	struct xen_copy c[4] = {
	    {.local = local, .ref = REFS, .length = 8},
	    {.local = local, .ref = 0, .offset = XEN_PAGE_SIZE - 7, .length = 8, .to_guest = true},
	    {.local = local, .ref = 1, .length = 8, .to_guest = true},
	    {.local = local, .ref = 2, .length = 8, .to_guest = true}};

	page_readonly[1] = true;
	assert_int_equal(real_gnttab_copy(g, 7, c, 4), 0);
	assert_int_equal(c[0].status, GNTST_bad_gntref);
	assert_int_equal(c[1].status, GNTST_bad_copy_arg);
	assert_int_equal(c[2].status, GNTST_bad_gntref);
	assert_int_equal(c[3].status, GNTST_okay);
	assert_memory_equal(page[2], "whatever", 8);
	assert_int_equal(maps, unmaps);
	real_gnttab_close(g);
}

/* Short memory is told apart from bad references, and harms no other piece. */
static void short_of_memory(void **state)
{
	static const int errors[] = {ENOMEM, EAGAIN};

	for (unsigned i = 0; i < 2; i++) {
		struct xen_gnttab *g = open_it(false);
		char out[8] = "to guest", in[8] = "";
		struct xen_copy c[2] = {{.local = in, .ref = 1, .length = 8},
		                        {.local = out, .ref = 3, .length = 8, .to_guest = true}};
		memcpy(page[1], "to local", 8);
		memset(page[3], 0, 8);
		map_errno[1] = errors[i];
		assert_int_equal(real_gnttab_copy(g, 7, c, 2), -errors[i]);
		assert_true(c[0].status < 0);
		assert_int_equal(c[1].status, GNTST_okay);
		assert_memory_equal(page[3], "to guest", 8);
		map_errno[1] = 0;
		assert_int_equal(real_gnttab_copy(g, 7, c, 2), 0);
		assert_memory_equal(in, "to local", 8);
		real_gnttab_close(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kernel_that_copies), cmocka_unit_test(kernel_that_does_not),
	    cmocka_unit_test(pieces_fail_alone), cmocka_unit_test(short_of_memory)};

	return cmocka_run_group_tests_name("real_gnttab", tests, NULL, NULL);
}
