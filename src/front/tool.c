/* SPDX-License-Identifier: MIT */
/* xenblkfront: a Xen block device used from user space. Runs the command that the command line
 * asks for. */
#include "front/tool.h"

#include <signal.h>

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
	tool_hold_signals();
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
	tool_hold_signals();
	return cmd->run_alone(&o);
}
