/* SPDX-License-Identifier: MIT */
/* Embedded Xen: what a test asks to go wrong goes wrong, exactly so often. */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xenstore.h>

#include "base/clock.h"
#include "hv_fixture.h"

static void grant_fails_count_times(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2];
	char buf[8];
	void *addr;

	hv_pages(s, 2, true, refs);
	struct xen_copy c[2] = {{.local = buf, .ref = refs[0], .length = 8},
	                        {.local = buf, .ref = refs[1], .length = 8}};
	hv_fault_set(t, "grant %u %u %d 3", FRONT, refs[0], GNTST_bad_page);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
		assert_int_equal(c[0].status, GNTST_bad_page);
		assert_int_equal(c[1].status, GNTST_okay);
	}
	assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &addr), -EINVAL);
	assert_int_equal(hv_usage_now(t).maps, 0);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(c[0].status, GNTST_okay);
	assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &addr), 0);

	static const struct {
		int status, rc;
	} maps[] = {{GNTST_eagain, -EAGAIN},
	            {GNTST_permission_denied, -EACCES},
	            {GNTST_no_space, -ENOMEM},
	            {GNTST_bad_gntref, -EINVAL},
	            {-1000, -EINVAL}};
	for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
		hv_fault_set(t, "grant %u %u %d 1", FRONT, refs[1], maps[i].status);
		assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &addr), maps[i].rc);
	}
	assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &addr), 0);
	hv_fault_set(t, "grant %u %u -1 5", FRONT, refs[0]);
	hv_fault_set(t, "grant %u %u -3 1", FRONT, refs[0]); /* the last word counts */
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(c[0].status, -3);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(c[0].status, 0);
	hv_fault_set(t, "grant %u %u -1 5", FRONT, refs[0]);
	hv_fault_set(t, "clear");
	kill(t->pid, SIGSTOP); /* and no hypercall is needed any more */
	alarm(20);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(c[0].status, 0);
	kill(t->pid, SIGCONT);
	alarm(0);
	/* It belongs to the reference, whatever is granted under it. */
	hv_fault_set(t, "grant %u %u -9 1", FRONT, refs[1] + 1);
	uint32_t next;
	hv_pages(s, 1, true, &next);
	assert_int_equal(next, refs[1] + 1);
	c[0].ref = next;
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(c[0].status, -9);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void copies_refused(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back);
	uint32_t refs[2];
	char buf[2][8];
	char *page = hv_pages(s, 2, true, refs);
	void *addr;

	memset(page, 'g', 2 * XEN_PAGE_SIZE);
	struct xen_copy c[2] = {{.local = buf[0], .ref = refs[0], .length = 8},
	                        {.local = buf[1], .ref = refs[1], .length = 8}};
	hv_fault_set(t, "refuse-copies %u %d 2", FRONT, ENOMEM);
	for (int i = 0; i < 2; i++) {
		memset(buf, 0, sizeof buf);
		assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), -ENOMEM);
		assert_true(c[0].status < 0 && c[1].status < 0);
		/* Half done, as a kernel may leave it. */
		assert_int_equal(buf[0][0], 'g');
		assert_int_equal(buf[1][0], 0);
		/* Maps are another matter. */
		assert_int_equal(xen_gnttab_map(g, FRONT, 2, refs, true, &addr), 0);
		assert_int_equal(xen_gnttab_unmap(g, addr, 2), 0);
	}
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	assert_int_equal(buf[1][0], 'g');
	hv_fault_set(t, "refuse-copies %u %d 5", FRONT, EAGAIN);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), -EAGAIN);
	hv_fault_set(t, "refuse-copies %u %d 0", FRONT, EAGAIN);
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	hv_fault_set(t, "refuse-copies %u %d 5", FRONT, EAGAIN);
	hv_fault_set(t, "clear");
	assert_int_equal(xen_gnttab_copy(g, FRONT, c, 2), 0);
	xen_gnttab_close(g);
	xen_gntshr_close(s);
}

static void lost_and_spurious_events(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	uint32_t bp = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, fp);

	assert_int_equal(xen_evtchn_pending(b), bp);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	hv_fault_set(t, "lose-event %u %u 2", BACK, bp);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(xen_evtchn_notify(f, fp), 0);
		assert_int_equal(xen_evtchn_pending(b), -EAGAIN);
	}
	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	assert_int_equal(xen_evtchn_pending(b), bp);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	hv_fault_set(t, "lose-event %u %u 2", BACK, bp);
	assert_int_equal(xen_evtchn_notify(b, bp), 0); /* the other direction is not touched */
	assert_int_equal(xen_evtchn_pending(f), fp);
	hv_fault_set(t, "clear");
	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	assert_int_equal(xen_evtchn_pending(b), bp);

	hv_fault_set(t, "spurious-event %u %u", BACK, bp); /* masked now */
	assert_int_equal(xen_evtchn_pending(b), -EAGAIN);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	assert_int_equal(xen_evtchn_pending(b), bp);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	assert_int_equal(xen_evtchn_pending(b), -EAGAIN);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

