/* SPDX-License-Identifier: MIT */
/* Embedded Xen: sharing pages and mapping them in another domain. */
#include "hv_fixture.h"

static bool all_bytes(const char *page, size_t n, char value)
{
	for (size_t i = 0; i < n; i++)
		if (page[i] != value)
			return false;
	return true;
}

static void map_shows_the_same_bytes(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[3];
	char *page = hv_pages(s, 3, true, refs);
	void *seen;

	assert_true(all_bytes(page, 3 * XEN_PAGE_SIZE, 0));
	for (int i = 0; i < 3; i++)
		assert_true(refs[i] >= 8);
	strcpy(page + XEN_PAGE_SIZE, "from the guest");
	assert_int_equal(xen_gnttab_map(g, FRONT, 3, refs, true, &seen), 0);
	assert_int_equal((uintptr_t)seen % XEN_PAGE_SIZE, 0);
	assert_string_equal((char *)seen + XEN_PAGE_SIZE, "from the guest");
	strcpy((char *)seen + 2 * XEN_PAGE_SIZE, "from the back end");
	assert_string_equal(page + 2 * XEN_PAGE_SIZE, "from the back end");
	assert_int_equal(hv_usage_now(t).grants, 3);
	assert_int_equal(hv_usage_now(t).maps, 3);
	assert_int_equal(xen_gnttab_unmap(g, seen, 2), -EINVAL);
	assert_int_equal(xen_gnttab_unmap(g, (char *)seen + XEN_PAGE_SIZE, 3), -EINVAL);
	assert_int_equal(xen_gnttab_unmap(g, seen, 3), 0);
	assert_int_equal(xen_gnttab_unmap(g, seen, 3), -EINVAL);
	assert_int_equal(hv_usage_now(t).maps, 0);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), -EINVAL);
	assert_int_equal(xen_gntshr_unshare(s, page, 3), 0);
	assert_int_equal(xen_gntshr_unshare(s, page, 3), -EINVAL);
	assert_int_equal(hv_usage_now(t).grants, 0);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

/* Signal that ends a process which writes there; 0: none. */
static int write_signal(char *where)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)where = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void read_only(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t ro, rw;
	char *ro_page = hv_pages(s, 1, false, &ro);
	void *seen = (void *)1;

	hv_pages(s, 1, true, &rw);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ro, true, &seen), -EACCES);
	assert_ptr_equal(seen, (void *)1);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ro, false, &seen), 0);
	ro_page[5] = 'x';
	assert_int_equal(((char *)seen)[5], 'x');
	assert_int_equal(write_signal(seen), SIGSEGV);
	assert_int_equal(write_signal(ro_page), 0); /* its owner may */
	void *rw_seen;
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &rw, false, &rw_seen), 0);
	assert_int_equal(write_signal(rw_seen), SIGSEGV);
	assert_int_equal(xen_gnttab_unmap(g, rw_seen, 1), 0);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &rw, true, &rw_seen), 0);
	assert_int_equal(write_signal(rw_seen), 0);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void bad_references_map_nothing(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[4], others;
	void *addr = NULL, *page;

	hv_pages(s, 4, true, refs);
	assert_int_equal(xen_gntshr_share(s, 9, 1, true, &others, &page), 0);
	const uint32_t bad[] = {0, 7, others, others + 1, 65535, 65536, UINT32_MAX};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint32_t mixed[4] = {refs[0], refs[1], bad[i], refs[3]};
		assert_int_equal(xen_gnttab_map(g, FRONT, 1, &bad[i], true, &addr), -EINVAL);
		assert_int_equal(xen_gnttab_map(g, FRONT, 4, mixed, true, &addr), -EINVAL);
		assert_int_equal(hv_usage_now(t).maps, 0);
	}
	assert_int_equal(xen_gnttab_map(g, FRONT, 0, refs, true, &addr), -EINVAL);
	assert_int_equal(xen_gnttab_map(g, FRONT, 16385, refs, true, &addr), -E2BIG);
	assert_int_equal(xen_gnttab_map(g, 9, 1, refs, true, &addr), -EINVAL); /* no such domain */
	assert_int_equal(xen_gnttab_map(g, 0x7ff0, 1, refs, true, &addr), -EINVAL);
	assert_null(addr);
	/* Nothing stays pinned after all that. */
	assert_int_equal(xen_gnttab_map(g, FRONT, 4, refs, true, &addr), 0);
	assert_int_equal(hv_usage_now(t).maps, 4);
	xen_gnttab_close(g);
	assert_int_equal(hv_usage_now(t).maps, 0);
	xen_gntshr_close(s);
	assert_int_equal(hv_usage_now(t).grants, 0);
}

