/* SPDX-License-Identifier: MIT */
/* The run directory and all that is in it are its owner's, whatever umask was inherited and whoever
 * made the directory. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define SIZE (4ull << 20)

static char open_file[256]; /* what others may read or write; "" if nothing */

static int look(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (!S_ISLNK(st->st_mode) && st->st_mode & 077)
		snprintf(open_file, sizeof open_file, "%.200s: %o", path, st->st_mode & 07777);
	return 0;
}

static void serve(struct host *h)
{
	const char *image = host_image(h, "a.img", SIZE);
	char got[65536], want[65536];

	host_fill(image, SIZE, 7);
	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_read(f, 1 << 20, got, sizeof got));
	host_pattern(want, 1 << 20, sizeof want, 7);
	assert_memory_equal(got, want, sizeof got);
	open_file[0] = '\0';
	/* Of domains: the test's own, too. */
	assert_int_equal(nftw(h->dir, look, 16, FTW_PHYS), 0);
	assert_string_equal(open_file, "");
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

static void umasks(void **state)
{
	static const mode_t masks[] = {0, 0022, 0077, 0177, 0777};

	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
		struct host h;
		host_umask = (int)masks[i];
		host_start(&h, NULL);
		host_umask = -1;
		serve(&h);
		host_stop(&h);
	}
}

/* xenblkd in that directory; what it says on its way out. */
static void refused(const struct host *h, const char *dir, const char *program,
                    const char *expected)
{
	char path[512], text[2048] = "";
	int out[2], status;
	ssize_t n;

	assert_int_equal(pipe(out), 0);
	snprintf(path, sizeof path, "%s/%s", h->programs, program);
	pid_t pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		if (!strcmp(program, "xenblkd"))
			execl(path, program, "--embedded", dir, NULL);
		else
			execl(path, program, dir, NULL);
		_exit(127);
	}
	close(out[1]);
	for (size_t have = 0; (n = read(out[0], text + have, sizeof text - 1 - have)) > 0;)
		have += (size_t)n;
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	if (!strstr(text, expected))
		fail_msg("%s said \"%s\", not \"%s\"", program, text, expected);
}

/* A directory that somebody else may have prepared is refused, and nothing is written there or
 * where his links lead. */
static void prepared(void **state)
{
	static const char *const programs[] = {"xenblkd", "xenblkd-xen"};
	struct host *h = *state;
	char dir[96], link[96], victim[128];
	struct stat st;

	snprintf(dir, sizeof dir, "%s/theirs", h->dir);
	snprintf(link, sizeof link, "%s/link", h->dir);
	snprintf(victim, sizeof victim, "%s/victim", h->dir);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(symlink(dir, link), 0);
		refused(h, link, programs[i], "is a symbolic link of");
		assert_int_equal(chmod(dir, 0777), 0);
		refused(h, dir, programs[i], "can be written by everybody");
		assert_int_equal(chmod(dir, 0700), 0);
		if (!geteuid()) {
			char lock[128];
			snprintf(lock, sizeof lock, "%s/lock", dir);
			assert_int_equal(symlink(victim, lock), 0);
			assert_int_equal(chown(dir, 12345, 12345), 0);
			refused(h, dir, programs[i], "belongs to an unknown user (uid 12345)");
			assert_int_equal(lstat(victim, &st), -1);
			unlink(lock);
		}
		unlink(link);
		assert_int_equal(rmdir(dir), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(umasks),
	    cmocka_unit_test_setup_teardown(prepared, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("run_dir", tests, NULL, NULL);
}