static struct xs_handle *store(const struct xen_platform *p)
{
	setenv("XENSTORED_PATH", xen_platform_store_path(p), 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");
	assert_non_null(xs);
	return xs;
}

static bool commit(struct xs_handle *xs)
{
	xs_transaction_t tx = xs_transaction_start(xs);

	assert_int_not_equal(tx, XBT_NULL);
	assert_true(xs_write(xs, tx, "/tool/k", "v", 1));
	bool ok = xs_transaction_end(xs, tx, false);
	if (!ok)
		assert_int_equal(errno, EAGAIN);
	return ok;
}

static void store_conflicts(void **state)
{
	struct hv_test *t = *state;
	struct xs_handle *xs = store(t->back);

	hv_fault_set(t, "conflict 2");
	assert_false(commit(xs));
	assert_false(commit(xs));
	assert_true(commit(xs));
	hv_fault_set(t, "conflict 2");
	hv_fault_set(t, "clear");
	assert_true(commit(xs));
	xs_close(xs);
}

static uint64_t read_ms(struct xs_handle *xs, bool expect)
{
	uint64_t start = clock_ns();
	unsigned len;
	char *v = xs_read(xs, XBT_NULL, "/tool/k", &len);

	assert_int_equal(v != NULL, expect);
	free(v);
	return (clock_ns() - start) / NS_PER_MS;
}

static void store_delays(void **state)
{
	struct hv_test *t = *state;
	struct xs_handle *xs = store(t->back), *late = store(t->back);

	assert_true(xs_write(xs, XBT_NULL, "/tool/k", "v", 1));
	hv_fault_set(t, "delay-store 150");
	for (int i = 0; i < 2; i++) {
		uint64_t ms = read_ms(xs, true);
		assert_in_range(ms, 149, 5000);
	}
	hv_fault_set(t, "delay-store 0");
	uint64_t quick = 1000;
	for (int i = 0; i < 100 && quick > 100; i++)
		quick = read_ms(xs, true);
	assert_in_range(quick, 0, 100);
	/* What is held back when the delay ends comes at once; a client that leaves leaves nothing.
	 */
	hv_fault_set(t, "delay-store 3000000");
	pid_t pid = fork();
	if (pid == 0) {
		read_ms(late, true);
		_exit(0);
	}
	int status;
	usleep(50000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	hv_fault_set(t, "clear");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	xs_close(late);
	xs_close(xs);
	assert_int_equal(hv_usage_now(t).store_conns, 0);
}

static void words_that_are_refused(void **state)
{
	static const char *const bad[] = {"",
	                                  " ",
	                                  "grant",
	                                  "grant 7 8 -1",
	                                  "grant 7 8 1 1",
	                                  "grant 7 8 0 1",
	                                  "grant 7 8 -0 1",
	                                  "grant 7 65536 -1 1",
	                                  "grant 9 8 -1 1",
	                                  "grant 7 8 -1 1 1",
	                                  "grant 7 8 -1 1 1 1 1 1",
	                                  "grant 7 8 -40000 1",
	                                  "refuse-copies 7 12",
	                                  "refuse-copies 7 0 1",
	                                  "refuse-copies 7 5000 1",
	                                  "refuse-copies 9 12 1",
	                                  "lose-event 7 1 1",
	                                  "lose-event 9 1 1",
	                                  "spurious-event 7 0",
	                                  "spurious-event 7 1",
	                                  "conflict",
	                                  "conflict -1",
	                                  "conflict x",
	                                  "delay-store",
	                                  "delay-store 99999999",
	                                  "clear now",
	                                  "Clear",
	                                  "no-such-fault 1"};
	struct hv_test *t = *state;
	struct error err = {0};
	char longer[400];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(xen_fault(t->back, bad[i], &err), -EINVAL);
	assert_string_equal(err.text,
	                    "fault 'no-such-fault 1' refused: use grant DOMID REF STATUS COUNT, "
	                    "refuse-copies DOMID ERRNO COUNT, lose-event DOMID PORT COUNT, "
	                    "spurious-event DOMID PORT, conflict COUNT, "
	                    "delay-store MS or clear, of a domain and port that exist");
	memset(longer, ' ', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	memcpy(longer, "clear", 5);
	assert_int_equal(xen_fault(t->back, longer, &err), -EINVAL);
	assert_int_equal(xen_fault(t->back, "  clear  ", &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(grant_fails_count_times),
	                                   HV_TEST(copies_refused),
	                                   HV_TEST(lost_and_spurious_events),
	                                   HV_TEST(store_conflicts),
	                                   HV_TEST(store_delays),
	                                   HV_TEST(words_that_are_refused)};

	return cmocka_run_group_tests_name("hv_fault", tests, NULL, NULL);
}
