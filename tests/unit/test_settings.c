/* SPDX-License-Identifier: MIT */
/* What holds if nobody sets anything: the numbers that --help and the documentation name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/settings.h"

static void defaults(void **state)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct settings s;

	memset(&s, 0xa5, sizeof s);
	settings_default(&s);
	assert_int_equal(s.max_queues, cpus > 16 ? 16 : cpus);
	assert_int_equal(s.max_indirect_segments, 256);
	assert_int_equal(s.persistent, 1);
	assert_int_equal(s.max_persistent_grants, 1056);
	assert_int_equal(s.persistent_idle_seconds, 60);
	assert_int_equal(s.sector_size, SECTOR_DEVICE);
	assert_int_equal(s.sector_units, UNITS_SPEC);
}

/* And --help says the same of each. */
static void help_names_them(void **state)
{
	static const char *const rows[][2] = {
	    {"max-queues", "1 to 16 (default: as many as processors)"},
	    {"max-indirect-segments", "up to 256 (default)"},
	    {"persistent", "(default 1)"},
	    {"max-persistent-grants", "(default 1056)"},
	    {"persistent-idle-seconds", "(default 60)"},
	    {"sector-size", "device (default)"},
	    {"sector-units", "spec (default:"},
	};

	assert_int_equal(settings_count, sizeof rows / sizeof *rows);
	for (unsigned i = 0; i < settings_count; i++) {
		int at = settings_find(rows[i][0]);
		assert_true(at >= 0);
		if (!strstr(settings_table[at].help, rows[i][1]))
			fail_msg("help of %s: %s", rows[i][0], settings_table[at].help);
	}
}

/* A value that is refused leaves the setting as it was. */
static void out_of_range(void **state)
{
	static const char *const rows[][2] = {
	    {"max-queues", "0"},
	    {"max-queues", "17"},
	    {"max-indirect-segments", "257"},
	    {"persistent", "2"},
	    {"max-persistent-grants", "65537"},
	    {"persistent-idle-seconds", "0"},
	    {"persistent-idle-seconds", "86401"},
	    {"sector-size", "1024"},
	    {"sector-units", "bytes"},
	};
	struct settings s, before;
	struct error err;

	settings_default(&s);
	before = s;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!settings_set(&s, (unsigned)settings_find(rows[i][0]), rows[i][1], &err))
			fail_msg("%s takes %s", rows[i][0], rows[i][1]);
		assert_memory_equal(&s, &before, sizeof s);
	}
	assert_int_equal(settings_set(&s, (unsigned)settings_find("max-queues"), "16", &err), 0);
	assert_int_equal(s.max_queues, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(help_names_them),
	    cmocka_unit_test(out_of_range),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
