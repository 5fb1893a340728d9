/* SPDX-License-Identifier: MIT */
/* Embedded Xen: batch copies, each with a status of its own, and what may happen in their middle.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "hv_fixture.h"

static struct xen_copy from_guest(uint32_t ref, unsigned offset, void *local, unsigned length)
{
	return (struct xen_copy){.local = local,
	                         .ref = ref,
	                         .offset = (uint16_t)offset,
	                         .length = (uint16_t)length,
	                         .status = 99};
}

static struct xen_copy to_guest(uint32_t ref, unsigned offset, void *local, unsigned length)
{
	struct xen_copy c = from_guest(ref, offset, local, length);

	c.to_guest = true;
	return c;
}

/* Status of one copy. */
static int copy_one(struct xen_gnttab *g, struct xen_copy c)
{
	assert_int_equal(xen_gnttab_copy(g, FRONT, &c, 1), 0);
	return c.status;
}

static void statuses_are_each_its_own(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t rw[2], ro, others;
	char *page = hv_pages(s, 2, true, rw), *ro_page = hv_pages(s, 1, false, &ro);
	char buf[8][16] = {"aaaaaaa", "bbbbbbb", "ccccccc"};
	void *other_page;

	assert_int_equal(xen_gntshr_share(s, 9, 1, true, &others, &other_page), 0);
	strcpy(page + XEN_PAGE_SIZE + 4088, "guest 1");
	strcpy(ro_page, "guest 2");
	struct xen_copy c[] = {
	    to_guest(rw[0], 16, buf[0], 8),       to_guest(ro, 0, buf[1], 8),
	    from_guest(rw[1], 4088, buf[3], 8),   from_guest(others, 0, buf[4], 8),
	    from_guest(others + 1, 0, buf[4], 8), from_guest(65536, 0, buf[4], 8),
	    from_guest(rw[1], 4089, buf[4], 8),   from_guest(rw[1], 65535, buf[4], 65535),
	    from_guest(ro, 0, buf[5], 8),         to_guest(rw[0], 4096, buf[2], 0),
	    to_guest(rw[0], 24, buf[2], 8),
	};
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, sizeof c / sizeof *c), 0);
	static const int expect[] = {GNTST_okay,          GNTST_general_error, GNTST_okay,
	                             GNTST_general_error, GNTST_general_error, GNTST_bad_gntref,
	                             GNTST_bad_copy_arg,  GNTST_bad_copy_arg,  GNTST_okay,
	                             GNTST_okay,          GNTST_okay};
	for (size_t i = 0; i < sizeof c / sizeof *c; i++)
		assert_int_equal(c[i].status, expect[i]);
	assert_string_equal(page + 16, "aaaaaaa");
	assert_string_equal(page + 24, "ccccccc");
	assert_string_equal(ro_page, "guest 2");
	assert_string_equal(buf[3], "guest 1");
	assert_string_equal(buf[4], "");
	assert_string_equal(buf[5], "guest 2");
	/* Exactly the bytes asked for. */
	assert_int_equal(page[15], 0);
	assert_int_equal(page[32], 0);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 0), 0);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void whole_page(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	char *local = malloc(XEN_PAGE_SIZE), *back = malloc(XEN_PAGE_SIZE);
	uint32_t ref;
	char *page = hv_pages(s, 1, true, &ref);

	for (unsigned i = 0; i < XEN_PAGE_SIZE; i++)
		local[i] = (char)(i * 7 + i / 256);
	assert_int_equal(copy_one(g, to_guest(ref, 0, local, XEN_PAGE_SIZE)), GNTST_okay);
	assert_memory_equal(page, local, XEN_PAGE_SIZE);
	assert_int_equal(copy_one(g, from_guest(ref, 0, back, XEN_PAGE_SIZE)), GNTST_okay);
	assert_memory_equal(back, local, XEN_PAGE_SIZE);
	free(local);
	free(back);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void unknown_domain(void **state)
{
	struct hv_test *t = *state;
	struct xen_gnttab *g = hv_gnttab(t->back);
	char buf[8];
	struct xen_copy c[2] = {from_guest(8, 0, buf, 8), to_guest(8, 0, buf, 8)};

	assert_int_equal(xen_gnttab_copy(g, 9, c, 2), 0);
	assert_int_equal(c[0].status, GNTST_bad_domain);
	assert_int_equal(c[1].status, GNTST_bad_domain);
	xen_gnttab_close(g);
}

/* After the first, a copy asks nobody: it works while the hypervisor stands still. */
static void no_hypercall_in_the_common_case(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2];
	char *page = hv_pages(s, 2, true, refs), buf[8] = "seven..";

	assert_int_equal(copy_one(g, to_guest(refs[0], 0, buf, 8)), GNTST_okay);
	kill(t->pid, SIGSTOP);
	alarm(20);
	assert_int_equal(copy_one(g, to_guest(refs[1], 0, buf, 8)), GNTST_okay);
	assert_int_equal(copy_one(g, from_guest(9999, 0, buf, 8)), GNTST_general_error);
	kill(t->pid, SIGCONT);
	alarm(0);
	assert_string_equal(page + XEN_PAGE_SIZE, "seven..");
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void gone_grants_fail_at_once(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t revoked, unshared, vanished;
	char buf[8];

	hv_pages(s, 1, true, &revoked);
	char *page = hv_pages(s, 1, true, &unshared);
	hv_pages(s, 1, true, &vanished);
	assert_int_equal(copy_one(g, from_guest(revoked, 0, buf, 8)), GNTST_okay);
	assert_int_equal(xen_gntshr_revoke(s, &revoked, 1), 0);
	assert_int_equal(copy_one(g, from_guest(revoked, 0, buf, 8)), GNTST_general_error);
	assert_int_equal(copy_one(g, from_guest(unshared, 0, buf, 8)), GNTST_okay);
	assert_int_equal(xen_gntshr_unshare(s, page, 1), 0);
	assert_int_equal(copy_one(g, from_guest(unshared, 0, buf, 8)), GNTST_general_error);
	assert_int_equal(copy_one(g, from_guest(vanished, 0, buf, 8)), GNTST_okay);
	xen_gntshr_close(s);
	assert_int_equal(copy_one(g, from_guest(vanished, 0, buf, 8)), GNTST_general_error);
	xen_gnttab_close(g);
}

/* ---- in the middle of a copy: the local buffer faults, and the handler holds the copier there
 * ---- */

static sem_t in_copy, go_on;
static char *trap;

static void trapped(int sig)
{
	sem_post(&in_copy);
	while (sem_wait(&go_on))
		;
	mprotect(trap, XEN_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void trap_set(void)
{
	trap = mmap(NULL, XEN_PAGE_SIZE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(trap, MAP_FAILED);
	sem_init(&in_copy, 0, 0);
	sem_init(&go_on, 0, 0);
	signal(SIGSEGV, trapped);
}

static void trap_clear(void)
{
	signal(SIGSEGV, SIG_DFL);
	munmap(trap, XEN_PAGE_SIZE);
}

struct copier {
	pthread_t thread;
	struct xen_gnttab *g;
	struct xen_copy c;
};

static void *copier_run(void *arg)
{
	struct copier *cp = arg;

	xen_gnttab_copy(cp->g, FRONT, &cp->c, 1);
	return NULL;
}

/* A copy of a whole page that is under way now. */
static void copier_start(struct copier *cp, struct xen_gnttab *g, uint32_t ref, bool to)
{
	trap_set();
	cp->g = g;
	cp->c = from_guest(ref, 0, trap, XEN_PAGE_SIZE);
	cp->c.to_guest = to;
	assert_int_equal(pthread_create(&cp->thread, NULL, copier_run, cp), 0);
	sem_wait(&in_copy);
}

static int copier_finish(struct copier *cp)
{
	sem_post(&go_on);
	pthread_join(cp->thread, NULL);
	return cp->c.status;
}

static bool all_bytes(const char *page, char value)
{
	for (unsigned i = 0; i < XEN_PAGE_SIZE; i++)
		if (page[i] != value)
			return false;
	return true;
}

static void revoked_in_flight(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back), *g2 = hv_gnttab(t->back);
	struct copier cp;
	uint32_t ref;
	char *page = hv_pages(s, 1, true, &ref), buf[8];

	memset(page, 0x11, XEN_PAGE_SIZE);
	copier_start(&cp, g, ref, false);
	assert_int_equal(xen_gntshr_revoke(s, &ref, 1), 0);
	assert_int_equal(copy_one(g2, from_guest(ref, 0, buf, 8)), GNTST_general_error);
	assert_int_equal(copier_finish(&cp), GNTST_okay);
	assert_true(all_bytes(trap, 0x11));
	assert_int_equal(copy_one(g, from_guest(ref, 0, buf, 8)), GNTST_general_error);
	trap_clear();
	xen_gnttab_close(g);
	xen_gnttab_close(g2);
	xen_gntshr_close(s);
}

static void unshare_is_refused_in_flight(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	struct copier cp;
	uint32_t refs[2], other;
	char *page = hv_pages(s, 2, true, refs), *other_page = hv_pages(s, 1, true, &other);

	memset(page + XEN_PAGE_SIZE, 0x22, XEN_PAGE_SIZE);
	copier_start(&cp, g, refs[1], false);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), -EBUSY);
	assert_int_equal(xen_gntshr_unshare(s, other_page, 1), 0);
	assert_int_equal(copier_finish(&cp), GNTST_okay);
	assert_true(all_bytes(trap, 0x22));
	/* The refusal left the grant in force; and now the copy is over. */
	assert_int_equal(copy_one(g, from_guest(refs[1], 0, trap, 8)), GNTST_okay);
	assert_int_equal(xen_gntshr_unshare(s, page, 2), 0);
	trap_clear();
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

/* The guest's process goes: its page is given to nobody before the copy is over. */
static void page_outlives_its_process_in_flight(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	struct copier cp;
	uint32_t ref, *refs = calloc(16384, sizeof *refs);
	char *page = hv_pages(s, 1, true, &ref);
	void *addr;

	memset(page, 0x33, XEN_PAGE_SIZE);
	copier_start(&cp, g, ref, false);
	xen_gntshr_close(s);
	assert_int_equal(hv_usage_now(t).grants, 0);
	s = hv_gntshr(t->front);
	/* Once round all of the domain's memory. */
	for (int round = 0; round < 17; round++) {
		assert_int_equal(xen_gntshr_share(s, BACK, 16384, true, refs, &addr), 0);
		assert_int_equal(xen_gntshr_unshare(s, addr, 16384), 0);
	}
	assert_int_equal(copier_finish(&cp), GNTST_okay);
	assert_true(all_bytes(trap, 0x33));
	trap_clear();
	free(refs);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void killed_copier_holds_nothing(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	uint32_t ref;
	char *page = hv_pages(s, 1, true, &ref), byte;
	int ready[2], status;

	for (int round = 0; round < 5; round++) {
		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct xen_platform *p;
			struct copier cp;
			CHILD_CHECK(!xen_platform_open(t->dir, BACK, &p, NULL));
			CHILD_CHECK(!xen_gnttab_open(p, &cp.g, NULL));
			copier_start(&cp, cp.g, ref, true);
			CHILD_CHECK(write(ready[1], "", 1) == 1);
			pause();
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(xen_gntshr_unshare(s, page, 1), -EBUSY);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(xen_gntshr_unshare(s, page, 1), 0);
		page = hv_pages(s, 1, true, &ref);
		close(ready[0]);
		close(ready[1]);
	}
	xen_gntshr_close(s);
}

static void destroyed_in_flight(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	struct copier cp;
	uint32_t ref;
	char buf[8];

	hv_pages(s, 1, true, &ref);
	copier_start(&cp, g, ref, true);
	assert_int_equal(xen_domain_destroy(t->back, FRONT, NULL), 0);
	assert_int_equal(copier_finish(&cp), GNTST_okay);
	assert_int_equal(copy_one(g, from_guest(ref, 0, buf, 8)), GNTST_bad_domain);
	trap_clear();
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(statuses_are_each_its_own),
	                                   HV_TEST(whole_page),
	                                   HV_TEST(unknown_domain),
	                                   HV_TEST(no_hypercall_in_the_common_case),
	                                   HV_TEST(gone_grants_fail_at_once),
	                                   HV_TEST(revoked_in_flight),
	                                   HV_TEST(unshare_is_refused_in_flight),
	                                   HV_TEST(page_outlives_its_process_in_flight),
	                                   HV_TEST(killed_copier_holds_nothing),
	                                   HV_TEST(destroyed_in_flight)};

	return cmocka_run_group_tests_name("hv_copy", tests, NULL, NULL);
}
