/* SPDX-License-Identifier: MIT */
/* What this kernel's Landlock can do. */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LANDLOCK_KNOWN 6 /* the newest version that xenblkd makes use of */

/* Its version; 0: the kernel has none, or it is switched off. */
static inline int landlock_version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return v < 0 ? 0 : (int)v;
}

/* What this version does not keep a process from, for an administrator; "": nothing. */
static inline const char *landlock_lacks(int version)
{
	if (version < 1)
		return "opening files (Linux 5.13)";
	if (version < 4)
		return "TCP (Linux 6.7)";
	if (version < 5)
		return "ioctl on devices (Linux 6.10)";
	return version < LANDLOCK_KNOWN ? "abstract sockets and signals (Linux 6.12)" : "";
}

#endif
