/* SPDX-License-Identifier: MIT */
/* Embedded Xen: event channels, their pending and mask bits, and what is left when an end dies. */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "hv_fixture.h"
#include "xen/embedded/client_priv.h"
#include "../lib/needs.h"

static bool readable(struct xen_evtchn *e)
{
	struct pollfd p = {.fd = xen_evtchn_fd(e), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* The one port that is pending; it is unmasked again. */
static void expect_event(struct xen_evtchn *e, int port)
{
	assert_true(readable(e));
	assert_int_equal(xen_evtchn_pending(e), port);
	assert_int_equal(xen_evtchn_unmask(e, (uint32_t)port), 0);
	assert_int_equal(xen_evtchn_pending(e), -EAGAIN);
	assert_false(readable(e));
}

static void expect_quiet(struct xen_evtchn *e)
{
	assert_int_equal(xen_evtchn_pending(e), -EAGAIN);
	assert_false(readable(e));
}

static void bind_sets_pending(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	int fp = xen_evtchn_bind_unbound(f, BACK);

	assert_true(fp > 0);
	expect_quiet(f);
	assert_int_equal(hv_usage_now(t).ports, 1);
	assert_int_equal(hv_usage_now(t).interdomain, 0);
	int bp = xen_evtchn_bind_interdomain(b, FRONT, (uint32_t)fp);
	assert_true(bp > 0);
	expect_event(b, bp);
	expect_quiet(f);
	assert_int_equal(hv_usage_now(t).ports, 2);
	assert_int_equal(hv_usage_now(t).interdomain, 2);

	assert_int_equal(xen_evtchn_notify(f, (uint32_t)fp), 0);
	expect_event(b, bp);
	assert_int_equal(xen_evtchn_notify(b, (uint32_t)bp), 0);
	expect_event(f, fp);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
	assert_int_equal(hv_usage_now(t).ports, 0);
}

static void bind_is_refused(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	int for_back = xen_evtchn_bind_unbound(f, BACK), for_9 = xen_evtchn_bind_unbound(f, 9);

	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, 0), -EINVAL);
	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, 60000), -EINVAL);
	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, UINT32_MAX), -EINVAL);
	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, (uint32_t)for_9), -EINVAL);
	assert_int_equal(xen_evtchn_bind_interdomain(b, 9, (uint32_t)for_back), -ENOENT);
	/* Its own domain is not the one it is reserved for. */
	assert_int_equal(xen_evtchn_bind_interdomain(f, FRONT, (uint32_t)for_back), -EINVAL);
	assert_int_equal(xen_evtchn_bind_unbound(f, 0x7ff0), -EINVAL);
	int bp = xen_evtchn_bind_interdomain(b, FRONT, (uint32_t)for_back);
	assert_true(bp > 0);
	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, (uint32_t)for_back), -EINVAL);
	assert_int_equal(xen_evtchn_unbind(f, (uint32_t)for_9), 0);
	assert_int_equal(xen_evtchn_unbind(f, (uint32_t)for_9), -EINVAL);
	assert_int_equal(xen_evtchn_notify(f, (uint32_t)for_9), -EINVAL);
	assert_int_equal(xen_evtchn_unmask(f, (uint32_t)for_9), -EINVAL);
	assert_int_equal(hv_usage_now(t).ports, 2);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

