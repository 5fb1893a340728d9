/* SPDX-License-Identifier: MIT */
/* Error texts: one printable line of valid UTF-8, whatever a guest's key had in it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"

static void printable(void **state)
{
	static const char *const rows[][2] = {
	    {"", ""},
	    {"plain ~", "plain ~"},
	    {"a\nb\033[31m\177\001", "a?b?[31m??"},
	    {"/srv/M\303\274ller.img", "/srv/M\303\274ller.img"},
	    {"\302\240\337\277", "\302\240\337\277"}, /* two bytes */
	    {"\340\240\200\355\237\277\357\277\277",
	     "\340\240\200\355\237\277\357\277\277"},                                 /* three */
	    {"\360\220\200\200\364\217\277\277", "\360\220\200\200\364\217\277\277"}, /* four */
	    {"\302\200\302\237", "????"}, /* control characters above ASCII */
	    {"\300\200\301\277", "????"}, /* over-long */
	    {"\340\237\277", "???"},
	    {"\360\217\277\277", "????"},
	    {"\355\240\200", "???"},           /* a surrogate */
	    {"\364\220\200\200\365", "?????"}, /* behind the last one */
	    {"\200x\377\376", "?x??"},
	    {"x\303", "x?"}, /* cut off */
	    {"x\342\202", "x??"},
	    {"x\360\237\230", "x???"},
	    {"\303(", "?("},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[64];
		snprintf(text, sizeof text, "%s", rows[i][0]);
		text_printable(text);
		assert_string_equal(text, rows[i][1]);
	}
}

static void set(void **state)
{
	struct error err = {"old"};
	char path[2 * ERROR_TEXT_MAX];

	assert_int_equal(error_set(&err, -5, "image %s: %d\n", "a\tb", 7), -5);
	assert_string_equal(err.text, "image a?b: 7?");
	/* A text may be extended by itself. */
	assert_int_equal(error_set(&err, -6, "disk: %s", err.text), -6);
	assert_string_equal(err.text, "disk: image a?b: 7?");
	assert_int_equal(error_set(NULL, -7, "nobody asks"), -7);
	/* Cut off in the middle of a character. */
	memset(path, 'x', sizeof path);
	strcpy(path + ERROR_TEXT_MAX - 2, "\303\274");
	error_set(&err, 0, "%s", path);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	assert_int_equal(err.text[ERROR_TEXT_MAX - 2], '?');
}

/* What comes back by itself has a remedy; what does not, has none, and is not tried again. */
static void transient(void **state)
{
	static const int passing[] = {EMFILE,  ENFILE, ENOMEM, EAGAIN,
	                              ENOBUFS, ENOSPC, EDQUOT, EINTR};
	static const int lasting[] = {0,      ENOENT, EACCES,    EPERM,  EIO,
	                              EINVAL, EBUSY,  ENODEV,    EROFS,  ELOOP,
	                              ENOSYS, EFBIG,  ETIMEDOUT, ESTALE, ESRCH};

	for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
		assert_true(error_is_transient(passing[i]));
		assert_true(error_is_transient(-passing[i]));
		assert_true(*error_remedy(-passing[i]));
	}
	for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++) {
		assert_false(error_is_transient(-lasting[i]));
		assert_string_equal(error_remedy(lasting[i]), "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(printable), cmocka_unit_test(set),
	                                   cmocka_unit_test(transient)};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
