/* SPDX-License-Identifier: MIT */
/* What a worker has of files: all mapped at its start, and one owner of them at a time. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/files.h"
#include "../lib/scratch.h"

#define NAME(name) #name,
static const char *const texts[] = {STATS_TEXTS(NAME)};

static char dir[48];

static void make(const char *name, size_t bytes)
{
	char path[96];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

/* As the supervisor makes them. */
static int setup(void **state)
{
	char name[64];

	assert_non_null(mkdtemp(scratch_path(dir, sizeof dir, "files-XXXXXX")));
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++) {
		snprintf(name, sizeof name, FILES_JOURNAL, i);
		make(name, JOURNAL_FILE_BYTES);
	}
	make(FILES_STATS, sizeof(struct stats_page));
	make(FILES_LOST, LOST_BYTES);
	snprintf(name, sizeof name, "%s/" STATS_TEXTS_DIR, dir);
	assert_int_equal(mkdir(name, 0700), 0);
	for (unsigned i = 0; i < STATS_NR_TEXTS; i++) {
		snprintf(name, sizeof name, FILES_TEXT, texts[i]);
		make(name, STATS_TEXT_BYTES);
	}
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* No descriptor is left by which anything could be extended. */
static void no_descriptor_left(void **state)
{
	unsigned before = descriptors();
	struct error err = {""};
	struct files f;
	struct stat st;
	char path[64];

	assert_int_equal(files_map(&f, dir, &err), 0);
	assert_int_equal(files_own(&f, &err), 0);
	assert_int_equal(descriptors(), before);
	assert_int_equal(files_own(&f, &err), 0);
	((uint64_t *)f.journal[15])[0] = JOURNAL_MAGIC;
	snprintf(path, sizeof path, "%s/journal-15", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, JOURNAL_FILE_BYTES);
	assert_true(st.st_blocks > 0);
	munmap(f.journal[0], JOURNAL_FILE_BYTES);
}

/* A child that owns the files, and tells so. */
static pid_t owner(int *told)
{
	struct error err;
	struct files f;
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		if (files_map(&f, dir, &err) || files_own(&f, &err) || write(pipes[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	*told = pipes[0];
	return pid;
}

/* The owner has closed its descriptors: its memory holds the lock, and until that is gone the next
 * one waits. */
static void one_owner(void **state)
{
	int first_told, second_told, status;
	pid_t first = owner(&first_told), second;
	char byte;

	assert_int_equal(read(first_told, &byte, 1), 1);
	second = owner(&second_told);
	fcntl(second_told, F_SETFL, O_NONBLOCK);
	usleep(200 * 1000);
	assert_int_equal(read(second_told, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	kill(first, SIGKILL);
	assert_int_equal(waitpid(first, &status, 0), first);
	fcntl(second_told, F_SETFL, 0);
	assert_int_equal(read(second_told, &byte, 1), 1);
	kill(second, SIGKILL);
	assert_int_equal(waitpid(second, &status, 0), second);
	close(first_told);
	close(second_told);
}

static void refused(const char *text)
{
	struct error err = {""};
	struct files f;

	assert_true(files_map(&f, dir, &err) < 0);
	assert_string_equal(err.text, text);
}

/* A store beyond a file's end would be a SIGBUS in the middle of a disk's life. */
static void not_as_made(void **state)
{
	char path[64], moved[64];

	make(FILES_STATS, 100);
	refused("cannot map stats of the disk's folder: Invalid argument");
	make(FILES_STATS, sizeof(struct stats_page));
	snprintf(path, sizeof path, "%s/journal-3", dir);
	snprintf(moved, sizeof moved, "%s/moved", dir);
	assert_int_equal(rename(path, moved), 0);
	refused("cannot map journal-3 of the disk's folder: No such file or directory");
	assert_int_equal(symlink(moved, path), 0);
	refused("cannot map journal-3 of the disk's folder: Too many levels of symbolic links");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(no_descriptor_left), T(one_owner), T(not_as_made)};

	return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
