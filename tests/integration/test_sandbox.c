/* SPDX-License-Identifier: MIT */
/* A worker that serves a guest has no privileges left. What it can reach is tested from the inside:
 * test_sandbox_inside.c. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "needs.h"

/* Value of a field of /proc/PID/status; static buffer. */
static const char *status_field(pid_t pid, const char *field)
{
	static char value[64];
	char path[64], line[256];
	size_t n = strlen(field);

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	value[0] = 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, n) && line[n] == ':')
			sscanf(line + n + 1, "%63s", value);
	fclose(f);
	return value;
}

/* The mounts of a process: their number, each of them one of `known`. */
static unsigned mounts(pid_t pid, const char *const *known)
{
	char path[64], line[1024], where[512];
	unsigned n = 0;

	snprintf(path, sizeof path, "/proc/%d/mountinfo", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (; fgets(line, sizeof line, f); n++) {
		bool found = false;
		assert_int_equal(sscanf(line, "%*d %*d %*s %*s %511s", where), 1);
		for (unsigned i = 0; known[i]; i++)
			found |= !strcmp(known[i], where);
		if (!found)
			fail_msg("%s is mounted in the worker", where);
	}
	fclose(f);
	return n;
}

/* Nothing of the host's is left in it: that would keep a file system busy which is unmounted. */
static void own_root(void **state)
{
	needs(lacks_sandbox() ?: lacks_own_root());
	struct host *h = *state;
	const char *image = host_image(h, "a.img", 1 << 20);
	char hypervisor[100], path[64], link[300];
	const char *const known[] = {"/", hypervisor, NULL};
	unsigned directories = 0;
	struct dirent *e;
	struct stat st;

	snprintf(hypervisor, sizeof hypervisor, "%s/xen.sock", h->dir);
	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_int_equal(mounts(worker, known), 2);

	snprintf(path, sizeof path, "/proc/%d/fd", (int)worker);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && !fstatat(dirfd(dir), e->d_name, &st, 0))
			directories += S_ISDIR(st.st_mode);
	closedir(dir);
	assert_int_equal(directories, 0);
	snprintf(path, sizeof path, "/proc/%d/cwd", (int)worker);
	ssize_t n = readlink(path, link, sizeof link - 1);
	assert_int_equal(n, 1);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

static ino_t network(pid_t pid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* One for all of them: each costs. */
static void own_network(void **state)
{
	needs(lacks_sandbox() ?: lacks_admin());
	struct host *h = *state;

	host_attach(h, &(struct disk){.params = "null:1M"}, "null:1M");
	host_attach(h, &(struct disk){.domid = 2, .params = "null:1M"}, "null:1M");
	struct xenblkfront *front[] = {host_front_connected(h, 1, "xvda"),
	                               host_front_connected(h, 2, "xvda")};
	ino_t one = network(host_worker(h, "1:xvda"));
	assert_true(one != network(getpid()));
	assert_true(one == network(host_worker(h, "2:xvda")));
	assert_true(network(h->daemon) == network(getpid()));
	for (unsigned i = 0; i < 2; i++) {
		assert_front(front[i], xenblkfront_disconnect(front[i]));
		xenblkfront_close(front[i]);
		host_detach(h, i + 1, XVDA);
	}
}

static void confined(void **state)
{
	needs(lacks_sandbox());
	struct host *h = *state;
	const char *image = host_image(h, "a.img", 1 << 20);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_true(worker > 0);
	assert_string_equal(status_field(worker, "CapEff"), "0000000000000000");
	assert_string_equal(status_field(worker, "CapPrm"), "0000000000000000");
	/* Only who has CAP_SETPCAP gives these away; without privileges they are worth nothing. */
	if (!geteuid())
		assert_string_equal(status_field(worker, "CapBnd"), "0000000000000000");
	assert_string_equal(status_field(worker, "NoNewPrivs"), "1");
	assert_string_equal(status_field(worker, "Seccomp"), "2");
	/* And it still reconnects: all that needs is allowed. */
	assert_front(f, xenblkfront_disconnect(f));
	assert_front(f, xenblkfront_connect(f));
	assert_front(f, xenblkfront_discard(f, 0, 65536, false));
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(confined, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(own_root, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(own_network, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
