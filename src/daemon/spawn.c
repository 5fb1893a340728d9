/* SPDX-License-Identifier: MIT */
/* Starts processes. By hand and not with posix_spawn: the worker must be the one that listens, so
 * that whoever connects to its socket can learn its process id from the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/device.h"

#define WORKER_FD 3
#define NET_FD 4
#define WORKER_BACKLOG 128 /* a worker that hangs may be called by many supervisors in a row */

extern char **environ;

/* Out of the way of those that the new program finds at fixed places. */
static int lift(int fd)
{
	return fd >= 0 && fd <= NET_FD ? fcntl(fd, F_DUPFD_CLOEXEC, NET_FD + 1) : fd;
}

/* What a new program gets. -1: not that. */
struct gifts {
	int prog, listener, net, null, log;
	int rc; /* written by the child: why it could not become that program */
};

/* In the child of vfork: system calls only, and no return. */
static void __attribute__((noreturn)) child(struct gifts *g, char *const argv[])
{
	sigset_t none;
	int keep = WORKER_FD;

	setsid();
	dup2(g->null, 0);
	/* Standard output is for what we say ourselves. */
	dup2(g->null, 1);
	if (g->log >= 0)
		dup2(g->log, 2);
	int prog_fd = lift(g->prog), listen_fd = lift(g->listener), net_fd = lift(g->net);
	if (listen_fd >= 0) {
		dup2(listen_fd, WORKER_FD);
		listen(WORKER_FD, WORKER_BACKLOG);
		keep++;
	}
	if (listen_fd >= 0 && net_fd >= 0 && dup2(net_fd, NET_FD) == NET_FD)
		keep++;
	/* Not closed at once: prog_fd is one of them. */
	close_range((unsigned)keep, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, prog_fd, "", argv, environ, AT_EMPTY_PATH);
	/* Its memory is ours until then. */
	g->rc = -errno;
	_exit(127);
}

static pid_t __attribute__((noinline)) spawn(struct gifts *g, char *const argv[])
{
	pid_t pid;

	g->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (g->null < 0)
		return -errno;
	/* The parent sleeps until the exec, so the socket listens when this returns. */
	pid = vfork();
	if (pid == 0)
		child(g, argv);
	if (pid < 0)
		pid = -errno;
	close(g->null);
	if (pid > 0 && g->rc) {
		waitpid(pid, NULL, 0);
		return g->rc;
	}
	return pid;
}

pid_t spawn_worker(int prog_fd, char *const argv[], int log_fd, int listen_fd, int net_fd)
{
	struct gifts g = {.prog = prog_fd, .log = log_fd, .listener = listen_fd, .net = net_fd};

	return spawn(&g, argv);
}

pid_t spawn_holder(const char *prog, char *const argv[], int listen_fd, int pidfd)
{
	int prog_fd = open(prog, O_PATH | O_CLOEXEC);
	pid_t pid = prog_fd < 0 ? -errno : spawn_worker(prog_fd, argv, -1, listen_fd, pidfd);

	if (prog_fd >= 0)
		close(prog_fd);
	return pid;
}

static void *network_thread(void *arg)
{
	int *fd = arg;

	*fd =
	    unshare(CLONE_NEWNET) ? -errno : open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return NULL;
}

/* By a thread of its own: only that one leaves our network. */
int spawn_network(void)
{
	pthread_t thread;
	int fd = -EAGAIN;

	if (!pthread_create(&thread, NULL, network_thread, &fd))
		pthread_join(thread, NULL);
	return fd;
}

pid_t spawn_session(const char *prog, char *const argv[])
{
	struct gifts g = {
	    .prog = open(prog, O_PATH | O_CLOEXEC), .log = -1, .listener = -1, .net = -1};
	pid_t pid = g.prog < 0 ? -errno : spawn(&g, argv);

	if (g.prog >= 0)
		close(g.prog);
	return pid;
}
