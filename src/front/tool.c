/* SPDX-License-Identifier: MIT */
/* xenblkfront: a Xen block device used from user space. Runs the command that the command line
 * asks for. */
#include "front/tool.h"

#include <signal.h>

#include "front/tool_message.h"
#include "front/tool_signal.h"

static int (*const commands[])(struct xenblkfront *, const struct tool_options *) = {
    [CMD_INFO] = tool_info,   [CMD_READ] = tool_read,       [CMD_WRITE] = tool_write,
    [CMD_FLUSH] = tool_flush, [CMD_DISCARD] = tool_discard, [CMD_BENCH] = tool_bench,
};

static int run(const struct tool_options *o)
{
	bool connect = o->command != CMD_INFO || o->connect;
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
	rc = commands[o->command](f, o);
	/* A command that failed has said why; that the good-bye then fails adds nothing. */
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
	int rc;

	/* A reader that closes the pipe early (head) shows as EPIPE, so that we disconnect. */
	signal(SIGPIPE, SIG_IGN);
	rc = tool_parse(argc, argv, &o);
	if (rc)
		return rc < 0 ? TOOL_OK : rc;
	if (o.command != CMD_CONFORM)
		return run(&o);
	tool_hold_signals();
	return tool_conform(&o);
}
