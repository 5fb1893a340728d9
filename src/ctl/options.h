/* SPDX-License-Identifier: MIT */
/* xenblkctl's command line. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/args.h"
#include "base/error.h"
#include "ctl/toolstack.h"

enum ctl_command {
	CTL_LIST,
	CTL_STATUS,
	CTL_STATS,
	CTL_ATTACH,
	CTL_DETACH,
	CTL_RESIZE,
	CTL_HOTPLUG,
	CTL_FAULT,
	CTL_USAGE,
	CTL_RECOVER,
	CTL_UPGRADE,
	CTL_SHUTDOWN,
	CTL_VERSION,
	CTL_HELP,
};

struct ctl_options {
	enum ctl_command command;
	const char *run_dir;
	bool json, force, all;
	bool has_device; /* domid and devid are set; id is the device's canonical name */
	unsigned domid;
	uint32_t devid;
	char id[TOOLSTACK_ID_MAX];
	const char *target, *vdev, *mode; /* attach, as typed */
	unsigned mode_word;
	bool cdrom, removable, no_discard, no_script;
	unsigned timeout_s;
	const char *action; /* hotplug */
	char fault[256];    /* the words joined by blanks */
};

/* 0, or -EINVAL with *err naming the word that is wrong. Strings point into argv or the
 * environment. */
int ctl_parse(int argc, char **argv, struct ctl_options *opt, struct error *err);

extern const struct arg_program ctl_program;

#endif
