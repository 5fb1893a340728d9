/* SPDX-License-Identifier: MIT */
/* Opening changes nothing in an image, whoever else writes to it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "storage/claim.h"
#include "storage/engines.h"

#define OPENS 40
#define STEP 4096
#define SIZE_MAX_MIB 256

/* Appends until it is killed. */
static _Noreturn void append(const char *path, int ready)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	char step[STEP];

	memset(step, 'x', sizeof step);
	for (unsigned i = 0; i < SIZE_MAX_MIB << 20 && write(fd, step, sizeof step) == STEP;
	     i += STEP)
		if (!i && write(ready, "", 1) != 1)
			break;
	for (;;)
		pause();
}

static void check_all_bytes(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char step[STEP];
	uint64_t at = 0;
	ssize_t n;

	for (; (n = read(fd, step, sizeof step)) > 0; at += (uint64_t)n)
		for (ssize_t i = 0; i < n; i++)
			if (step[i] != 'x')
				fail_msg("byte %llu is lost", (unsigned long long)at);
	assert_true(at > STEP);
	close(fd);
}

static void appended_to(void **state)
{
	const char *path = test_path("growing");
	struct storage *s;
	struct error err;
	int ready[2];
	char byte;

	close(open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid)
		append(path, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	for (unsigned i = 0; i < OPENS; i++) {
		assert_int_equal(image_open(path, 0, &s, &err), 0);
		image_close(s);
		usleep(2000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check_all_bytes(path);
	close(ready[0]);
	close(ready[1]);
}

/* Bytes after the last sector are no part of the disk, and stay. */
static void odd_tail(void **state)
{
	const char *path = test_path("odd");
	struct storage_spec spec = {.target = {.engine = STORAGE_FILE, .size = 8192}};
	char tail[300], got[300];
	struct stat before, after;
	struct storage *s;
	struct error err;

	image_create(path, 8192);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	memset(tail, 't', sizeof tail);
	assert_int_equal(pwrite(fd, tail, sizeof tail, 8192), sizeof tail);
	assert_int_equal(fstat(fd, &before), 0);
	snprintf(spec.target.path, sizeof spec.target.path, "%s", path);
	assert_int_equal(claim_take(&(struct claim_spec){.target = &spec.target}, &spec.fd, &err),
	                 0);
	assert_int_equal(storage_open(&spec, &s, &err), 0);
	assert_int_equal(storage_size(s), 8192);
	image_close(s);
	assert_int_equal(pread(fd, got, sizeof got, 8192), sizeof got);
	assert_memory_equal(got, tail, sizeof tail);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof after.st_mtim);
	assert_memory_equal(&after.st_ctim, &before.st_ctim, sizeof after.st_ctim);
	close(spec.fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(appended_to),
	                                   cmocka_unit_test(odd_tail)};

	return cmocka_run_group_tests_name("untouched", tests, NULL, NULL);
}