static void scattered_references_lie_side_by_side(void **state)
{
	static const int order[16] = {5, 6, 7, 0, 15, 14, 13, 1, 2, 3, 9, 8, 4, 10, 11, 12};
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[16], mixed[16];
	char *page[2];
	void *seen;

	/* Two shares with a hole between them. */
	page[0] = hv_pages(s, 8, true, refs);
	uint32_t between[5];
	hv_pages(s, 5, true, between);
	page[1] = hv_pages(s, 8, true, refs + 8);
	for (int i = 0; i < 16; i++) {
		snprintf(page[i / 8] + i % 8 * XEN_PAGE_SIZE + 100, 20, "page %d", i);
		mixed[i] = refs[order[i]];
	}
	assert_int_equal(xen_gnttab_map(g, FRONT, 16, mixed, true, &seen), 0);
	for (int i = 0; i < 16; i++) {
		char expect[20];
		snprintf(expect, sizeof expect, "page %d", order[i]);
		assert_string_equal((char *)seen + i * XEN_PAGE_SIZE + 100, expect);
	}
	/* The same reference twice is fine, too. */
	uint32_t twice[2] = {refs[3], refs[3]};
	void *both;
	assert_int_equal(xen_gnttab_map(g, FRONT, 2, twice, true, &both), 0);
	strcpy(both, "once");
	assert_string_equal((char *)both + XEN_PAGE_SIZE, "once");
	assert_int_equal(hv_usage_now(t).maps, 18);
	assert_int_equal(xen_gnttab_unmap(g, both, 2), 0);
	assert_int_equal(xen_gnttab_unmap(g, seen, 16), 0);
	assert_int_equal(xen_gntshr_unshare(s, page[0], 8), 0);
	assert_int_equal(xen_gntshr_unshare(s, page[1], 8), 0);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void unshare_is_refused_while_mapped(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2];
	char *page = hv_pages(s, 2, true, refs);
	void *seen, *again;

	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[1], true, &seen), 0);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), -EBUSY);
	/* It is as before: still granted, still ours. */
	strcpy(page, "still here");
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &again), 0);
	assert_string_equal(again, "still here");
	assert_int_equal(xen_gnttab_unmap(g, seen, 1), 0);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), -EBUSY);
	assert_int_equal(xen_gnttab_unmap(g, again, 1), 0);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), 0);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &again), -EINVAL);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void revoked_while_mapped(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front), *other = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2];
	char *page = hv_pages(s, 2, true, refs);
	void *seen, *again;

	assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &seen), 0);
	assert_int_equal(xen_gntshr_revoke(other, refs, 1), -EINVAL); /* not its own */
	const uint32_t bad[2] = {refs[0], 65536};
	assert_int_equal(xen_gntshr_revoke(s, bad, 2), -EINVAL); /* then none of them */
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &again), 0);
	assert_int_equal(xen_gnttab_unmap(g, again, 1), 0);

	assert_int_equal(xen_gntshr_revoke(s, refs, 1), 0);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &again), -EINVAL);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[1], true, &again), 0);
	strcpy(page, "the map stays");
	assert_string_equal(seen, "the map stays");
	assert_int_equal(xen_gntshr_unshare(s, page, 2), -EBUSY);
	/* A refused unshare does not bring the revoked one back. */
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &seen), -EINVAL);
	xen_gnttab_close(g);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), 0);
	xen_gntshr_close(other);
	xen_gntshr_close(s);
}

static void vanished_guest_leaves_mapped_pages(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2], fresh[64];
	char *page = hv_pages(s, 2, true, refs);
	void *seen, *again;

	strcpy(page, "last words");
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &seen), 0);
	xen_gntshr_close(s);
	assert_int_equal(hv_usage_now(t).grants, 0);
	assert_int_equal(hv_usage_now(t).maps, 1);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &refs[0], true, &again), -EINVAL);
	assert_string_equal(seen, "last words");
	/* What another process of the guest shares now is not that page, which is in use. */
	s = hv_gntshr(t->front);
	for (int i = 0; i < 64; i++) {
		char *p = hv_pages(s, 1, true, &fresh[i]);
		assert_true(all_bytes(p, XEN_PAGE_SIZE, 0));
		memset(p, 0x5a, XEN_PAGE_SIZE);
	}
	assert_string_equal(seen, "last words");
	assert_int_equal(xen_gnttab_unmap(g, seen, 1), 0);
	assert_int_equal(hv_usage_now(t).maps, 0);
	/* Only now its reference is free again, and so the next that is given out. */
	hv_pages(s, 1, true, &fresh[0]);
	assert_int_equal(fresh[0], refs[0]);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

