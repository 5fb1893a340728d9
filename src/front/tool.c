/* SPDX-License-Identifier: MIT */
/* xenblkfront: a Xen block device used from user space. Frame, messages, signals. */
#include "front/tool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/signalfd.h>
#include <unistd.h>

int tool_error(const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "xenblkfront: %s\n", text);
	return TOOL_FAILED;
}

int tool_front_error(const struct xenblkfront *f)
{
	return tool_error("%s", xenblkfront_error(f));
}

static int signal_fd = -1;
static bool signal_seen;

/* From here on the signals wait until asked for, so that the disk is disconnected in order. */
static void hold_signals(void)
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

static int run(const struct tool_command *cmd, const struct tool_options *o)
{
	bool connect = cmd->bit != CMD_INFO || o->connect;
	struct xenblkfront *f;
	int rc = xenblkfront_open(&o->front, &f);

	if (!rc && connect)
		rc = xenblkfront_connect(f);
	if (rc) {
		rc = tool_front_error(f);
		goto out;
	}
	/* Until here a signal ends us at once: the next connect clears up what is left. */
	hold_signals();
	rc = cmd->run(f, o);
	/* A command that failed has said why; what that does to the good-bye is no news. */
	if (connect && xenblkfront_disconnect(f) && !rc)
		rc = tool_front_error(f);
	if (tool_interrupted())
		rc = tool_error("interrupted by a signal: the disk was disconnected");
out:
	xenblkfront_close(f);
	return rc;
}

int main(int argc, char **argv)
{
	struct tool_options o = {.depth = 32, .seconds = 5, .size = 4096};
	const struct tool_command *cmd = NULL;
	int rc;

	/* A reader that closes the pipe early (head) shows as EPIPE, so that we disconnect. */
	signal(SIGPIPE, SIG_IGN);
	rc = tool_parse(argc, argv, &o, &cmd);
	if (rc)
		return rc < 0 ? TOOL_OK : rc;
	if (!cmd->run_alone)
		return run(cmd, &o);
	hold_signals();
	return cmd->run_alone(&o);
}
