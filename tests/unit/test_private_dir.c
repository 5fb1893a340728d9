/* SPDX-License-Identifier: MIT */
/* Whose a directory must be, and its parents, so that nobody else puts a link there for us to
 * follow. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/private_dir.h"

/* In the place of libc's: between opening a directory and asking for its name. */
static const char *replace, *by;

char *realpath(const char *restrict path, char *restrict real)
{
	char aside[80];

	if (replace) {
		snprintf(aside, sizeof aside, "%s.aside", replace);
		assert_int_equal(rename(replace, aside), 0);
		assert_int_equal(rename(by, replace), 0);
		replace = NULL;
	}
	return strcpy(real, path);
}

static void flaws(void **state)
{
	static const struct {
		unsigned uid, gid, mode;
		bool last, good;
	} rows[] = {
	    {1000, 1000, 0700, true, true},   {1000, 1000, 0755, true, true},
	    {1000, 1000, 0775, true, false},  {1000, 1000, 0702, true, false},
	    {1000, 1000, 01777, true, false}, {1000, 0, 0770, true, false},
	    {0, 0, 0700, true, false},        {1001, 1000, 0700, true, false},
	    {0, 0, 0755, false, true},        {0, 0, 0775, false, true},
	    {0, 0, 01777, false, true},       {0, 0, 0777, false, false},
	    {0, 50, 0775, false, false},      {0, 50, 01775, false, true},
	    {1000, 1000, 0755, false, true},  {1000, 1000, 0775, false, false},
	    {1001, 1001, 0755, false, false}, {1001, 1001, 01777, false, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct stat st = {.st_uid = rows[i].uid,
		                  .st_gid = rows[i].gid,
		                  .st_mode = S_IFDIR | rows[i].mode};
		const char *flaw = private_flaw(&st, 1000, rows[i].last);
		if (!flaw != rows[i].good)
			fail_msg("row %zu: %s", i, flaw ?: "good");
	}
}

/* What is made is ours alone, whatever the umask; what was there is made so. */
static void made(void **state)
{
	char top[] = "/tmp/xb-test-dir-XXXXXX", path[64], real[64];
	struct error err = {""};
	struct stat st;

	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof path, "%s/a/b/", top);
	for (int i = 0; i < 3; i++) {
		int fd = private_dir(path, real, sizeof real, &err);
		if (fd < 0)
			fail_msg("%s", err.text);
		assert_int_equal(fstat(fd, &st), 0);
		close(fd);
		assert_int_equal(st.st_mode & 07777, 0700);
		assert_int_equal(strlen(real), strlen(path) - 1);
		assert_int_equal(chmod(path, 0755), 0);
	}
	assert_int_equal(private_dir(path, real, 10, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "shorter than 10 bytes"));
	rmdir(path);
	path[strlen(path) - 3] = '\0';
	rmdir(path);
	assert_int_equal(rmdir(top), 0);
}

/* Each is refused with a text that names what is wrong, and nothing in it is touched. */
static void refused(void **state)
{
	char top[] = "/tmp/xb-test-dir-XXXXXX", path[64], real[64], link[64];
	struct error err = {""};
	struct stat st;

	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof path, "%s/a", top);
	snprintf(link, sizeof link, "%s/link", top);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(private_dir(link, real, sizeof real, &err), -EPERM);
	assert_non_null(strstr(err.text, "is a symbolic link of"));
	strcat(link, "/");
	assert_int_equal(private_dir(link, real, sizeof real, &err), -EPERM);
	link[strlen(link) - 1] = '\0';
	unlink(link);
	chmod(path, 0770);
	assert_int_equal(private_dir(path, real, sizeof real, &err), -EPERM);
	assert_non_null(strstr(err.text, "can be written by its group"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0770);
	chmod(path, 0700);
	chmod(top, 0777);
	assert_int_equal(private_dir(path, real, sizeof real, &err), -EPERM);
	assert_non_null(strstr(err.text, "can be written by everybody"));
	chmod(top, 0700);
	if (geteuid()) {
		print_message("# only root can give a directory to another user\n");
	} else {
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_int_equal(private_dir(path, real, sizeof real, &err), -EPERM);
		assert_non_null(strstr(err.text, "belongs to an unknown user (uid 12345)"));
		assert_non_null(strstr(err.text, "/run/xb"));
		assert_int_equal(chown(path, 0, 0), 0);
		assert_int_equal(chown(top, 12345, 0), 0);
		assert_int_equal(private_dir(path, real, sizeof real, &err), -EPERM);
		assert_non_null(strstr(err.text, "belongs to an unknown user (uid 12345)"));
	}
	rmdir(path);
	assert_int_equal(rmdir(top), 0);
}

/* One that has something else in it is not shut for those who use that. */
static void used_otherwise(void **state)
{
	char top[] = "/tmp/xb-test-dir-XXXXXX", path[64], real[64];
	struct error err = {""};
	struct stat st;

	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof path, "%s/x", top);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(chmod(top, 0755), 0);
	assert_int_equal(private_dir(top, real, sizeof real, &err), -ENOTEMPTY);
	assert_non_null(strstr(err.text, " has mode 755 and other things in it"));
	assert_int_equal(stat(top, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	/* A run directory of before, and one that nobody else can enter anyhow. */
	snprintf(real, sizeof real, "%s/lock", top);
	assert_int_equal(rename(path, real), 0);
	int fd = private_dir(top, path, sizeof path, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(stat(top, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(unlink(real), 0);
	assert_int_equal(rmdir(top), 0);
}

/* Its descriptor would be of one directory, its name of another. */
static void replaced_meanwhile(void **state)
{
	char top[] = "/tmp/xb-test-dir-XXXXXX", path[64], other[64], aside[72], real[64];
	struct error err = {""};

	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof path, "%s/a", top);
	snprintf(other, sizeof other, "%s/b", top);
	snprintf(aside, sizeof aside, "%s.aside", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mkdir(other, 0700), 0);
	replace = path;
	by = other;
	assert_int_equal(private_dir(path, real, sizeof real, &err), -ESTALE);
	assert_non_null(strstr(err.text, "/a is being replaced; "));
	assert_null(replace);
	/* The one that is there now is as good as any. */
	int fd = private_dir(path, real, sizeof real, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(aside), 0);
	assert_int_equal(rmdir(top), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(flaws), cmocka_unit_test(made), cmocka_unit_test(used_otherwise),
	    cmocka_unit_test(replaced_meanwhile), cmocka_unit_test(refused)};

	return cmocka_run_group_tests_name("private_dir", tests, NULL, NULL);
}
