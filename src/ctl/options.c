/* SPDX-License-Identifier: MIT */
/* Command line parsing: options may stand anywhere, each is known only to the commands that use it.
 */
#include "ctl/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "blkif/vdev.h"

const char ctl_help[] =
    "Usage: xenblkctl [--run-dir DIR] COMMAND [OPTION…]\n"
    "\n"
    "  list                    the disks that xenblkd serves\n"
    "  status ID               everything about one disk\n"
    "  stats [ID]              its counters, or those of all disks\n"
    "  attach TARGET --domain N --vdev xvda\n"
    "                          gives domain N of an embedded Xen a disk, as xl block-attach does\n"
    "                          on a real one; makes the domain if it is not there\n"
    "      --mode r|w|w!       read-only, writable (default), writable and shared\n"
    "      --cdrom             a CD-ROM drive: read-only, removable\n"
    "      --removable         says so to the guest\n"
    "      --no-discard        the guest may not discard (TRIM)\n"
    "      --no-script         no hotplug script: xenblkd opens the image at sight\n"
    "      --timeout S         how long opening may take (default 30)\n"
    "  detach ID [--force]     takes the disk away; with --force even if nobody answers\n"
    "  resize ID               looks whether its image has grown or shrunk, and tells the guest\n"
    "  hotplug add|remove      what xl runs by way of the script block-xenblkd\n"
    "  fault WORD…             embedded Xen: makes something go wrong (`fault clear` ends it)\n"
    "  usage                   embedded Xen: domains, grants, event channels in use\n"
    "  recover ID              tries a disk again whose workers died too often; its guest goes on\n"
    "  upgrade                 xenblkd becomes the program that is installed now; no I/O stops\n"
    "  upgrade ID              the disk's worker is replaced by the one installed now, after a "
    "drain\n"
    "  upgrade --all           xenblkd, then the workers of all disks, one after the other\n"
    "  shutdown                stops xenblkd and its workers\n"
    "  version                 of this program and of the running xenblkd\n"
    "\n"
    "ID is DOMID:VDEV, as in 7:xvda. TARGET is the path of a raw image or block device, or\n"
    "null:SIZE. --json with list, status, stats, usage and version prints JSON.\n"
    "DIR is xenblkd's run directory: $XENBLKD_RUN_DIR, or /run/xenblkd.\n"
    "Exit status: 0, 1 if it failed, 2 if the command line is wrong.\n";

#define BIT(command) (1u << (command))
#define READING \
	(BIT(CTL_LIST) | BIT(CTL_STATUS) | BIT(CTL_STATS) | BIT(CTL_USAGE) | BIT(CTL_VERSION))

static const struct command {
	const char *name;
	enum ctl_command command;
	unsigned min_words, max_words; /* behind the command's own */
	const char *wants;
} commands[] = {
    {"list", CTL_LIST, 0, 0, "no argument"},
    {"status", CTL_STATUS, 1, 1, "one ID, as in `xenblkctl status 7:xvda`"},
    {"stats", CTL_STATS, 0, 1, "at most one ID, as in `xenblkctl stats 7:xvda`"},
    {"attach", CTL_ATTACH, 1, 1,
     "one TARGET, as in `xenblkctl attach disk.img --domain 1 --vdev xvda`"},
    {"detach", CTL_DETACH, 1, 1, "one ID, as in `xenblkctl detach 7:xvda`"},
    {"resize", CTL_RESIZE, 1, 1, "one ID, as in `xenblkctl resize 7:xvda`"},
    {"hotplug", CTL_HOTPLUG, 1, 1, "add or remove; it is for xl, by way of block-xenblkd"},
    {"fault", CTL_FAULT, 1, 16, "what is to fail, as in `xenblkctl fault conflict 3`"},
    {"usage", CTL_USAGE, 0, 0, "no argument"},
    {"recover", CTL_RECOVER, 1, 1, "one ID, as in `xenblkctl recover 7:xvda`"},
    {"upgrade", CTL_UPGRADE, 0, 1, "one ID, --all, or nothing for xenblkd itself"},
    {"shutdown", CTL_SHUTDOWN, 0, 0, "no argument"},
    {"version", CTL_VERSION, 0, 0, "no argument"},
    {"help", CTL_HELP, 0, 1, "no argument"},
};

enum option_id {
	OPT_RUN_DIR,
	OPT_JSON,
	OPT_FORCE,
	OPT_ALL,
	OPT_DOMAIN,
	OPT_VDEV,
	OPT_MODE,
	OPT_CDROM,
	OPT_REMOVABLE,
	OPT_NO_DISCARD,
	OPT_NO_SCRIPT,
	OPT_TIMEOUT,
	OPT_HELP,
	OPTIONS,
};

