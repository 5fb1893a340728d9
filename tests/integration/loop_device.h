/* SPDX-License-Identifier: MIT */
/* Loop devices for integration tests. */
#ifndef TESTS_INTEGRATION_LOOP_DEVICE_H
#define TESTS_INTEGRATION_LOOP_DEVICE_H

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "control.h"
#include "needs.h"

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

/* Those of this process: they go with it, however a test ends. */
static char loops[8][64];

static inline void loop_end(const char *dev)
{
	char command[100];

	for (unsigned i = 0; i < 8; i++) {
		if (!dev[0] || strcmp(loops[i], dev))
			continue;
		/* At once, or when its last user closes it. */
		snprintf(command, sizeof command, "losetup -d %.63s", dev);
		if (system(command))
			print_message("# %s is left behind\n", dev);
		loops[i][0] = '\0';
	}
}

static inline void loop_end_all(void)
{
	for (unsigned i = 0; i < 8; i++)
		loop_end(loops[i]);
}

/* A loop device on the file with blocks of that size, or skips the test. number: as hotplug scripts
 * write it. */
static inline void loop_setup(const char *path, unsigned block, char dev[64], char number[32])
{
	static bool registered;
	char command[300];
	struct stat st;
	unsigned i = 0;

	if (!registered)
		atexit(loop_end_all);
	registered = true;
	snprintf(command, sizeof command, "losetup -f -b %u --show %s 2>/dev/null", block, path);
	needs(lacks_loop_device());
	if (!run(dev, 64, command) || stat(dev, &st))
		fail_msg("%s", command);
	snprintf(number, 32, "%x:%x", major(st.st_rdev), minor(st.st_rdev));
	while (i < 8 && loops[i][0])
		i++;
	assert_true(i < 8);
	snprintf(loops[i], sizeof loops[i], "%.63s", dev);
}

#endif
