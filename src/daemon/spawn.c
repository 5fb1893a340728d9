/* SPDX-License-Identifier: MIT */
/* Starts processes. By hand and not with posix_spawn: the worker must be the one that listens, so
 * that whoever connects to its socket can learn its process id from the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/device.h"

#define WORKER_FD 3
#define WORKER_BACKLOG 128 /* a worker that hangs may be called by many supervisors in a row */

extern char **environ;

/* In the child of vfork: system calls only, and no return. */
static void __attribute__((noreturn))
child(int prog_fd, char *const argv[], int listen_fd, int null_fd)
{
	sigset_t none;
	int keep = WORKER_FD;

	setsid();
	dup2(null_fd, 0);
	if (listen_fd >= 0) {
		/* Onto itself dup2 would leave close-on-exec set. */
		if (listen_fd == WORKER_FD)
			fcntl(WORKER_FD, F_SETFD, 0);
		else
			dup2(listen_fd, WORKER_FD);
		listen(WORKER_FD, WORKER_BACKLOG);
		keep++;
	} else {
		/* Standard output is for what we say ourselves. */
		dup2(null_fd, 1);
	}
	/* Not closed at once: prog_fd is one of them. */
	close_range((unsigned)keep, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, prog_fd, "", argv, environ, AT_EMPTY_PATH);
	_exit(127);
}

static pid_t __attribute__((noinline)) spawn(int prog_fd, char *const argv[], int listen_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	if (null_fd < 0)
		return -errno;
	/* The parent sleeps until the exec, so the socket listens when this returns. */
	pid = vfork();
	if (pid == 0)
		child(prog_fd, argv, listen_fd, null_fd);
	if (pid < 0)
		pid = -errno;
	close(null_fd);
	return pid;
}

pid_t spawn_worker(int prog_fd, char *const argv[], int listen_fd)
{
	return spawn(prog_fd, argv, listen_fd);
}

pid_t spawn_session(const char *prog, char *const argv[])
{
	int fd = open(prog, O_PATH | O_CLOEXEC);
	pid_t pid = fd < 0 ? -errno : spawn(fd, argv, -1);

	if (fd >= 0)
		close(fd);
	return pid;
}
