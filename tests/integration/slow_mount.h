/* SPDX-License-Identifier: MIT */
/* slowfs (tests/lib/slowfs.h) mounted in a test's directory. */
#ifndef TESTS_INTEGRATION_SLOW_MOUNT_H
#define TESTS_INTEGRATION_SLOW_MOUNT_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "slowfs.h"

struct slow_mount {
	struct slowfs *fs;
	char mount[80], image[100];
	pid_t server;
};

/* NULL, or why it cannot be. */
static inline const char *slow_try(struct slow_mount *s, const struct host *h)
{
	static char why[400];
	char program[300], control[96];
	struct stat st;

	snprintf(program, sizeof program, "%s/tests/lib/slowfs", h->build);
	if (access(program, X_OK))
		return "slowfs was not built: libfuse3 is missing";
	if (access("/dev/fuse", R_OK | W_OK)) {
		snprintf(why, sizeof why, "/dev/fuse: %s", strerror(errno));
		return why;
	}
	snprintf(control, sizeof control, "%s/slowfs", h->dir);
	snprintf(s->mount, sizeof s->mount, "%s/slow", h->dir);
	snprintf(s->image, sizeof s->image, "%s/" SLOWFS_FILE, s->mount);
	assert_int_equal(mkdir(s->mount, 0700), 0);
	int fd = open(control, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof *s->fs), 0);
	s->fs = mmap(NULL, sizeof *s->fs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(s->fs, MAP_FAILED);
	close(fd);
	s->server = fork();
	if (!s->server) {
		execl(program, program, s->mount, control, NULL);
		_exit(127);
	}
	for (int i = 0; i < WAIT_MS; i++) {
		int status;
		if (!stat(s->image, &st))
			return NULL;
		if (waitpid(s->server, &status, WNOHANG) == s->server) {
			s->server = 0;
			return "slowfs cannot mount: is this a sandbox without mounts?";
		}
		usleep(1000);
	}
	return "slowfs does not come up";
}

/* What waits goes on. A server that is told to end unmounts, which root alone may do otherwise.
 * Idempotent. */
static inline void slow_stop(struct slow_mount *s)
{
	if (s->fs) {
		__atomic_store_n(&s->fs->silent, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&s->fs->release, 1, __ATOMIC_RELEASE);
		__atomic_store_n(&s->fs->sync, 0, __ATOMIC_RELEASE);
	}
	if (s->server) {
		kill(s->server, umount2(s->mount, MNT_DETACH) ? SIGTERM : SIGKILL);
		waitpid(s->server, NULL, 0);
	}
	if (s->fs)
		munmap(s->fs, sizeof *s->fs);
	s->server = 0;
	s->fs = NULL;
}

/* Skips the test where it cannot be mounted. */
static inline void slow_start(struct slow_mount *s, const struct host *h)
{
	const char *why = slow_try(s, h);

	if (!why)
		return;
	print_message("# %s\n", why);
	slow_stop(s);
	skip();
}

static inline void slow_silent(struct slow_mount *s, bool silent)
{
	__atomic_store_n(&s->fs->silent, silent, __ATOMIC_RELEASE);
}

#endif
