/* SPDX-License-Identifier: MIT */
/* xenblkctl's tables of commands and options, and what argp cannot check: IDs, and which values go
 * together. */
#include "ctl/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "blkif/vdev.h"

static const struct arg_command commands[] = {
    [CTL_LIST] = {"list", 0, 0, "no argument", NULL, "the disks that xenblkd serves"},
    [CTL_STATUS] = {"status", 1, 1, "one ID, as in `xenblkctl status 7:xvda`", "ID",
                    "everything about one disk"},
    [CTL_STATS] = {"stats", 0, 1, "at most one ID, as in `xenblkctl stats 7:xvda`", "[ID]",
                   "its counters, or those of all disks"},
    [CTL_ATTACH] = {"attach", 1, 1,
                    "one TARGET, as in `xenblkctl attach disk.img --domain 1 --vdev xvda`",
                    "TARGET",
                    "gives a domain of an embedded Xen a disk, as xl block-attach does "
                    "on a real one; makes the domain if it does not exist"},
    [CTL_DETACH] = {"detach", 1, 1, "one ID, as in `xenblkctl detach 7:xvda`", "ID",
                    "takes the disk away"},
    [CTL_RESIZE] = {"resize", 1, 1, "one ID, as in `xenblkctl resize 7:xvda`", "ID",
                    "looks whether its image has grown or shrunk, and tells the guest"},
    [CTL_HOTPLUG] = {"hotplug", 1, 1, "add or remove; xl runs it by the script block-xenblkd",
                     "add|remove", "what xl runs by the script block-xenblkd"},
    [CTL_FAULT] = {"fault", 1, 16, "what is to fail, as in `xenblkctl fault conflict 3`", "WORD...",
                   "embedded Xen: makes something go wrong (`fault clear` ends it)"},
    [CTL_USAGE] = {"usage", 0, 0, "no argument", NULL,
                   "embedded Xen: domains, grants, event channels in use"},
    [CTL_RECOVER] = {"recover", 1, 1, "one ID, as in `xenblkctl recover 7:xvda`", "ID",
                     "tries a disk again whose workers died too often; its guest goes on"},
    [CTL_UPGRADE] = {"upgrade", 0, 1, "one ID, --all, or nothing for xenblkd itself", "[ID]",
                     "xenblkd, or the worker of disk ID, becomes the program that is installed "
                     "now; I/O goes on"},
    [CTL_SHUTDOWN] = {"shutdown", 0, 0, "no argument", NULL, "stops xenblkd and its workers"},
    [CTL_VERSION] = {"version", 0, 0, "no argument", NULL,
                     "of this program and of the running xenblkd"},
    [CTL_HELP] = {"help", 0, 1, "no argument", NULL, NULL},
};

#define READING                                                                              \
	(ARG_BIT(CTL_LIST) | ARG_BIT(CTL_STATUS) | ARG_BIT(CTL_STATS) | ARG_BIT(CTL_USAGE) | \
	 ARG_BIT(CTL_VERSION))
#define ATTACH ARG_BIT(CTL_ATTACH)
#define AT(field) offsetof(struct ctl_options, field)

static const char *const modes[] = {"r", "w", "w!", NULL};

static const struct arg_option options[] = {
    {.kind = ARG_HEADING, .help = "Options of attach:"},
    {"domain", ARG_NUMBER, AT(domid), "N", "the guest's number", ATTACH, 1, XEN_DOMID_MAX},
    {"vdev", ARG_TEXT, AT(vdev), "NAME", "what the guest calls the disk: xvda, hda, sdc ...",
     ATTACH},
    {"mode", ARG_WORD, AT(mode_word), "r|w|w!",
     "read-only, writable (default), or writable and shared", ATTACH, .words = modes},
    {"cdrom", ARG_SWITCH, AT(cdrom), NULL, "a CD-ROM drive: read-only, removable", ATTACH},
    {"removable", ARG_SWITCH, AT(removable), NULL, "tells the guest that it is removable", ATTACH},
    {"no-discard", ARG_SWITCH, AT(no_discard), NULL, "the guest may not discard (TRIM)", ATTACH},
    {"no-script", ARG_SWITCH, AT(no_script), NULL,
     "no hotplug script: xenblkd opens the image at sight", ATTACH},
    {"timeout", ARG_NUMBER, AT(timeout_s), "S", "how long opening may take (default 30)", ATTACH, 1,
     3600},
    {.kind = ARG_HEADING, .help = "Options of other commands:"},
    {"force", ARG_SWITCH, AT(force), NULL, "detach: even if the guest does not answer",
     ARG_BIT(CTL_DETACH)},
    {"all", ARG_SWITCH, AT(all), NULL,
     "upgrade: xenblkd, then the workers of all disks, one after the other", ARG_BIT(CTL_UPGRADE)},
    {"json", ARG_SWITCH, AT(json), NULL, "list, status, stats, usage, version: print JSON",
     READING},
    {.kind = ARG_HEADING, .help = "Options of all commands:"},
    {"run-dir", ARG_TEXT, AT(run_dir), "DIR",
     "xenblkd's run directory (default $XENBLKD_RUN_DIR, or /run/xenblkd)"},
};