static void masked_until_unmask(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	uint32_t bp = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, fp);

	/* Taken, hence masked: more events are remembered, not signalled. */
	assert_int_equal(xen_evtchn_pending(b), bp);
	expect_quiet(b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(xen_evtchn_notify(f, fp), 0);
	assert_false(readable(b));
	expect_quiet(b);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	expect_event(b, (int)bp); /* all of them are one */
	/* Unmasking an unmasked port changes nothing. */
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	expect_quiet(b);
	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	assert_int_equal(xen_evtchn_unmask(b, bp), 0);
	expect_event(b, (int)bp);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

static void many_ports_on_one_handle(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	enum { N = 300 };
	uint32_t fp[N], bp[N];
	unsigned seen[N] = {0};

	for (int i = 0; i < N; i++) {
		fp[i] = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
		bp[i] = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, fp[i]);
		assert_int_equal(xen_evtchn_pending(b), bp[i]);
		assert_int_equal(xen_evtchn_unmask(b, bp[i]), 0);
	}
	assert_int_equal(hv_usage_now(t).interdomain, 2 * N);
	for (int i = 0; i < N; i += 3)
		assert_int_equal(xen_evtchn_notify(f, fp[i]), 0);
	int port;
	while ((port = xen_evtchn_pending(b)) > 0)
		for (int i = 0; i < N; i++)
			seen[i] += bp[i] == (uint32_t)port;
	assert_int_equal(port, -EAGAIN);
	for (int i = 0; i < N; i++)
		assert_int_equal(seen[i], i % 3 == 0);
	/* A port given back is given out again. */
	assert_int_equal(xen_evtchn_unbind(b, bp[10]), 0);
	assert_int_equal(xen_evtchn_bind_interdomain(b, FRONT, fp[10]), bp[10]);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

static void channel_within_a_domain(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *e = hv_evtchn(t->back);
	uint32_t a = (uint32_t)xen_evtchn_bind_unbound(e, BACK);
	uint32_t b = (uint32_t)xen_evtchn_bind_interdomain(e, BACK, a);

	assert_int_not_equal(a, b);
	expect_event(e, (int)b);
	assert_int_equal(xen_evtchn_notify(e, b), 0);
	expect_event(e, (int)a);
	assert_int_equal(xen_evtchn_notify(e, a), 0);
	expect_event(e, (int)b);
	xen_evtchn_close(e);
}

static void events_without_listener_are_dropped(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);

	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	int bp = xen_evtchn_bind_interdomain(b, FRONT, fp);
	expect_event(b, bp); /* only the one that binding makes */
	assert_int_equal(xen_evtchn_unbind(b, (uint32_t)bp), 0);
	expect_quiet(b);
	assert_int_equal(hv_usage_now(t).interdomain, 0);
	assert_int_equal(hv_usage_now(t).ports, 1);
	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	bp = xen_evtchn_bind_interdomain(b, FRONT, fp);
	expect_event(b, bp);
	/* The other way round: the allocating end goes, the binding end stays, unbound. */
	xen_evtchn_close(f);
	assert_int_equal(xen_evtchn_notify(b, (uint32_t)bp), 0);
	expect_quiet(b);
	assert_int_equal(hv_usage_now(t).ports, 1);
	f = hv_evtchn(t->front);
	int again = xen_evtchn_bind_interdomain(f, BACK, (uint32_t)bp);
	expect_event(f, again);
	assert_int_equal(xen_evtchn_notify(f, (uint32_t)again), 0);
	expect_event(b, bp);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
	assert_int_equal(hv_usage_now(t).ports, 0);
}

/* What came before the death and was not taken yet is still there for the end that lives. */
static void pending_survives_the_sender(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	uint32_t bp = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, fp);

	assert_int_equal(xen_evtchn_notify(b, bp), 0);
	xen_evtchn_close(b);
	expect_event(f, (int)fp);
	xen_evtchn_close(f);
}

/* A sender killed between its pending bit and the wake-up: nobody else would ever write it. */
static void sender_killed_before_the_wakeup(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	struct client_call call;

	int sock = client_connect(embedded_of(t->back), HV_EVTCHN, &call, 1, NULL);
	assert_true(sock >= 0);
	struct hv_line *lines = mmap(NULL, HV_LINES * sizeof *lines, PROT_READ | PROT_WRITE,
	                             MAP_SHARED, call.fds[0], 0);
	close(call.fds[0]);
	call = (struct client_call){.req = {.op = HV_BIND, .domid = FRONT, .arg = fp}};
	assert_int_equal(client_call(sock, &call, 2), 0);
	close(call.fds[0]);
	close(call.fds[1]);
	atomic_store(&lines[call.reply.line].end[!call.reply.side].pending, 1);
	assert_false(readable(f));
	close(sock);
	assert_int_equal(hv_usage_now(t).interdomain, 0);
	expect_event(f, (int)fp);
	munmap(lines, HV_LINES * sizeof *lines);
	xen_evtchn_close(f);
}

