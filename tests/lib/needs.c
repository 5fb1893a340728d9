/* SPDX-License-Identifier: MIT */
/* See needs.h. Each of them tries it: what is forbidden, and how, differs too much to be told by a
 * name. */
#include "needs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

const char *lacks_root(void)
{
	return geteuid() ? "needs root: run it with sudo" : NULL;
}

const char *lacks_admin(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {{0}};

	if (lacks_root())
		return lacks_root();
	if (syscall(SYS_capget, &head, caps) || !(caps[0].effective & 1u << CAP_SYS_ADMIN))
		return "needs CAP_SYS_ADMIN: run it as root outside a container";
	return NULL;
}

const char *lacks_loop_device(void)
{
	static const char wanted[] =
	    "needs a loop device: run it as root, with /dev/loop-control and /sys";
	static char path[32];

	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int n = fd < 0 ? -1 : ioctl(fd, LOOP_CTL_GET_FREE);
	if (fd >= 0)
		close(fd);
	snprintf(path, sizeof path, "/dev/loop%d", n);
	return n < 0 || access(path, R_OK | W_OK) || access("/sys/block", R_OK) ? wanted : NULL;
}

const char *lacks_io_uring(void)
{
	struct io_uring_params params = {0};
	long fd = syscall(SYS_io_uring_setup, 2, &params);

	if (fd < 0)
		return errno == EPERM || errno == ENOSYS
		           ? "needs io_uring, which is forbidden here: see "
		             "/proc/sys/kernel/io_uring_disabled; in Docker: --security-opt "
		             "seccomp=unconfined"
		           : NULL;
	close((int)fd);
	return NULL;
}

const char *lacks_own_root(void)
{
	int status = 0;
	pid_t pid;

	if (lacks_admin())
		return lacks_admin();
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWNS | CLONE_NEWNET) ||
		      mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return "needs namespaces of its own, which a chroot or a container forbids";
	return NULL;
}

const char *lacks_sandbox(void)
{
	return SANITIZED ? "built with sanitizers, hence without the sandbox" : NULL;
}

void needs(const char *lacks)
{
	if (!lacks)
		return;
	print_message("# %s\n", lacks);
	skip();
}

void program_needs(const char *lacks)
{
	if (!lacks)
		return;
	puts(lacks);
	exit(77);
}