static const struct option {
	const char *name;
	bool has_value;
	unsigned commands; /* bits of those that know it */
} options[OPTIONS] = {
    [OPT_RUN_DIR] = {"run-dir", true, ~0u},
    [OPT_JSON] = {"json", false, READING},
    [OPT_FORCE] = {"force", false, BIT(CTL_DETACH)},
    [OPT_ALL] = {"all", false, BIT(CTL_UPGRADE)},
    [OPT_DOMAIN] = {"domain", true, BIT(CTL_ATTACH)},
    [OPT_VDEV] = {"vdev", true, BIT(CTL_ATTACH)},
    [OPT_MODE] = {"mode", true, BIT(CTL_ATTACH)},
    [OPT_CDROM] = {"cdrom", false, BIT(CTL_ATTACH)},
    [OPT_REMOVABLE] = {"removable", false, BIT(CTL_ATTACH)},
    [OPT_NO_DISCARD] = {"no-discard", false, BIT(CTL_ATTACH)},
    [OPT_NO_SCRIPT] = {"no-script", false, BIT(CTL_ATTACH)},
    [OPT_TIMEOUT] = {"timeout", true, BIT(CTL_ATTACH)},
    [OPT_HELP] = {"help", false, ~0u},
};

#define WORDS_MAX 18

/* Owned by ctl_parse: the command line sorted into options and words. */
struct sorted {
	const char *value[OPTIONS]; /* "" for those without one; NULL: not given */
	const char *word[WORDS_MAX];
	unsigned words;
};

static int take_option(const char *arg, const char *next, bool *took_next, struct sorted *out,
                       struct error *err)
{
	const char *equals = strchr(arg, '=');
	size_t len = equals ? (size_t)(equals - arg) : strlen(arg);

	for (int i = 0; i < OPTIONS; i++) {
		const struct option *o = &options[i];
		if (strlen(o->name) != len - 2 || strncmp(arg + 2, o->name, len - 2))
			continue;
		if (!o->has_value && equals)
			return error_set(err, -EINVAL, "--%s takes no value", o->name);
		*took_next = o->has_value && !equals;
		out->value[i] = !o->has_value ? "" : equals ? equals + 1 : next;
		if (!out->value[i])
			return error_set(err, -EINVAL, "--%s needs a value", o->name);
		return 0;
	}
	return error_set(err, -EINVAL, "unknown option %.*s; see xenblkctl --help", (int)len, arg);
}

static int sort_arguments(int argc, char **argv, struct sorted *out, struct error *err)
{
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		bool took_next = false;
		int rc;

		/* Words of a fault may be negative numbers. */
		bool fault = out->words && !strcmp(out->word[0], "fault");
		if (!only_words && !strcmp(arg, "--")) {
			only_words = true;
			continue;
		}
		if (!only_words && !strcmp(arg, "-h"))
			arg = "--help";
		if (!only_words && !strncmp(arg, "--", 2)) {
			rc = take_option(arg, i + 1 < argc ? argv[i + 1] : NULL, &took_next, out,
			                 err);
			if (rc)
				return rc;
			i += took_next;
			continue;
		}
		if (!only_words && arg[0] == '-' && arg[1] && !fault)
			return error_set(err, -EINVAL, "unknown option %s; see xenblkctl --help",
			                 arg);
		if (out->words == WORDS_MAX)
			return error_set(err, -EINVAL, "too many words, from `%s` on", arg);
		out->word[out->words++] = arg;
	}
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int parse_domain(const char *text, unsigned *out, struct error *err)
{
	uint32_t domid;

	if (parse_u32(text, 1, XEN_DOMID_MAX, &domid))
		return error_set(err, -EINVAL,
		                 "`%s` is no guest's domain id; it is a number 1 to %u", text,
		                 XEN_DOMID_MAX);
	*out = domid;
	return 0;
}

static int parse_vdev(const char *text, uint32_t *out, struct error *err)
{
	if (vdev_parse(text, out))
		return error_set(
		    err, -EINVAL,
		    "`%s` is no virtual device; write xvda, xvdb1, hda, sdc … or its number", text);
	return 0;
}

static int parse_id(const char *text, struct ctl_options *opt, struct error *err)
{
	const char *colon = strchr(text, ':');
	char domain[16];

	if (!colon || (size_t)(colon - text) >= sizeof domain)
		return error_set(err, -EINVAL,
		                 "`%s` is no disk's ID; it is DOMID:VDEV, as in 7:xvda", text);
	snprintf(domain, sizeof domain, "%.*s", (int)(colon - text), text);
	return parse_domain(domain, &opt->domid, err) ?: parse_vdev(colon + 1, &opt->devid, err);
}