/* A request that the hypervisor reads before it is told of a death sees the death nevertheless. */
static void death_counts_before_the_news(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	struct hv_request bind = {.op = HV_BIND, .domid = FRONT, .arg = fp};
	struct hv_reply reply;
	struct client_call call;

	int sock = client_connect(embedded_of(t->back), HV_EVTCHN, &call, 1, NULL);
	close(call.fds[0]);
	int holder = client_connect(embedded_of(t->back), HV_EVTCHN, &call, 1, NULL);
	close(call.fds[0]);
	call = (struct client_call){.req = bind};
	assert_int_equal(client_call(holder, &call, 2), 0);
	close(call.fds[0]);
	close(call.fds[1]);
	hv_usage_now(t); /* it has dealt with all that came before */
	kill(t->pid, SIGSTOP);
	waitpid(t->pid, NULL, WUNTRACED);
	assert_int_equal(send(sock, &bind, sizeof bind, 0), sizeof bind);
	close(holder);
	kill(t->pid, SIGCONT);
	assert_int_equal(recv(sock, &reply, sizeof reply, 0), sizeof reply);
	assert_int_equal(reply.rc, 0);
	close(sock);
	xen_evtchn_close(f);
}

/* The data plane waits for the descriptor in its io_uring. */
static void waits_in_io_uring(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	struct __kernel_timespec soon = {.tv_nsec = 20000000}, late = {.tv_sec = 20};
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	struct io_uring ring;
	struct io_uring_cqe *cqe;

	needs(lacks_io_uring());
	assert_int_equal(io_uring_queue_init(8, &ring, 0), 0);
	int bp = xen_evtchn_bind_interdomain(b, FRONT, fp);
	expect_event(b, bp);
	for (int i = 0; i < 50; i++) {
		io_uring_prep_poll_add(io_uring_get_sqe(&ring), xen_evtchn_fd(b), POLLIN);
		assert_int_equal(io_uring_submit(&ring), 1);
		if (i < 2)
			assert_int_equal(io_uring_wait_cqe_timeout(&ring, &cqe, &soon), -ETIME);
		assert_int_equal(xen_evtchn_notify(f, fp), 0);
		assert_int_equal(io_uring_wait_cqe_timeout(&ring, &cqe, &late), 0);
		assert_int_equal(cqe->res & POLLIN, POLLIN);
		io_uring_cqe_seen(&ring, cqe);
		expect_event(b, bp);
	}
	io_uring_queue_exit(&ring);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

static void bound_by_a_child(const char *dir, uint32_t fp, const uint32_t *ref, int ready)
{
	struct xen_platform *p;
	struct xen_evtchn *e;
	struct xen_gnttab *g;
	void *addr;

	CHILD_CHECK(!xen_platform_open(dir, BACK, &p, NULL));
	CHILD_CHECK(!xen_evtchn_open(p, &e, NULL));
	CHILD_CHECK(!xen_gnttab_open(p, &g, NULL));
	CHILD_CHECK(!xen_gnttab_map(g, FRONT, 1, ref, true, &addr));
	int port = xen_evtchn_bind_interdomain(e, FRONT, fp);
	CHILD_CHECK(port > 0);
	CHILD_CHECK(xen_evtchn_pending(e) == port);
	CHILD_CHECK(xen_evtchn_notify(e, (uint32_t)port) == 0);
	CHILD_CHECK(write(ready, "", 1) == 1);
	pause();
}

/* The heart of a worker's recovery: kill it, and bind the same port and map the same page again. */
static void rebind_after_kill_100_times(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front);
	struct xen_gntshr *s = hv_gntshr(t->front);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK), ref;
	int ready[2], status;
	char byte;

	hv_pages(s, 1, true, &ref);
	assert_int_equal(pipe(ready), 0);
	struct xen_usage before = hv_usage_now(t);
	for (int round = 0; round < 100; round++) {
		pid_t pid = fork();
		if (pid == 0)
			bound_by_a_child(t->dir, fp, &ref, ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		expect_event(f, (int)fp);
		assert_int_equal(xen_evtchn_notify(f, fp), 0);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (round % 10 == 9) { /* else the next child finds it as the kill left it */
			struct xen_usage after = hv_usage_now(t);
			assert_memory_equal(&after, &before, sizeof after);
			assert_int_equal(xen_evtchn_notify(f, fp), 0); /* dropped */
			expect_quiet(f);
		}
	}
	close(ready[0]);
	close(ready[1]);
	xen_evtchn_close(f);
	xen_gntshr_close(s);
}

/* ---- no wake-up is lost ---- */

enum { HAMMER = 200000 };

