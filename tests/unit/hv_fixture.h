/* SPDX-License-Identifier: MIT */
/* For tests on the embedded Xen: starts the xenblkd-xen that was built, in a directory of its own.
 */
#ifndef HV_FIXTURE_H
#define HV_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "xen/platform.h"
#include "../lib/scratch.h"

#define BACK 0u  /* the back end's domain */
#define FRONT 7u /* the front end's */

struct hv_test {
	char dir[64];
	pid_t pid;
	struct xen_platform *back, *front;
};

/* Path of the program: XENBLKD_BUILD, else two folders above this test. */
static inline void hv_program(char *path, size_t cap)
{
	const char *build = getenv("XENBLKD_BUILD");
	char self[PATH_MAX / 2];

	if (build) {
		snprintf(path, cap, "%s/xenblkd-xen", build);
		return;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	assert_true(n > 0);
	self[n] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(self, '/') = '\0';
	snprintf(path, cap, "%s/xenblkd-xen", self);
}

/* Starts it and waits until it is ready. Its process. */
static inline pid_t hv_start(const char *dir)
{
	char program[PATH_MAX], fd[16], byte;
	int pipefd[2];

	hv_program(program, sizeof program);
	assert_int_equal(pipe(pipefd), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipefd[0]);
		snprintf(fd, sizeof fd, "%d", pipefd[1]);
		execl(program, program, dir, "--ready-fd", fd, (char *)NULL);
		_exit(127);
	}
	close(pipefd[1]);
	assert_int_equal(read(pipefd[0], &byte, 1), 1);
	close(pipefd[0]);
	return pid;
}

/* Ends it politely; it must leave with status 0 (also what the leak checker finds). */
static inline void hv_stop(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline struct xen_platform *hv_open(const char *dir, uint16_t domid)
{
	struct xen_platform *p;
	struct error err = {0};
	int rc = xen_platform_open(dir, domid, &p, &err);

	if (rc)
		fail_msg("xen_platform_open: %s", err.text);
	return p;
}

static inline int hv_setup(void **state)
{
	struct hv_test *t = calloc(1, sizeof *t);

	assert_non_null(mkdtemp(scratch_path(t->dir, sizeof t->dir, "hv-test.XXXXXX")));
	t->pid = hv_start(t->dir);
	t->back = hv_open(t->dir, BACK);
	assert_int_equal(xen_domain_create(t->back, FRONT, NULL), 0);
	t->front = hv_open(t->dir, FRONT);
	*state = t;
	return 0;
}

static inline void hv_rmdir(const char *dir)
{
	char path[128];

	snprintf(path, sizeof path, "%s/xen.lock", dir);
	unlink(path);
	/* Only the lock file may be left. */
	assert_int_equal(rmdir(dir), 0);
}

static inline int hv_teardown(void **state)
{
	struct hv_test *t = *state;

	xen_platform_close(t->front);
	xen_platform_close(t->back);
	if (t->pid > 0) {
		hv_stop(t->pid);
		hv_rmdir(t->dir);
	}
	free(t);
	return 0;
}

static inline struct xen_usage hv_usage_now(struct hv_test *t)
{
	struct xen_usage u;

	assert_int_equal(xen_usage(t->back, &u), 0);
	return u;
}

static inline void hv_fault_set(struct hv_test *t, const char *fmt, ...)
{
	char line[128];
	struct error err = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (xen_fault(t->back, line, &err))
		fail_msg("%s", err.text);
}

static inline struct xen_gnttab *hv_gnttab(struct xen_platform *p)
{
	struct xen_gnttab *g;

	assert_int_equal(xen_gnttab_open(p, &g, NULL), 0);
	return g;
}

static inline struct xen_gntshr *hv_gntshr(struct xen_platform *p)
{
	struct xen_gntshr *s;

	assert_int_equal(xen_gntshr_open(p, &s, NULL), 0);
	return s;
}

static inline struct xen_evtchn *hv_evtchn(struct xen_platform *p)
{
	struct xen_evtchn *e;

	assert_int_equal(xen_evtchn_open(p, &e, NULL), 0);
	return e;
}

/* `count` pages of domain FRONT for domain BACK. */
static inline char *hv_pages(struct xen_gntshr *s, uint32_t count, bool writable, uint32_t *refs)
{
	void *addr = NULL;

	assert_int_equal(xen_gntshr_share(s, BACK, count, writable, refs, &addr), 0);
	return addr;
}

/* In a child after fork: failures of cmocka would run the parent's clean-up. */
#define CHILD_CHECK(cond)                          \
	do {                                       \
		if (!(cond))                       \
			_exit(__LINE__ % 200 + 1); \
	} while (0)

#define HV_TEST(fn) cmocka_unit_test_setup_teardown(fn, hv_setup, hv_teardown)

#endif
