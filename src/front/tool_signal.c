/* SPDX-License-Identifier: MIT */
/* Signals that end the tool, in order. */
#include "front/tool_signal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int signal_fd = -1;
static bool signal_seen;

void tool_hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool tool_interrupted(void)
{
	struct signalfd_siginfo si;
	sigset_t set;

	if (signal_seen || signal_fd < 0 || read(signal_fd, &si, sizeof si) != sizeof si)
		return signal_seen;
	signal_seen = true;
	/* Who asks twice does not want to wait for the back end. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return true;
}

bool tool_wait_fd(int fd, short events)
{
	struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = signal_fd, .events = POLLIN}};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return !tool_interrupted();
}
