/* SPDX-License-Identifier: MIT */
/* Command line of the supervisor. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>

#include "blkif/abi.h"

#define MAX_KINDS 8
#define KIND_NAME_MAX 16

/* Filled once, then only read. */
struct options {
	const char *embedded; /* directory of the embedded Xen, or NULL */
	const char *run_dir;
	char kinds[MAX_KINDS][KIND_NAME_MAX];
	unsigned nr_kinds;
	enum blkif_protocol default_protocol; /* of front ends that do not say */
	const char *sysfs; /* where the kernel tells of its drivers; NULL: not asked */
	bool no_hotplug;   /* nobody runs hotplug scripts, or removes our nodes */
	bool verbose;
	unsigned check_upgrade; /* only say whether we could replace a xenblkd that hands over so */
};

/* -1: go on; else the exit status, and what is to be said has been printed. */
int options_parse(int argc, char **argv, struct options *opt);

#endif
