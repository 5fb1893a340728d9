/* SPDX-License-Identifier: MIT */
/* For tests of xenstore access: an embedded Xen of their own in a temporary directory. */
#ifndef STORE_SERVER_H
#define STORE_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
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

#include "xen/store.h"
#include "../lib/scratch.h"

#define ROOT "/test"
#define SKIP 77

static char dir[100];
static char sock[sizeof dir + 32];
static pid_t server;
static struct store *store; /* what most cases use */

/* ---- the server ---- */

/* BUILD/tests/unit/test_store → BUILD/xenblkd-xen, or what the environment names. */
static const char *server_path(void)
{
	static char path[PATH_MAX + 32];
	char self[PATH_MAX];
	const char *env = getenv("XENBLKD_XEN");
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (env)
		return env;
	assert_true(n > 0);
	self[n] = '\0';
	snprintf(path, sizeof path, "%s/../../xenblkd-xen", dirname(self));
	return path;
}

static bool wait_ready(int fd)
{
	char text[256];
	size_t have = 0;

	while (have < sizeof text - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 10000) != 1)
			return false;
		ssize_t n = read(fd, text + have, sizeof text - 1 - have);
		if (n <= 0)
			return false;
		have += (size_t)n;
		text[have] = '\0';
		if (strstr(text, "ready\n"))
			return true;
	}
	return false;
}

static bool start_server(void)
{
	const char *path = server_path();
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	server = fork();
	assert_true(server >= 0);
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphan if a case aborts */
		dup2(out[1], 1);
		execl(path, path, dir, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	bool ok = wait_ready(out[0]);
	close(out[0]);
	return ok;
}

static void stop_server(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	server = 0;
}

static int begin(void **state)
{
	struct error err = {""};

	if (store_open(sock, &store, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	return store_rm(store, XBT_NULL, ROOT, NULL);
}

static int end(void **state)
{
	store_close(store);
	store = NULL;
	return 0;
}

/* A value with any bytes, past our own printf-like writer. */
static inline void write_raw(const char *path, const void *data, unsigned len)
{
	setenv("XENSTORED_PATH", sock, 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");

	assert_non_null(xs);
	assert_true(xs_write(xs, XBT_NULL, path, data, len));
	xs_close(xs);
}

/* The whole program: starts the server, runs the cases, removes everything. */
static int with_server(int (*run)(void))
{
	int rc = SKIP;

	if (!mkdtemp(scratch_path(dir, sizeof dir, "store-XXXXXX")))
		return 1;
	snprintf(sock, sizeof sock, "%s/xenstored.sock", dir);
	if (access(server_path(), X_OK))
		fprintf(stderr, "no %s: skipped\n", server_path());
	else if (!start_server())
		rc = 1;
	else
		rc = run();
	stop_server();
	char cmd[sizeof dir + 16];
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	if (system(cmd))
		rc = 1;
	return rc;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
