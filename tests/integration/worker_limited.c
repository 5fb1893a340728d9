/* SPDX-License-Identifier: MIT */
/* Becomes the real xenblkd-worker ($TEST_WORKER), with less than that needs: as the file
 * $TEST_LIMIT says, "uring" (io_uring is forbidden, as a container does it), "files" (no
 * descriptors are left), "locked" (no locked memory, which root is not limited in) or nothing. */
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

static int forbid_uring(void)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
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
	if (!strcmp(what, "uring") && forbid_uring())
		return 1;
	if (!strcmp(what, "files") && setrlimit(RLIMIT_NOFILE, &few))
		return 1;
	if (!strcmp(what, "locked") && setrlimit(RLIMIT_MEMLOCK, &none))
		return 1;
	execv(worker ?: "", argv);
	perror("TEST_WORKER");
	return 1;
}
