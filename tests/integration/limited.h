/* SPDX-License-Identifier: MIT */
/* A host whose workers can be deprived of what they need: see worker_limited.c. */
#ifndef TESTS_INTEGRATION_LIMITED_H
#define TESTS_INTEGRATION_LIMITED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "scratch.h"

static char limit_path[80];

/* From the next worker on. */
static inline void limit(const char *what)
{
	FILE *f = fopen(limit_path, "w");

	assert_non_null(f);
	fputs(what, f);
	fclose(f);
}

static inline int limited_setup(void **state)
{
	struct host *h = malloc(sizeof *h);
	char worker[512], self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(worker, sizeof worker, "%.400s/../../xenblkd-worker", self);
	setenv("TEST_WORKER", worker, 1);
	snprintf(limit_path, sizeof limit_path, "%s/xb-limit-%d", scratch_dir(), getpid());
	setenv("TEST_LIMIT", limit_path, 1);
	limit("");
	host_start_with(h, "tests/integration/worker_limited", NULL);
	*state = h;
	return 0;
}

static inline int limited_teardown(void **state)
{
	unlink(limit_path);
	return host_teardown(state);
}

#endif
