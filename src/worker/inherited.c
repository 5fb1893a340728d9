/* SPDX-License-Identifier: MIT */
/* What a process inherits through exec, and whoever started the supervisor may have set to
 * anything: which signals are ignored, and limits. A worker's are always the same. */
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>

#include "worker/inherited.h"

#define DESCRIPTORS 512        /* a disk with 16 queues has some 200 */
#define STACK_BYTES (8u << 20) /* of the main thread; the others' are what they need */

/* Signals that nobody sends to end a process, but that would end it. SIGXFSZ: a write beyond the
 * limit of a file's size then fails with EFBIG, which is an error of one request. */
static const int ignored[] = {SIGHUP,    SIGPIPE, SIGXFSZ, SIGXCPU, SIGALRM,
                              SIGVTALRM, SIGPROF, SIGIO,   SIGUSR1, SIGUSR2};

static void signals_reset(void)
{
	struct sigaction sa;

	/* Not those that have a handler by now: a sanitizer's. */
	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler == SIG_IGN)
			signal(sig, SIG_DFL);
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
}

/* As far as we may. */
static void limit_lift(int which)
{
	struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	if (!setrlimit(which, &r) || getrlimit(which, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(which, &r);
}

static void limit_lower(int which, rlim_t most)
{
	struct rlimit r;

	if (getrlimit(which, &r))
		return;
	r.rlim_cur = r.rlim_cur < most ? r.rlim_cur : most;
	r.rlim_max = r.rlim_max < most ? r.rlim_max : most;
	setrlimit(which, &r);
}

void inherited_reset(void)
{
	signals_reset();
	/* How large an image may be, and how long a worker may live, is not for a shell to say. */
	limit_lift(RLIMIT_FSIZE);
	limit_lift(RLIMIT_CPU);
	limit_lower(RLIMIT_STACK, STACK_BYTES);
	/* It would hold a guest's data. */
	limit_lower(RLIMIT_CORE, 0);
}

void inherited_lower_files(void)
{
	limit_lower(RLIMIT_NOFILE, DESCRIPTORS);
}
