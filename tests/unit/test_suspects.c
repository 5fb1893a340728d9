/* SPDX-License-Identifier: MIT */
/* Suspects of several queues take turns: one at a time, and its end wakes those that may wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "disk/shared.h"

#define QUEUES 3u

static struct disk_shared shared;

static int setup(void **state)
{
	shared_init(&shared);
	for (unsigned i = 0; i < QUEUES; i++)
		shared.wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < QUEUES; i++)
		close(shared.wake_fd[i]);
	return 0;
}

static bool woken(unsigned queue)
{
	eventfd_t n;

	return !eventfd_read(shared.wake_fd[queue], &n);
}

static void one_at_a_time(void **state)
{
	assert_true(shared_suspect_enter(&shared, 0));
	assert_false(shared_suspect_enter(&shared, 1));
	assert_false(shared_suspect_enter(&shared, 0));
	shared_suspect_leave(&shared, 0);
	assert_true(shared_suspect_enter(&shared, 1));
}

static void its_end_wakes_the_others(void **state)
{
	assert_true(shared_suspect_enter(&shared, 1));
	assert_false(woken(0) || woken(2));
	shared_suspect_leave(&shared, 1);
	assert_true(woken(0));
	assert_false(woken(1));
	assert_true(woken(2));
}

static void nobody_is_woken_by_a_try(void **state)
{
	assert_true(shared_suspect_enter(&shared, 0));
	assert_false(shared_suspect_enter(&shared, 1));
	for (unsigned i = 0; i < QUEUES; i++)
		assert_false(woken(i));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(one_at_a_time),
	    T(its_end_wakes_the_others),
	    T(nobody_is_woken_by_a_try),
	};

	return cmocka_run_group_tests_name("suspects", tests, NULL, NULL);
}
