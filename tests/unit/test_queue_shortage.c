/* SPDX-License-Identifier: MIT */
/* A kernel that takes no submissions for a while, for want of memory: the queue's thread waits more
 * and more patiently, and nothing is lost. */
#include <dlfcn.h>

#include "queue_fixture.h"

#define PAUSES 6

/* In the place of liburing's. */
static bool refuse; /* atomic: submissions, until the queue has paused so often */
static unsigned refusals;
static unsigned pauses;
static long long longest, previous;
static bool shrank;

static bool refused(void)
{
	if (!__atomic_load_n(&refuse, __ATOMIC_ACQUIRE))
		return false;
	refusals++;
	return true;
}

int io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *) = dlsym(RTLD_NEXT, "io_uring_submit");

	return refused() ? -EAGAIN : real(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned n)
{
	int (*real)(struct io_uring *, unsigned) = dlsym(RTLD_NEXT, "io_uring_submit_and_wait");

	return refused() ? -EAGAIN : real(ring, n);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned n,
                                     struct __kernel_timespec *ts, sigset_t *set)
{
	int (*real)(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *,
	            sigset_t *) = dlsym(RTLD_NEXT, "io_uring_submit_and_wait_timeout");

	return refused() ? -EAGAIN : real(ring, cqe, n, ts, set);
}

int io_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                              struct __kernel_timespec *ts)
{
	int (*real)(struct io_uring *, struct io_uring_cqe **, struct __kernel_timespec *) =
	    dlsym(RTLD_NEXT, "io_uring_wait_cqe_timeout");

	if (++pauses == PAUSES)
		__atomic_store_n(&refuse, false, __ATOMIC_RELEASE);
	shrank |= ts->tv_nsec < previous;
	previous = ts->tv_nsec;
	longest = ts->tv_nsec > longest ? ts->tv_nsec : longest;
	return real(ring, cqe, ts);
}

static void refused_for_a_while(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	assert_int_equal(pauses, 0);
	__atomic_store_n(&refuse, true, __ATOMIC_RELEASE);
	/* The first one wakes it; it cannot be woken for the others, as nothing can be submitted
	 * that would wait for them. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	while (__atomic_load_n(&refuse, __ATOMIC_ACQUIRE))
		usleep(1000);
	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	assert_int_equal(device.flushes, 5);
	queue_stop(x->queue);
	assert_int_equal(pauses, PAUSES);
	/* It tries in work(), and to sleep; more often when something completes. Spinning is
	 * thousands. */
	assert_in_range(refusals, PAUSES, 4 * PAUSES);
	assert_false(shrank);
	assert_in_range(longest, 16000000, 64000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(refused_for_a_while, setup, teardown),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("queue_shortage", tests, start_xen, stop_xen);
}
