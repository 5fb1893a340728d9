/* SPDX-License-Identifier: MIT */
/* The last deed of a worker that dies by a fault: its journals say by which signal. So the fault
 * counts also where no supervisor was there to see it, or one that is not its parent. */
#include <signal.h>
#include <stddef.h>

#include "worker/worker.h"

static struct worker *worker;

/* Whatever it touches may be the reason for the fault: a second one ends the process at once, as
 * the handler is gone by then. */
static void note(int sig)
{
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		if (worker->queue[i])
			queue_note_fault(worker->queue[i], sig);
	/* Blocked until this returns; then it ends the process, as it would have without us. */
	raise(sig);
}

void faults_init(struct worker *w)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
	struct sigaction sa = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};

	worker = w;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &sa, NULL);
}
