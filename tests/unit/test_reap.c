/* SPDX-License-Identifier: MIT */
/* The end of a child that was killed is not waited for, and not forgotten either. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/reap.h"

static struct loop loop;

static pid_t child(int *pidfd)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	*pidfd = pidfd_open(pid, 0);
	assert_true(*pidfd >= 0);
	return pid;
}

static bool closed(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && p.revents & POLLNVAL;
}

/* As one that hangs in the kernel: here it has not been killed yet. */
static void takes_long(void **state)
{
	int pidfd;
	pid_t pid = child(&pidfd);

	alarm(20);
	reap(&loop, pid, pidfd);
	assert_int_equal(loop_once(&loop, 0), 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(loop_once(&loop, -1), 0);
	alarm(0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_true(closed(pidfd));
}

static void ended_already(void **state)
{
	siginfo_t info;
	int pidfd;
	pid_t pid = child(&pidfd);

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	reap(&loop, pid, pidfd);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_true(closed(pidfd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(takes_long),
	                                   cmocka_unit_test(ended_already)};

	if (loop_init(&loop))
		return 1;
	return cmocka_run_group_tests_name("reap", tests, NULL, NULL);
}
