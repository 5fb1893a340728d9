/* SPDX-License-Identifier: MIT */
/* A host whose programs stand in a directory of their own, where a test replaces them as a package
 * manager would: the new file takes the name, the old one lives on for those who run it. */
#ifndef TESTS_INTEGRATION_PACKAGE_H
#define TESTS_INTEGRATION_PACKAGE_H

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "control.h"

#define SEED 5

/* from: below the build directory, or an absolute path. */
static inline void install(struct host *h, const char *build, const char *from, const char *name)
{
	char command[2000];

	snprintf(command, sizeof command, "cp '%s%s%s' '%s/%s.new' && mv '%s/%s.new' '%s/%s'",
	         from[0] == '/' ? "" : build, from[0] == '/' ? "" : "/", from, h->programs, name,
	         h->programs, name, h->programs, name);
	assert_int_equal(system(command), 0);
}

static inline void uninstall(struct host *h, const char *name)
{
	char path[400];

	snprintf(path, sizeof path, "%s/%s", h->programs, name);
	assert_int_equal(unlink(path), 0);
}

/* A host with that daemon and worker installed and running. build: where they were built. */
static inline void package_start(struct host *h, char build[256], const char *daemon,
                                 const char *worker)
{
	host_start(h, NULL);
	memcpy(build, h->build, 256);
	host_daemon_kill(h, SIGKILL);
	snprintf(h->programs, sizeof h->programs, "%s/bin", h->images);
	host_image(h, "unused", 512); /* makes the directory above */
	assert_int_equal(mkdir(h->programs, 0700), 0);
	install(h, build, daemon, "xenblkd");
	install(h, build, worker, "xenblkd-worker");
	install(h, build, "xenblkd-xen", "xenblkd-xen");
	install(h, build, "xenblkd-holder", "xenblkd-holder");
	install(h, build, "xenblkctl", "xenblkctl");
	host_daemon_start(h, NULL);
}

/* One disk of domain 1 and its front end. */
static inline struct xenblkfront *package_disk(struct host *h)
{
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	return host_front_connected(h, 1, "xvda");
}

/* xenblkctl with these words, in a process of its own; its exit status by ctl_end. Output: DIR.ctl.
 */
static inline pid_t ctl_start(struct host *h, const char *words)
{
	char command[900];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(command, sizeof command, "exec '%s/xenblkctl' --run-dir '%s' %s >'%s/ctl' 2>&1",
	         h->programs, h->dir, words, h->dir);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

/* The guest works on until it has ended. */
static inline int ctl_end(struct xenblkfront *f, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid)
		if (f)
			assert_reads(f, 0, SEED);
		else
			usleep(1000);
	if (f)
		assert_reads(f, 65536, SEED);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline int ctl(struct host *h, struct xenblkfront *f, const char *words)
{
	return ctl_end(f, ctl_start(h, words));
}

/* What the last one printed. Static buffer. */
static inline const char *ctl_said(struct host *h)
{
	static char text[4096];
	char path[80];

	snprintf(path, sizeof path, "%s/ctl", h->dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* Whether the process runs the program of that name as it is installed now. */
static inline bool runs_installed(struct host *h, pid_t pid, const char *name)
{
	char path[400];
	struct stat exe, file;

	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	if (stat(path, &exe))
		return false;
	snprintf(path, sizeof path, "%s/%s", h->programs, name);
	return !stat(path, &file) && exe.st_dev == file.st_dev && exe.st_ino == file.st_ino;
}

/* How many processes serve disks of this host; zombies do not. */
static inline int workers_of(struct host *h)
{
	char command[300];
	int n = -1;

	snprintf(command, sizeof command, "pgrep -c -f -- '^xenblkd\\..* --dir %s/'", h->dir);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

#endif
