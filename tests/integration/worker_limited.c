/* SPDX-License-Identifier: MIT */
/* Becomes the real xenblkd-worker ($TEST_WORKER), with less than that needs: as the file
 * $TEST_LIMIT says, a system call that is forbidden (see the table), "files" (no descriptors are
 * left), "locked" (no locked memory, which root is not limited in) or nothing; or does not become
 * it, and lies. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker_liar.h"

static const struct call {
	const char *name;
	unsigned nr, flags; /* flags: only with one of these as second argument; 0: always */
} calls[] = {
    {"uring", SYS_io_uring_setup, 0}, /* as a container does it */
    {"rings", SYS_io_uring_register, 0},
    {"privileges", SYS_capset, 0},
    {"seal", SYS_seccomp, SECCOMP_FILTER_FLAG_TSYNC},
    {"landlock", SYS_landlock_restrict_self, 0},
    {"parcel", SYS_socketpair, 0}, /* what a claim is kept in */
};

static int forbid(const struct call *c)
{
	const unsigned all = BPF_JMP | BPF_JSET | BPF_K;
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->nr, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
	    c->flags ? (struct sock_filter)BPF_JUMP(all, c->flags, 0, 1)
	             : (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	const char *worker = getenv("TEST_WORKER"), *path = getenv("TEST_LIMIT");
	struct rlimit few = {8, 8}, none = {0, 0};
	char what[16] = "";
	int fd = open(path ?: "", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, what, sizeof what - 1) < 0)
		return 1;
	for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
		if (!strcmp(what, calls[i].name) && forbid(&calls[i]))
			return 1;
	if (!strcmp(what, "files") && setrlimit(RLIMIT_NOFILE, &few))
		return 1;
	if (!strcmp(what, "locked") && setrlimit(RLIMIT_MEMLOCK, &none))
		return 1;
	lie(what);
	execv(worker ?: "", argv);
	perror("TEST_WORKER");
	return 1;
}
