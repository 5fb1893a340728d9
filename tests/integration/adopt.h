/* SPDX-License-Identifier: MIT */
/* What the tests of a supervisor's successor share: a disk whose supervisor dies. */
#ifndef TESTS_INTEGRATION_ADOPT_H
#define TESTS_INTEGRATION_ADOPT_H

#include <signal.h>

#include "control.h"

#define SEED 5

struct disk_under_test {
	char image[200];
	struct xenblkfront *front;
	pid_t worker;
};

static inline void disk_start(struct host *h, struct disk_under_test *t)
{
	make_image(h, "a.img", SEED, t->image);
	host_attach(h, &(struct disk){.params = t->image}, t->image);
	t->front = host_front_connected(h, 1, "xvda");
	t->worker = host_worker(h, "1:xvda");
	assert_true(t->worker > 0);
}

static inline void disk_end(struct host *h, struct disk_under_test *t)
{
	front_end(t->front);
	host_detach(h, 1, XVDA);
}

static inline void supervisor_dies(struct host *h)
{
	host_daemon_kill(h, SIGKILL);
}

static inline bool process_lives(pid_t pid)
{
	char path[40], stat[512] = "";

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	size_t n = fread(stat, 1, sizeof stat - 1, f);
	fclose(f);
	char *end = n ? strrchr(stat, ')') : NULL;
	return end && end[2] != 'Z' && end[2] != 'X';
}

#endif
