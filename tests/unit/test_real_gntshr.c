/* SPDX-License-Identifier: MIT */
/*
 * Pages granted on a real Xen's library, of which this program has its own: what is shared is given
 * back, at the latest when the handle is closed. The kernel lets a domain share 1024 pages in all.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <xengnttab.h>

#include "xen/platform_ops.h"
#include "xen/real/real_priv.h"

static int shared, closed; /* pages, handles */
static bool refuses;

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags)
{
	shared = closed = 0;
	refuses = false;
	return (xengntshr_handle *)&shared;
}

int xengntshr_close(xengntshr_handle *h)
{
	closed++;
	return 0;
}

void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
	if (refuses) {
		errno = ENOSPC;
		return NULL;
	}
	for (int i = 0; i < count; i++)
		refs[i] = (uint32_t)(100 + i);
	shared += count;
	return malloc(1);
}

int xengntshr_unshare(xengntshr_handle *h, void *addr, uint32_t count)
{
	assert_int_equal(closed, 0);
	shared -= (int)count;
	free(addr);
	return 0;
}

static struct xen_gntshr *open_it(void)
{
	static const struct xen_platform_ops ops;
	static struct xen_platform p = {.ops = &ops};
	struct xen_gntshr *s;
	struct error err;

	assert_int_equal(real_gntshr_open(&p, &s, &err), 0);
	return s;
}

static void close_gives_back(void **state)
{
	struct xen_gntshr *s = open_it();
	uint32_t refs[8];
	void *a, *b, *c;

	assert_int_equal(real_gntshr_share(s, 0, 8, true, refs, &a), 0);
	assert_int_equal(real_gntshr_share(s, 0, 1, false, refs, &b), 0);
	assert_int_equal(real_gntshr_share(s, 0, 2, true, refs, &c), 0);
	assert_int_equal(shared, 11);
	assert_int_equal(real_gntshr_unshare(s, b, 1), 0);
	assert_int_equal(shared, 10);
	real_gntshr_close(s);
	assert_int_equal(shared, 0);
	assert_int_equal(closed, 1);
}

static void unshares_what_it_shared(void **state)
{
	struct xen_gntshr *s = open_it();
	uint32_t refs[2];
	void *a;

	assert_int_equal(real_gntshr_share(s, 0, 2, true, refs, &a), 0);
	assert_int_equal(real_gntshr_unshare(s, a, 1), -EINVAL);
	assert_int_equal(real_gntshr_unshare(s, refs, 2), -EINVAL);
	assert_int_equal(shared, 2);
	assert_int_equal(real_gntshr_unshare(s, a, 2), 0);
	assert_int_equal(real_gntshr_unshare(s, a, 2), -EINVAL);
	assert_int_equal(shared, 0);
	real_gntshr_close(s);
}

static void a_kernel_that_has_no_more(void **state)
{
	struct xen_gntshr *s = open_it();
	uint32_t ref;
	void *a;

	refuses = true;
	assert_int_equal(real_gntshr_share(s, 0, 1, true, &ref, &a), -ENOSPC);
	real_gntshr_close(s);
	assert_int_equal(shared, 0);
	assert_int_equal(closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(close_gives_back),
	                                   cmocka_unit_test(unshares_what_it_shared),
	                                   cmocka_unit_test(a_kernel_that_has_no_more)};

	return cmocka_run_group_tests_name("real_gntshr", tests, NULL, NULL);
}