/* Memory goes round: every page of the domain is used several times, always zeroed. */
static void pages_come_back_zeroed(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	uint32_t *refs = calloc(16384, sizeof *refs);
	void *addr;

	for (int round = 0; round < 34; round++) { /* 16 rounds use all 262144 pages once */
		assert_int_equal(xen_gntshr_share(s, BACK, 16384, true, refs, &addr), 0);
		char *page = (char *)addr + (size_t)round * 100 * XEN_PAGE_SIZE;
		assert_int_equal(((char *)addr)[0], 0);
		assert_int_equal(page[7], 0);
		memset(addr, 1, XEN_PAGE_SIZE);
		page[7] = 1;
		assert_int_equal(xen_gntshr_unshare(s, addr, 16384), 0);
	}
	assert_int_equal(xen_gntshr_share(s, BACK, 16385, true, refs, &addr), -E2BIG);
	assert_int_equal(xen_gntshr_share(s, BACK, 0, true, refs, &addr), -EINVAL);
	assert_int_equal(xen_gntshr_share(s, 0x7ff0, 1, true, refs, &addr), -EINVAL);
	/* The table has 65536 - 8 references. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(xen_gntshr_share(s, BACK, 16384, true, refs, &addr), 0);
	assert_int_equal(xen_gntshr_share(s, BACK, 16377, true, refs, &addr), -ENOSPC);
	assert_int_equal(xen_gntshr_share(s, BACK, 16376, true, refs, &addr), 0);
	assert_int_equal(hv_usage_now(t).grants, 65528);
	free(refs);
	xen_gntshr_close(s);
	assert_int_equal(hv_usage_now(t).grants, 0);
}

static void killed_back_end_unpins(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_usage before;
	uint32_t refs[4];
	char *page = hv_pages(s, 4, true, refs);
	int ready[2], status;
	char byte;

	before = hv_usage_now(t);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct xen_platform *p;
			struct xen_gnttab *g;
			void *seen;
			CHILD_CHECK(!xen_platform_open(t->dir, BACK, &p, NULL));
			CHILD_CHECK(!xen_gnttab_open(p, &g, NULL));
			CHILD_CHECK(!xen_gnttab_map(g, FRONT, 4, refs, true, &seen));
			CHILD_CHECK(write(ready[1], "", 1) == 1);
			pause();
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(hv_usage_now(t).maps, 4);
		if (round == 19)
			assert_int_equal(xen_gntshr_unshare(s, page, 4), -EBUSY);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (round < 19) {
			struct xen_usage after = hv_usage_now(t);
			assert_memory_equal(&after, &before, sizeof after);
		}
		close(ready[0]);
		close(ready[1]);
	}
	/* At once, without anybody asking first: a dead process holds nothing. */
	assert_int_equal(xen_gntshr_unshare(s, page, 4), 0);
	xen_gntshr_close(s);
}

static void domain_grants_to_itself(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->back);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t ref;
	char *page = hv_pages(s, 1, true, &ref);
	void *seen;

	strcpy(page, "own");
	assert_int_equal(xen_gnttab_map(g, BACK, 1, &ref, true, &seen), 0);
	assert_string_equal(seen, "own");
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(map_shows_the_same_bytes),
	                                   HV_TEST(read_only),
	                                   HV_TEST(bad_references_map_nothing),
	                                   HV_TEST(scattered_references_lie_side_by_side),
	                                   HV_TEST(unshare_is_refused_while_mapped),
	                                   HV_TEST(revoked_while_mapped),
	                                   HV_TEST(vanished_guest_leaves_mapped_pages),
	                                   HV_TEST(pages_come_back_zeroed),
	                                   HV_TEST(killed_back_end_unpins),
	                                   HV_TEST(domain_grants_to_itself)};

	return cmocka_run_group_tests_name("hv_grant", tests, NULL, NULL);
}
