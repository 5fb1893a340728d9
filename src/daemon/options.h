/* SPDX-License-Identifier: MIT */
/* Command line of the supervisor. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>

#include "blkif/abi.h"
#include "daemon/settings.h"

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
	bool test_faults;  /* targets "fault:SPEC:TARGET" are accepted */
	bool verbose, version;
	const char *kinds_text, *protocol_text; /* as given, or NULL */
	const char *config;                     /* file, or NULL */
	const char *given[SETTINGS_MAX]; /* on the command line, checked; by index into the table */
	struct settings settings;        /* of all disks, but for what their own sections say */
	unsigned check_upgrade; /* only say whether we could replace a xenblkd that hands over so */
};

struct config;

/* Fills opt->settings from the configuration file and the command line. 0 or -errno. */
int options_settings(struct options *opt, struct config **config, struct error *err);

/* -1: go on; else the exit status, and what is to be said has been printed. */
int options_parse(int argc, char **argv, struct options *opt);

#endif
