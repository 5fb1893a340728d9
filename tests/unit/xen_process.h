/* SPDX-License-Identifier: MIT */
/* An embedded Xen in a process of its own, with one domain in it: for tests without a daemon. */
#ifndef TESTS_XEN_PROCESS_H
#define TESTS_XEN_PROCESS_H

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xen/platform.h"
#include "../lib/scratch.h"

#define GUEST 1

/* Owned by the test program. */
struct xen_process {
	char dir[64];
	pid_t pid;
};

static inline const char *xen_program(void)
{
	static char path[PATH_MAX];
	const char *given = getenv("XENBLKD_XEN");
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

	if (given)
		return given;
	path[n < 0 ? 0 : n] = 0;
	for (int i = 0; i < 3; i++) { /* BUILD/tests/unit/test_front */
		char *slash = strrchr(path, '/');
		if (slash)
			*slash = 0;
	}
	strcat(path, "/xenblkd-xen");
	return path;
}

/* 0, or -errno if there is none to start. */
static inline int xen_process_start(struct xen_process *x)
{
	const char *program = xen_program();
	struct xen_platform *p = NULL;
	struct error err = {""};
	int rc, ready[2];
	char byte;

	if (access(program, X_OK) || !mkdtemp(scratch_path(x->dir, sizeof x->dir, "xbf-XXXXXX")) ||
	    pipe(ready))
		return -errno;
	x->pid = fork();
	if (!x->pid) {
		char fd[16];
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		snprintf(fd, sizeof fd, "%d", ready[1]);
		execl(program, program, x->dir, "--ready-fd", fd, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	ssize_t up = read(ready[0], &byte, 1); /* ends with the process at the latest */
	close(ready[0]);
	rc = up == 1 ? xen_platform_open(x->dir, 0, &p, &err) : -EIO;
	if (rc) {
		fprintf(stderr, "%s %s does not come up: %s\n", program, x->dir, err.text);
		return rc;
	}
	rc = xen_domain_create(p, GUEST, &err);
	xen_platform_close(p);
	if (rc)
		fprintf(stderr, "no domain: %s\n", err.text);
	return rc;
}

static inline void xen_process_stop(struct xen_process *x)
{
	char command[128];

	kill(x->pid, SIGTERM);
	waitpid(x->pid, NULL, 0);
	snprintf(command, sizeof command, "rm -rf %s", x->dir);
	if (system(command))
		fprintf(stderr, "left behind: %s\n", x->dir);
}

#endif
