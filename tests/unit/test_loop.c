/* SPDX-License-Identifier: MIT */
/* The event loop: what it calls, in which order, and what it calls no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"

struct source {
	struct loop_fd lfd;
	struct source *other; /* deleted in ready() */
	unsigned calls;
};

struct alarm {
	struct loop_timer timer;
	struct alarm *cancels, *arms;
	unsigned calls;
};

static struct loop loop;

static void ready(struct loop_fd *lfd, uint32_t events)
{
	struct source *s = container_of(lfd, struct source, lfd);

	assert_int_equal(events, EPOLLIN);
	s->calls++;
	if (s->other)
		loop_del(&loop, &s->other->lfd);
}

static void expired(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->calls++;
	if (a->cancels)
		loop_timer_cancel(&a->cancels->timer);
	if (a->arms)
		loop_timer_arm(&loop, &a->arms->timer, 0);
}

static void source_open(struct source *s)
{
	*s = (struct source){.lfd = {.fd = eventfd(1, EFD_CLOEXEC), .ready = ready}};
	assert_true(s->lfd.fd >= 0);
	assert_int_equal(loop_add(&loop, &s->lfd, EPOLLIN), 0);
}

/* Both are ready in one round; whichever comes first deletes the other, which is then not called.
 */
static void deleted_while_fetched(void **state)
{
	struct source a, b;

	source_open(&a);
	source_open(&b);
	a.other = &b;
	b.other = &a;
	assert_int_equal(loop_once(&loop, 0), 0);
	assert_int_equal(a.calls + b.calls, 1);
	loop_del(&loop, &a.lfd);
	loop_del(&loop, &b.lfd);
	close(a.lfd.fd);
	close(b.lfd.fd);
}

/* A descriptor stays ready until it is read; one that is watched for nothing is silent. */
static void level_triggered(void **state)
{
	struct source a;
	uint64_t value;

	source_open(&a);
	loop_once(&loop, 0);
	loop_once(&loop, 0);
	assert_int_equal(a.calls, 2);
	assert_int_equal(loop_mod(&loop, &a.lfd, 0), 0);
	loop_once(&loop, 0);
	assert_int_equal(a.calls, 2);
	assert_int_equal(loop_mod(&loop, &a.lfd, EPOLLIN), 0);
	assert_int_equal(read(a.lfd.fd, &value, sizeof value), sizeof value);
	loop_once(&loop, 0);
	assert_int_equal(a.calls, 2);
	loop_del(&loop, &a.lfd);
	close(a.lfd.fd);
}

/* Due together: the first cancels the second, and arms itself; that comes in the next round. */
static void timers_change_timers(void **state)
{
	struct alarm a = {.timer.expired = expired}, b = a;

	a.cancels = &b;
	a.arms = &a;
	loop_timer_arm(&loop, &a.timer, 0);
	loop_timer_arm(&loop, &b.timer, 0);
	loop_once(&loop, -1);
	assert_int_equal(a.calls, 1);
	a.arms = NULL;
	loop_once(&loop, -1);
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 0);
	loop_timer_cancel(&a.timer);
	assert_int_equal(loop.timers.next == &loop.timers, 1);
}

/* A round waits for the next timer, and not less. */
static void waits_for_the_timer(void **state)
{
	struct alarm a = {.timer.expired = expired}, late = a;
	uint64_t start = clock_ns();

	loop_timer_arm(&loop, &late.timer, 3600 * NS_PER_S);
	loop_timer_arm(&loop, &a.timer, 20 * NS_PER_MS);
	while (!a.calls)
		assert_int_equal(loop_once(&loop, -1), 0);
	assert_true(clock_ns() - start >= 20 * NS_PER_MS);
	assert_int_equal(late.calls, 0);
	loop_timer_cancel(&late.timer);
}

static int start(void **state)
{
	return loop_init(&loop);
}

static int stop(void **state)
{
	loop_fini(&loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(deleted_while_fetched, start, stop),
	    cmocka_unit_test_setup_teardown(level_triggered, start, stop),
	    cmocka_unit_test_setup_teardown(timers_change_timers, start, stop),
	    cmocka_unit_test_setup_teardown(waits_for_the_timer, start, stop),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
