/* SPDX-License-Identifier: MIT */
/* The last deed of a worker that dies by a fault: its journals say by which signal. So the fault
 * counts also where no supervisor was there to see it, or one that is not its parent. */
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>

#include "worker/faults.h"

#ifndef SYS_SECCOMP /* si_code; an old C library does not name it */
#define SYS_SECCOMP 1
#endif

static struct worker *worker;

/* The supervisor says by which call, then. Not on a stack: it has a size that a thread need not
 * have left. */
static void tell_forbidden(int call)
{
	static struct wm m = {.version = WM_VERSION, .type = WM_FORBIDDEN};

	m.rc = call;
	if (worker->peer.fd >= 0)
		send(worker->peer.fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whatever it touches may be the reason for the fault: a second one ends the process at once, as
 * the handler is gone by then. */
static void note(int sig, siginfo_t *info, void *context)
{
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		if (worker->queue[i])
			queue_note_fault(worker->queue[i], sig);
	if (sig == SIGSYS && info->si_code == SYS_SECCOMP)
		tell_forbidden(info->si_syscall);
	/* Blocked until this returns; then it ends the process, as it would have without us. */
	raise(sig);
}

void faults_init(struct worker *w)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
	struct sigaction sa = {.sa_sigaction = note, .sa_flags = (int)(SA_RESETHAND | SA_SIGINFO)};

	worker = w;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &sa, NULL);
}
