/* SPDX-License-Identifier: MIT */
/* The crash points of the worker that tests use: it kills itself where the page says. */
#include "disk/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crash_page.h"

static struct crash_page *page;

/* Before the sandbox, and before main. */
static void __attribute__((constructor)) map_page(void)
{
	const char *path = getenv("XENBLKD_CRASH_PAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED
	                   : mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (map != MAP_FAILED)
		page = map;
}

/* In place of the C library's: the kernel has an error to tell, once each. */
int fdatasync(int fd)
{
	uint32_t n = page ? __atomic_load_n(&page->lost, __ATOMIC_ACQUIRE) : 0;

	if (!n)
		return fsync(fd);
	__atomic_store_n(&page->lost, n - 1, __ATOMIC_RELEASE);
	errno = EIO;
	return -1;
}

void crash_point(enum crash_step step, uint64_t what)
{
	if (!page)
		return;
	/* Acquire: pairs with the test's release, after it wrote the script. */
	uint32_t next = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE);
	if (next >= __atomic_load_n(&page->nr, __ATOMIC_ACQUIRE))
		return;
	struct crash_order *o = &page->script[next];
	if (o->step != step || (o->what != CRASH_ANY && o->what != what) ||
	    __atomic_sub_fetch(&o->passes, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	__atomic_add_fetch(&page->kills[step], 1, __ATOMIC_ACQ_REL);
	/* Release: the test sees the count before it sees that the order is carried out. */
	__atomic_store_n(&page->next, next + 1, __ATOMIC_RELEASE);
	if (o->signal == CRASH_FORBIDDEN)
		syscall(SYS_getppid);
	/* To the whole process, in the one form that the sandbox allows. */
	syscall(SYS_tgkill, getpid(), gettid(), o->signal);
	/* One that was only stopped goes on. */
	while (o->signal != SIGSTOP)
		pause();
}