const struct arg_program ctl_program = {
    "xenblkctl",
    "COMMAND",
    "Asks xenblkd, and plays the toolstack on an embedded Xen.",
    "ID is DOMID:VDEV, as in 7:xvda. TARGET is the path of a raw image or block device, or "
    "null:SIZE.\n\nExit status: 0, 1 if it failed, 2 if the command line is wrong.",
    options,
    ARG_COUNT(options),
    commands,
    ARG_COUNT(commands)};

static int parse_vdev(const char *text, uint32_t *out, struct error *err)
{
	if (!vdev_parse(text, out))
		return 0;
	return error_set(err, -EINVAL,
	                 "invalid virtual device `%s`: xvda, xvdb1, hda, sdc ... or a number is "
	                 "expected",
	                 text);
}

static int parse_id(const char *text, struct ctl_options *opt, struct error *err)
{
	const char *colon = strchr(text, ':');
	char domain[16];

	if (!colon || (size_t)(colon - text) >= sizeof domain)
		return error_set(err, -EINVAL,
		                 "invalid disk ID `%s`: DOMID:VDEV is expected, as in 7:xvda",
		                 text);
	snprintf(domain, sizeof domain, "%.*s", (int)(colon - text), text);
	if (parse_u32(domain, 1, XEN_DOMID_MAX, &opt->domid))
		return error_set(err, -EINVAL,
		                 "invalid domain id `%s`: a number from 1 to %u is expected",
		                 domain, XEN_DOMID_MAX);
	return parse_vdev(colon + 1, &opt->devid, err);
}

static int check_attach(const struct args *args, struct ctl_options *opt, struct error *err)
{
	if (!opt->domid)
		return error_set(err, -EINVAL, "attach needs --domain N, the guest's number");
	if (!opt->vdev)
		return error_set(err, -EINVAL, "attach needs --vdev NAME, as in --vdev xvda");
	if (args_given(&ctl_program, args, "mode"))
		opt->mode = modes[opt->mode_word];
	if (opt->cdrom && opt->mode && opt->mode[0] == 'w')
		return error_set(err, -EINVAL, "--cdrom goes with --mode r only");
	opt->target = args->word[0];
	if (!*opt->target)
		return error_set(err, -EINVAL, "the TARGET is empty; name an image");
	return parse_vdev(opt->vdev, &opt->devid, err);
}

static int join_fault(const struct args *args, struct ctl_options *opt, struct error *err)
{
	size_t len = 0;

	for (unsigned i = 0; i < args->words; i++) {
		len += (size_t)snprintf(opt->fault + len, sizeof opt->fault - len, "%s%s",
		                        i ? " " : "", args->word[i]);
		if (len >= sizeof opt->fault)
			return error_set(err, -EINVAL, "the fault's text is too long");
	}
	return 0;
}

static int check_words(const struct args *args, struct ctl_options *opt, struct error *err)
{
	int rc;

	if (opt->command == CTL_FAULT)
		return join_fault(args, opt, err);
	if (opt->command == CTL_HOTPLUG)
		opt->action = args->word[0];
	if (opt->command == CTL_HOTPLUG || opt->command == CTL_HELP || !args->words)
		return 0;
	if (opt->all)
		return error_set(err, -EINVAL, "upgrade takes an ID or --all, not both");
	opt->has_device = true;
	rc = opt->command == CTL_ATTACH ? check_attach(args, opt, err)
	                                : parse_id(args->word[0], opt, err);
	if (!rc)
		toolstack_id(opt->domid, opt->devid, opt->id);
	return rc;
}

int ctl_parse(int argc, char **argv, struct ctl_options *opt, struct error *err)
{
	struct args args;
	int rc;

	*opt = (struct ctl_options){.run_dir = getenv("XENBLKD_RUN_DIR") ?: "/run/xenblkd",
	                            .timeout_s = TOOLSTACK_OPEN_MS / 1000};
	rc = args_parse(&ctl_program, argc, argv, opt, &args, err);
	if (rc)
		return rc;
	opt->command = args.help ? CTL_HELP : (enum ctl_command)args.command;
	if (!*opt->run_dir)
		return error_set(err, -EINVAL, "the run directory's name is empty");
	return args.help ? 0 : check_words(&args, opt, err);
}
