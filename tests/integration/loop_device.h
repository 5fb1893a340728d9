/* SPDX-License-Identifier: MIT */
/* Loop devices for integration tests. */
#ifndef TESTS_INTEGRATION_LOOP_DEVICE_H
#define TESTS_INTEGRATION_LOOP_DEVICE_H

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "control.h"

/* Runs a command, its output's first line in out. Its success. */
static inline bool run(char *out, size_t cap, const char *command)
{
	FILE *p = popen(command, "r");

	out[0] = 0;
	if (!p)
		return false;
	if (fgets(out, (int)cap, p))
		out[strcspn(out, "\n")] = 0;
	return pclose(p) == 0;
}

/* A loop device on the file with blocks of that size, or skips the test. number: as hotplug scripts
 * write it. */
static inline void loop_setup(const char *path, unsigned block, char dev[64], char number[32])
{
	char command[300];
	struct stat st;

	snprintf(command, sizeof command, "losetup -f -b %u --show %s 2>/dev/null", block, path);
	if (!run(dev, 64, command) || stat(dev, &st)) {
		print_message("skipped: losetup makes no loop device here\n");
		skip();
	}
	snprintf(number, 32, "%x:%x", major(st.st_rdev), minor(st.st_rdev));
}

static inline void loop_end(const char *dev)
{
	char command[100];

	snprintf(command, sizeof command, "losetup -d %s", dev);
	assert_int_equal(system(command), 0);
}

#endif
