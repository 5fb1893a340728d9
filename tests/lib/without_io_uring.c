/* SPDX-License-Identifier: MIT */
/* without-io-uring COMMAND...: runs it under a filter that answers io_uring's system calls with
 * EPERM, as containers' default filters do. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const int calls[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	                            SCMP_SYS(io_uring_register)};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (argc < 2 || !filter)
		return 2;
	for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0))
			return 2;
	if (seccomp_load(filter))
		return 2;
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
