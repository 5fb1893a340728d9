/* SPDX-License-Identifier: MIT */
/* Watch events that wait: each once, bounded, and in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "xen/events.h"

static void add(struct events *e, const char *token, unsigned from, unsigned to)
{
	char path[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(path, sizeof path, "/%u", i);
		assert_int_equal(events_add(e, path, token), 0);
	}
}

static void expect(struct events *e, const char *path, const char *token)
{
	char p[32] = "", t[32] = "";

	assert_true(events_take(e, p, sizeof p, t, sizeof t));
	assert_string_equal(p, path);
	assert_string_equal(t, token);
}

static void expect_none(struct events *e)
{
	char p[32], t[32];

	assert_false(events_take(e, p, sizeof p, t, sizeof t));
}

static void once(void **state)
{
	struct events *e = events_new();

	for (int i = 0; i < 10000; i++)
		add(e, "a", 0, 2);
	add(e, "b", 0, 1);
	/* The quiet one does not wait for the noisy one. */
	expect(e, "/0", "a");
	expect(e, "/0", "b");
	expect(e, "/1", "a");
	expect_none(e);
	/* Taken, it may come again. */
	add(e, "a", 1, 2);
	expect(e, "/1", "a");
	expect_none(e);
	events_free(e);
}

static void bounded(void **state)
{
	struct events *e = events_new();
	char path[32];

	add(e, "a", 0, EVENTS_PER_WATCH);
	for (unsigned i = 0; i < EVENTS_PER_WATCH; i++) {
		snprintf(path, sizeof path, "/%u", i);
		expect(e, path, "a");
	}
	expect_none(e);
	add(e, "a", 0, 100000);
	add(e, "b", 7, 8);
	expect(e, "", "a");
	expect(e, "/7", "b");
	expect_none(e);
	add(e, "a", 3, 4);
	expect(e, "/3", "a");
	/* What still waits is not lost memory. */
	add(e, "a", 0, 10);
	events_free(e);
}

static void cut(void **state)
{
	struct events *e = events_new();
	char p[3], t[3];

	assert_int_equal(events_add(e, "/path", "token"), 0);
	assert_true(events_take(e, p, sizeof p, t, sizeof t));
	assert_string_equal(p, "/p");
	assert_string_equal(t, "to");
	events_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(once), cmocka_unit_test(bounded),
	                                   cmocka_unit_test(cut)};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
