/* SPDX-License-Identifier: MIT */
/* A child that enters a worker's sandbox, on a host, and then tries one thing. For one test program
 * each. */
#ifndef TESTS_INTEGRATION_SANDBOX_CHILD_H
#define TESTS_INTEGRATION_SANDBOX_CHILD_H

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/landlock.h"
#include "blkif/abi.h"
#include "disk/message.h"
#include "disk/uring.h"
#include "host.h"
#include "sandbox_attempts.h"
#include "worker/root.h"
#include "worker/sandbox.h"
#include "needs.h"

#define FORBIDDEN 254      /* not an errno: the attempt ended the process */
#define MEMORY (32u << 20) /* bytes that it may take once it is connected */
#define FILE_BYTES (1u << 20)
#define NOT_SANDBOXED 255 /* exit status of a child that did not get there */

static struct host host;

static bool without_admin; /* enter it as one who may not make namespaces */
static bool connected;     /* and then a front end connects */
static bool real_xen;      /* as on a real Xen, which is not reached through a socket */

/* What the attempt returned in the sandbox. */
static inline int inside(int (*attempt)(const void *arg), const void *arg)
{
	static const char *const none[] = {NULL};
	struct sandbox s = {
	    .xen = real_xen ? none : xen_platform_paths(host.xen),
	    .net_fd = -1,
	};
	pid_t pid = fork();
	struct io_uring ring;
	struct error err;
	int status;

	if (!pid) {
		prctl(PR_SET_DUMPABLE, 0); /* no core files */
		signal(SIGSYS, SIG_DFL);   /* cmocka has a handler */
		close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
		if (without_admin &&
		    (capng_get_caps_process() ||
		     capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN) ||
		     capng_apply(CAPNG_SELECT_CAPS)))
			_exit(NOT_SANDBOXED);
		if (connected && uring_make(&ring, 32, &err)) {
			fprintf(stderr, "# %s\n", err.text);
			_exit(NOT_SANDBOXED);
		}
		sealed_ring = connected ? &ring : NULL;
		uint64_t used = sandbox_memory_used();
		if (sandbox_enter(&s, &err)) {
			fprintf(stderr, "# %s\n", err.text);
			_exit(NOT_SANDBOXED);
		}
		if (connected && sandbox_seal(used + MEMORY, FILE_BYTES, &err)) {
			fprintf(stderr, "# %s\n", err.text);
			_exit(NOT_SANDBOXED);
		}
		_exit(attempt(arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return FORBIDDEN;
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), NOT_SANDBOXED);
	return WEXITSTATUS(status);
}

static inline struct target local(int type, const char *fmt, const char *name)
{
	struct target t = {.family = AF_UNIX, .type = type};

	t.addr.un.sun_family = AF_UNIX;
	snprintf(t.addr.un.sun_path, sizeof t.addr.un.sun_path, fmt, host.dir, name);
	t.length = sizeof t.addr.un;
	return t;
}

#endif
