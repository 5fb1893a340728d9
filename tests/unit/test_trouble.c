/* SPDX-License-Identifier: MIT */
/* What is noted of operations that fail, and when they are said to work again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "disk/trouble.h"

#define S 1000000000ull

static void last_and_count(void **state)
{
	struct wm_trouble op[WM_OPS];
	struct trouble t;

	trouble_init(&t);
	assert_false(trouble_note(&t, STORAGE_WRITE, 0, 1, S));
	assert_true(trouble_note(&t, STORAGE_WRITE, -EIO, 5, S));
	assert_true(trouble_note(&t, STORAGE_WRITE, -ENOSPC, 7, S));
	assert_true(trouble_note(&t, STORAGE_DISCARD, -EIO, 9, S));
	trouble_look(&t, op);
	assert_int_equal(op[STORAGE_WRITE].count, 2);
	assert_int_equal(op[STORAGE_WRITE].sector, 7);
	assert_int_equal(op[STORAGE_WRITE].rc, -ENOSPC);
	assert_int_equal(op[STORAGE_DISCARD].count, 1);
	assert_int_equal(op[STORAGE_READ].count, 0);
	assert_true(trouble_failing(&t, STORAGE_WRITE));
	assert_false(trouble_failing(&t, STORAGE_READ));
}

/* Only its own kind, and only once it was quiet. */
static void works_again(void **state)
{
	struct wm_trouble op[WM_OPS];
	struct trouble t;

	trouble_init(&t);
	trouble_note(&t, STORAGE_WRITE, -EIO, 5, 10 * S);
	assert_false(trouble_note(&t, STORAGE_READ, 0, 5, 20 * S));
	assert_false(trouble_note(&t, STORAGE_WRITE, 0, 6, 10 * S + TROUBLE_QUIET_NS - 1));
	assert_true(trouble_failing(&t, STORAGE_WRITE));
	trouble_note(&t, STORAGE_WRITE, -EIO, 5, 11 * S);
	assert_false(trouble_note(&t, STORAGE_WRITE, 0, 6, 10 * S + TROUBLE_QUIET_NS));
	assert_true(trouble_note(&t, STORAGE_WRITE, 0, 6, 11 * S + TROUBLE_QUIET_NS));
	assert_false(trouble_failing(&t, STORAGE_WRITE));
	trouble_look(&t, op);
	assert_int_equal(op[STORAGE_WRITE].count, 0);
	assert_false(trouble_note(&t, STORAGE_WRITE, 0, 6, 30 * S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(last_and_count),
	                                   cmocka_unit_test(works_again)};

	return cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
}
