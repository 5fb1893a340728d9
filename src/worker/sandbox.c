/* SPDX-License-Identifier: MIT */
/*
 * What the worker gives up, in two steps.
 *
 * sandbox_enter, when the image is open: the host's file systems and network (a root directory of
 * its own, see root.c, and a network namespace with nothing in it), capabilities, every file but
 * the way to Xen (Landlock, where the kernel has it), and every system call that serving an open
 * disk does not need (seccomp; such a call is not done, and ends the worker by SIGSYS, see
 * faults.c).
 *
 * sandbox_seal, when a front end connects, and before anything of its is mapped: whatever makes a
 * descriptor that leads somewhere. io_uring's operations are no system calls; from then on there
 * are only the rings that were made until then, which are restricted (disk/uring.h).
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/landlock.h"
#include "worker/root.h"
#include "worker/sandbox.h"

static const int allowed_calls[] = {
    /* the data path */
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(fallocate),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    /* opening the queues, until sandbox_seal */
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(seccomp),
    SCMP_SYS(prlimit64),
    SCMP_SYS(openat),
    SCMP_SYS(epoll_create1),
    /* connecting and disconnecting: grants, ports, the supervisor */
    SCMP_SYS(accept4),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(close),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(writev),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(dup),
    SCMP_SYS(eventfd2),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    /* the C library: memory, threads, signals, the end */
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(prctl),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo), /* by qsort_r() of long lists */
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* Not fcntl's F_SETOWN and ioctl's FIOSETOWN: who owns a descriptor is sent signals, F_SETSIG says
 * which, and of user 0 the kernel lets any process be killed so. */
static int descriptor_calls_restrict(scmp_filter_ctx ctx)
{
	static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};
	static const unsigned types[] = {'G', 'E', 0x12}; /* gntdev, evtchn, block devices */
	int rc = 0;

	/* Masked: the kernel does not look at the upper halves either. */
	for (size_t i = 0; i < sizeof commands / sizeof *commands && !rc; i++)
		rc = seccomp_rule_add(
		    ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
		    SCMP_A1_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)commands[i]));
	for (size_t i = 0; i < sizeof types / sizeof *types && !rc; i++)
		rc = seccomp_rule_add(
		    ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xff00, (scmp_datum_t)types[i] << 8));
	/* isatty(), by which Xen's libraries choose how to log: TCGETS, or in newer C libraries
	 * another one of its kind. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 1,
		                      SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xff00, 'T' << 8));
	return rc;
}

/* Only an embedded Xen is reached through a socket. On a real one nobody is called. */
static int sockets_restrict(scmp_filter_ctx ctx, const struct sandbox *s)
{
	struct stat st;
	int rc = 0;

	if (!s->xen[0] || stat(s->xen[0], &st) || !S_ISSOCK(st.st_mode))
		return 0;
	rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
	                      SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
	return rc ? rc : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);
}

/* Calls that are needed in one form only: threads but no processes, which would outlive the worker
 * and hold its disk; signals to itself. */
static int forms_restrict(scmp_filter_ctx ctx)
{
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	                          SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

	/* Its flags are out of a filter's sight; the C library then takes clone. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* A log that moves to the next supervisor. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(dup3), 1,
		                      SCMP_A1_32(SCMP_CMP_EQ, STDERR_FILENO));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		                      SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* What follows from a forbidden call is settled. (Blocked, SIGSYS would kill at once.) */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1,
		                      SCMP_A0_32(SCMP_CMP_NE, SIGSYS));
	return rc;
}

static int calls_restrict(const struct sandbox *s)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int rc = ctx ? 0 : -ENOMEM;

	/* All of it: what is left without one thread would serve no more, and not die either. */
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < sizeof allowed_calls / sizeof *allowed_calls && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (!rc)
		rc = forms_restrict(ctx);
	if (!rc)
		rc = sockets_restrict(ctx, s);
	if (!rc)
		rc = descriptor_calls_restrict(ctx);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

/* RLIMIT_DATA counts private memory. Shared memory without a file, and stacks that grow, are not
 * counted; mremap can make a stack of any size. */
