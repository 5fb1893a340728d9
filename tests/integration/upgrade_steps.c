/* SPDX-License-Identifier: MIT */
/* Linked into the xenblkd that tests of the upgrade use: XENBLKD_DIE_AT="STEP WHO" kills at that
 * step, once; WHO: 0 the supervisor, 1 the old worker, 2 the new one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/steps.h"

void upgrade_step(enum upgrade_step step, pid_t old, pid_t new)
{
	const char *text = getenv("XENBLKD_DIE_AT");
	unsigned at, who;

	if (!text || sscanf(text, "%u %u", &at, &who) != 2 || at != step || who > 2)
		return;
	pid_t pid = who == 0 ? getpid() : who == 1 ? old : new;
	unsetenv("XENBLKD_DIE_AT");
	/* First: it may be this process. */
	fprintf(stderr, "killed at step %u: %u\n", at, who);
	if (!pid || kill(pid, SIGKILL))
		fprintf(stderr, "nobody to kill at step %u: %u\n", at, who);
	/* One of ours, which is reaped elsewhere, is gone for good when this returns. */
	siginfo_t info;
	if (pid && (at == STEP_SPAWNED || (at == STEP_STARTED && who == 2)))
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}
