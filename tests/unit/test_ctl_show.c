/* SPDX-License-Identifier: MIT */
/* What people read: sizes and aligned tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/show.h"
#include "ctl/table.h"

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
	    {0, "0 bytes"},        {512, "512 bytes"},     {1024, "1 KiB"},
	    {1536, "1.5 KiB"},     {64u << 20, "64 MiB"},  {(64u << 20) + 512, "64.0 MiB"},
	    {3ull << 40, "3 TiB"}, {UINT64_MAX, "16 EiB"},
	};
	char text[SIZE_TEXT_MAX];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_text(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void tables(void **state)
{
	static const char *const headings[] = {"ID", ">READS", "TARGET", NULL};
	struct table *t = table_new(headings);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(t);
	assert_non_null(f);
	table_add(t, "%d:%s", 1, "xvda");
	table_add(t, "%d", 123456);
	table_add(t, "/é");
	table_add(t, "12:b");
	table_add(t, "7");
	table_add(t, "-");
	/* Padding counts characters, not bytes, in every column. */
	table_add(t, "3:äöü");
	table_add(t, "½");
	table_add(t, "null:1G");
	assert_true(table_print(t, f));
	fclose(f);
	assert_string_equal(text, "ID       READS  TARGET\n"
	                          "1:xvda  123456  /é\n"
	                          "12:b         7  -\n"
	                          "3:äöü        ½  null:1G\n");
	free(text);
}

static void disks_in_order(void **state)
{
	static const char *const ids[] = {"10:xvda", "2:xvdaa", "1:hda", "2:xvda", "2:xvdb"};
	static const char *const sorted[] = {"1:hda", "2:xvda", "2:xvdb", "2:xvdaa", "10:xvda"};
	json_t *all = json_array();

	for (size_t i = 0; i < 5; i++)
		json_array_append_new(all, json_pack("{s:s}", "id", ids[i]));
	sort_disks(all);
	assert_int_equal(json_array_size(all), 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(
		    json_string_value(json_object_get(json_array_get(all, i), "id")), sorted[i]);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(tables),
	                                   cmocka_unit_test(disks_in_order)};

	return cmocka_run_group_tests_name("ctl_show", tests, NULL, NULL);
}
