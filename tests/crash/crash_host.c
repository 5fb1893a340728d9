/* SPDX-License-Identifier: MIT */
/* A host whose workers have crash points. */
#include "crash_host.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/scratch.h"

int crash_host_setup(void **state)
{
	struct crash_host *c = calloc(1, sizeof *c);
	char path[100];
	int fd = mkstemp(scratch_path(path, sizeof path, "xb-page-XXXXXX"));

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof *c->page), 0);
	c->page = mmap(NULL, sizeof *c->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(c->page, MAP_FAILED);
	/* Ours, by its descriptor: nothing to remove if the test itself is killed. */
	unlink(path);
	snprintf(path, sizeof path, "/proc/%d", (int)getpid());
	char name[120];
	snprintf(name, sizeof name, "%s/fd/%d", path, fd);
	setenv("XENBLKD_CRASH_PAGE", name, 1);
	host_start_with(&c->h, "tests/crash/xenblkd-worker", NULL);
	*state = c;
	return 0;
}

int crash_host_teardown(void **state)
{
	struct crash_host *c = *state;

	crash_clear(c);
	/* A test that failed in an outage has left it stopped. */
	if (c->h.daemon)
		kill(c->h.daemon, SIGCONT);
	host_stop(&c->h);
	munmap(c->page, sizeof *c->page);
	free(c);
	return 0;
}

void crash_clear(struct crash_host *c)
{
	/* Release: whoever sees nr 0 looks no further. */
	__atomic_store_n(&c->page->nr, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&c->page->next, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&c->page->lost, 0, __ATOMIC_RELEASE);
}

void crash_order(struct crash_host *c, enum crash_step step, uint32_t passes, uint64_t what,
                 int signal)
{
	uint32_t nr = c->page->nr;

	assert_true(nr < CRASH_SCRIPT_MAX);
	c->page->script[nr] = (struct crash_order){step, passes, what, signal};
	/* Release: the order is whole before a worker may follow it. */
	__atomic_store_n(&c->page->nr, nr + 1, __ATOMIC_RELEASE);
}

bool crash_wait(struct crash_host *c)
{
	for (int i = 0; i < WAIT_MS; i++) {
		/* Acquire: pairs with the worker's release before it dies. */
		if (__atomic_load_n(&c->page->next, __ATOMIC_ACQUIRE) == c->page->nr)
			return true;
		usleep(1000);
	}
	return false;
}

const char *crash_step_name(enum crash_step step)
{
#define NAME(name) #name,
	static const char *const names[] = {CRASH_STEPS(NAME)};
#undef NAME
	return names[step];
}