static int parse_attach(const struct sorted *args, struct ctl_options *opt, struct error *err)
{
	const char *mode = args->value[OPT_MODE], *timeout = args->value[OPT_TIMEOUT];
	uint32_t seconds = TOOLSTACK_OPEN_MS / 1000;
	int rc;

	if (!args->value[OPT_DOMAIN])
		return error_set(err, -EINVAL, "attach needs --domain N, the guest's number");
	if (!args->value[OPT_VDEV])
		return error_set(err, -EINVAL, "attach needs --vdev NAME, as in --vdev xvda");
	rc = parse_domain(args->value[OPT_DOMAIN], &opt->domid, err)
	         ?: parse_vdev(args->value[OPT_VDEV], &opt->devid, err);
	if (rc)
		return rc;
	if (mode && strcmp(mode, "r") && strcmp(mode, "w") && strcmp(mode, "w!"))
		return error_set(
		    err, -EINVAL,
		    "`%s` is no mode; it is r (read-only), w (writable) or w! (writable "
		    "and shared)",
		    mode);
	opt->cdrom = args->value[OPT_CDROM];
	if (opt->cdrom && mode && mode[0] == 'w')
		return error_set(err, -EINVAL, "--cdrom goes with --mode r only");
	if (timeout && parse_u32(timeout, 1, 3600, &seconds))
		return error_set(err, -EINVAL, "`%s` is no time-out; it is 1 to 3600 seconds",
		                 timeout);
	opt->target = args->word[1];
	if (!*opt->target)
		return error_set(err, -EINVAL, "the TARGET is empty; name an image");
	opt->mode = mode;
	opt->timeout_s = seconds;
	opt->removable = args->value[OPT_REMOVABLE];
	opt->no_discard = args->value[OPT_NO_DISCARD];
	opt->no_script = args->value[OPT_NO_SCRIPT];
	return 0;
}

static int parse_fault(const struct sorted *args, struct ctl_options *opt, struct error *err)
{
	size_t len = 0;

	for (unsigned i = 1; i < args->words; i++) {
		len += (size_t)snprintf(opt->fault + len, sizeof opt->fault - len, "%s%s",
		                        i > 1 ? " " : "", args->word[i]);
		if (len >= sizeof opt->fault)
			return error_set(err, -EINVAL, "the fault's text is too long");
	}
	return 0;
}

static int parse_command(const struct command *c, const struct sorted *args,
                         struct ctl_options *opt, struct error *err)
{
	int rc = 0;

	for (int i = 0; i < OPTIONS; i++)
		if (args->value[i] && !(options[i].commands & BIT(c->command)))
			return error_set(err, -EINVAL, "%s has no option --%s", c->name,
			                 options[i].name);
	if (args->words - 1 < c->min_words || args->words - 1 > c->max_words)
		return error_set(err, -EINVAL, "%s wants %s", c->name, c->wants);
	opt->has_device =
	    c->command == CTL_ATTACH ||
	    (args->words > 1 &&
	     (BIT(c->command) & (BIT(CTL_STATUS) | BIT(CTL_STATS) | BIT(CTL_DETACH) |
	                         BIT(CTL_RESIZE) | BIT(CTL_RECOVER) | BIT(CTL_UPGRADE))));
	if (c->command == CTL_ATTACH)
		rc = parse_attach(args, opt, err);
	else if (c->command == CTL_HOTPLUG)
		opt->action = args->word[1];
	else if (c->command == CTL_FAULT)
		rc = parse_fault(args, opt, err);
	else if (opt->all && args->words > 1)
		rc = error_set(err, -EINVAL, "upgrade takes an ID or --all, not both");
	else if (opt->has_device)
		rc = parse_id(args->word[1], opt, err);
	if (!rc && opt->has_device)
		toolstack_id(opt->domid, opt->devid, opt->id);
	return rc;
}

int ctl_parse(int argc, char **argv, struct ctl_options *opt, struct error *err)
{
	struct sorted args = {0};
	const struct command *c;
	int rc;

	*opt = (struct ctl_options){0};
	rc = sort_arguments(argc, argv, &args, err);
	if (rc)
		return rc;
	opt->run_dir = args.value[OPT_RUN_DIR] ?: getenv("XENBLKD_RUN_DIR") ?: "/run/xenblkd";
	if (!*opt->run_dir)
		return error_set(err, -EINVAL, "the run directory's name is empty");
	opt->json = args.value[OPT_JSON];
	opt->force = args.value[OPT_FORCE];
	opt->all = args.value[OPT_ALL];
	if (args.value[OPT_HELP]) {
		opt->command = CTL_HELP;
		return 0;
	}
	if (!args.words)
		return error_set(err, -EINVAL, "no command given; see xenblkctl --help");
	c = find_command(args.word[0]);
	if (!c)
		return error_set(err, -EINVAL, "unknown command `%s`; see xenblkctl --help",
		                 args.word[0]);
	opt->command = c->command;
	return parse_command(c, &args, opt, err);
}