struct hammer {
	struct xen_evtchn *e;
	uint32_t port;
	_Atomic uint32_t sent; /* counted up before each event */
};

static void *hammer_send(void *arg)
{
	struct hammer *h = arg;

	for (int i = 0; i < HAMMER; i++) {
		h->sent++;
		if (xen_evtchn_notify(h->e, h->port))
			return "notify failed";
	}
	return NULL;
}

static void no_wakeup_is_lost(void **state)
{
	struct hv_test *t = *state;
	struct hammer h = {.e = hv_evtchn(t->front)};
	struct xen_evtchn *b = hv_evtchn(t->back);
	struct pollfd p = {.fd = xen_evtchn_fd(b), .events = POLLIN};
	pthread_t thread;
	uint32_t seen = 0;
	void *failed;

	h.port = (uint32_t)xen_evtchn_bind_unbound(h.e, BACK);
	uint32_t bp = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, h.port);
	assert_int_equal(pthread_create(&thread, NULL, hammer_send, &h), 0);
	/* Sleeps with no time limit to speak of: a lost wake-up would end the test. */
	while (seen < HAMMER) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		int port;
		while ((port = xen_evtchn_pending(b)) > 0) {
			assert_int_equal(port, bp);
			seen = h.sent; /* an event sent after this comes after the unmask, too */
			assert_int_equal(xen_evtchn_unmask(b, bp), 0);
		}
		assert_int_equal(port, -EAGAIN);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	xen_evtchn_close(h.e);
	xen_evtchn_close(b);
}

/* Request and answer, so that both sleep each time. */
static void *echo(void *arg)
{
	struct hammer *h = arg;
	struct pollfd p = {.fd = xen_evtchn_fd(h->e), .events = POLLIN};

	for (int i = 0; i < 20000;) {
		if (poll(&p, 1, 20000) != 1)
			return "no event in 20 s";
		if (xen_evtchn_pending(h->e) != (int)h->port)
			continue;
		i++;
		if (xen_evtchn_notify(h->e, h->port) || xen_evtchn_unmask(h->e, h->port))
			return "notify failed";
	}
	return NULL;
}

static void ping_pong(void **state)
{
	struct hv_test *t = *state;
	struct hammer h = {.e = hv_evtchn(t->front)}, mine = {.e = hv_evtchn(t->back)};
	pthread_t thread;
	void *failed;

	h.port = (uint32_t)xen_evtchn_bind_unbound(h.e, BACK);
	/* Pending from the start: that is the first serve. */
	mine.port = (uint32_t)xen_evtchn_bind_interdomain(mine.e, FRONT, h.port);
	assert_int_equal(pthread_create(&thread, NULL, echo, &h), 0);
	assert_null(echo(&mine));
	pthread_join(thread, &failed);
	assert_null(failed);
	xen_evtchn_close(h.e);
	xen_evtchn_close(mine.e);
}

/* Events ask the hypervisor nothing. */
static void no_hypercall_for_events(void **state)
{
	struct hv_test *t = *state;
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	int bp = xen_evtchn_bind_interdomain(b, FRONT, fp);

	kill(t->pid, SIGSTOP);
	alarm(20);
	expect_event(b, bp);
	assert_int_equal(xen_evtchn_notify(f, fp), 0);
	expect_event(b, bp);
	kill(t->pid, SIGCONT);
	alarm(0);
	xen_evtchn_close(f);
	xen_evtchn_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(bind_sets_pending),
	                                   HV_TEST(bind_is_refused),
	                                   HV_TEST(masked_until_unmask),
	                                   HV_TEST(many_ports_on_one_handle),
	                                   HV_TEST(channel_within_a_domain),
	                                   HV_TEST(events_without_listener_are_dropped),
	                                   HV_TEST(pending_survives_the_sender),
	                                   HV_TEST(sender_killed_before_the_wakeup),
	                                   HV_TEST(death_counts_before_the_news),
	                                   HV_TEST(waits_in_io_uring),
	                                   HV_TEST(rebind_after_kill_100_times),
	                                   HV_TEST(no_wakeup_is_lost),
	                                   HV_TEST(ping_pong),
	                                   HV_TEST(no_hypercall_for_events)};

	return cmocka_run_group_tests_name("hv_event", tests, NULL, NULL);
}