static int seal_memory(scmp_filter_ctx ctx)
{
	const scmp_datum_t shared = MAP_SHARED | MAP_ANONYMOUS, stack = MAP_GROWSDOWN;
	int rc = seccomp_rule_add(ctx, SCMP_ACT_TRAP, SCMP_SYS(mmap), 1,
	                          SCMP_A3_64(SCMP_CMP_MASKED_EQ, shared, shared));

	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_TRAP, SCMP_SYS(mmap), 1,
		                      SCMP_A3_64(SCMP_CMP_MASKED_EQ, stack, stack));
	/* realloc() then copies. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOMEM), SCMP_SYS(mremap), 0);
	return rc;
}

uint64_t sandbox_memory_used(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmData: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* On top of the first filter: of two answers the kernel takes the stricter one. */
static int seal_calls(scmp_filter_ctx ctx)
{
	static const int calls[] = {
	    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register), SCMP_SYS(socket),
	    SCMP_SYS(connect),        SCMP_SYS(epoll_create1),     SCMP_SYS(eventfd2),
	    SCMP_SYS(clone),          SCMP_SYS(prlimit64),         SCMP_SYS(seccomp),
	};
	/* The queues' threads, too. */
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; i < sizeof calls / sizeof *calls && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_TRAP, calls[i], 0);
	/* The C library looks for files that need not be there, the number of processors for
	 * instance. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(openat), 0);
	return rc ? rc : seal_memory(ctx);
}

static int memory_limit(uint64_t bytes)
{
	const struct rlimit r = {bytes, bytes};

	return setrlimit(RLIMIT_DATA, &r) ? -errno : 0;
}

/* The soft limit, because whoever is not root may raise no other. No system call to do so is left
 * to us. */
static int size_limit(uint64_t bytes)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_FSIZE, &r))
		return -errno;
	r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
	return setrlimit(RLIMIT_FSIZE, &r) ? -errno : 0;
}

int sandbox_seal(uint64_t memory, uint64_t file_size, struct error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? seal_calls(ctx) : -ENOMEM;

	if (!rc)
		rc = memory_limit(memory);
	if (!rc)
		rc = size_limit(file_size);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc ? error_set(err, rc, "cannot restrict system calls: %s", error_name(rc)) : 0;
}

/* Nothing but a loopback that is down. The supervisor's, where it gave us one: they cost time and
 * memory. */
static int network_leave(const struct sandbox *s)
{
	if (s->net_fd < 0)
		return unshare(CLONE_NEWNET) ? -errno : 0;
	return setns(s->net_fd, CLONE_NEWNET) ? -errno : 0;
}

/* Not root enough (EPERM), a policy of the system (EACCES), a kernel too old or without it. EINVAL:
 * also a host that runs from its initial file system, which pivot_root cannot replace. */
static bool unavailable(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENOSYS || rc == -EINVAL;
}

static int host_leave(const struct sandbox *s, struct error *err)
{
	struct error why;
	int rc = root_enter(s, &why);

	if (rc && !unavailable(rc))
		return error_set(err, rc, "cannot make a root directory of its own: %s", why.text);
	if (rc) {
		/* That an ordinary user cannot, xenblkd has said, once for all workers. */
		(geteuid() ? log_debug : log_warn)("could not isolate the file system: host "
		                                   "sockets remain reachable: %s",
		                                   why.text);
		/* One line; the same reason holds for the network, or else all the better. */
		network_leave(s);
		return 0;
	}
	rc = network_leave(s);
	if (rc && !unavailable(rc))
		return error_set(err, rc, "cannot leave the network: %s", error_name(rc));
	if (rc)
		log_warn("could not isolate the network: the host's remains reachable: %s",
		         error_name(rc));
	return 0;
}

int sandbox_enter(const struct sandbox *s, struct error *err)
{
	int rc = host_leave(s, err);

	if (rc)
		return rc;
	capng_clear(CAPNG_SELECT_BOTH);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || capng_apply(CAPNG_SELECT_BOTH))
		return error_set(err, -EPERM, "cannot drop privileges: %s", error_name(errno));
	rc = landlock_enter(s->xen);
	if (rc)
		return error_set(err, rc, "cannot restrict file access: %s", error_name(rc));
	rc = calls_restrict(s);
	if (rc)
		return error_set(err, rc, "cannot restrict system calls: %s", error_name(rc));
	return 0;
}
