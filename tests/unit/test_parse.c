/* SPDX-License-Identifier: MIT */
/* Strict number parsing: exact ranges, no leniency. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/parse.h"

static void decimal(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		int rc;
		uint64_t v;
	} cases[] = {
	    {"0", 0, 9, 0, 0},
	    {"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
	    {"18446744073709551616", 0, UINT64_MAX, -ERANGE, 7},
	    {"10", 0, 9, -ERANGE, 7},
	    {"3", 4, 9, -ERANGE, 7},
	    {"", 0, 9, -EINVAL, 7},
	    {" 1", 0, 9, -EINVAL, 7},
	    {"1 ", 0, 9, -EINVAL, 7},
	    {"-1", 0, 9, -EINVAL, 7},
	    {"+1", 0, 9, -EINVAL, 7},
	    {"0x1", 0, 9, -EINVAL, 7},
	    {"1\n", 0, 9, -EINVAL, 7},
	    {"007", 0, 9, 0, 7},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t v = 7;
		assert_int_equal(parse_u64(cases[i].s, cases[i].min, cases[i].max, &v),
		                 cases[i].rc);
		assert_int_equal(v, cases[i].v);
	}
}

static void devnum(void **state)
{
	uint32_t major = 1, minor = 1;

	assert_int_equal(parse_devnum("fd:1f", &major, &minor), 0);
	assert_int_equal(major, 0xfd);
	assert_int_equal(minor, 0x1f);
	static const char *const bad[] = {"",     ":",     "8",     "8:",  ":1",
	                                  "8:1 ", "8:1:2", "0x8:1", "g:1", "-8:1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse_devnum(bad[i], &major, &minor), -EINVAL);
	assert_int_equal(parse_devnum("1000:0", &major, &minor), -ERANGE);
	assert_int_equal(parse_devnum("0:100000", &major, &minor), -ERANGE);
	assert_int_equal(parse_devnum("11111111111111111:0", &major, &minor), -ERANGE);
	assert_int_equal(major, 0xfd);
}

static void size(void **state)
{
	uint64_t v = 5;

	assert_int_equal(parse_size("512", &v), 0);
	assert_int_equal(v, 512);
	assert_int_equal(parse_size("3K", &v), 0);
	assert_int_equal(v, 3072);
	assert_int_equal(parse_size("2T", &v), 0);
	assert_int_equal(v, 2ull << 40);
	static const char *const bad[] = {"", "K", "1KB", "1k", "1.5G", "-1", "1 K"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(parse_size("16777216T", &v), -ERANGE);
	assert_int_equal(v, 2ull << 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(decimal), cmocka_unit_test(devnum),
	                                   cmocka_unit_test(size)};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
