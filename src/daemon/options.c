/* SPDX-License-Identifier: MIT */
/* Command line of the supervisor. */
#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "daemon/config.h"

#define DEFAULT_RUN_DIR "/run/xenblkd"

enum {
	OPT_EMBEDDED = 256,
	OPT_RUN_DIR,
	OPT_KINDS,
	OPT_PROTOCOL,
	OPT_NO_HOTPLUG,
	OPT_SYSFS,
	OPT_TEST_FAULTS,
	OPT_CONFIG,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_VERSION,
	OPT_CHECK_UPGRADE,
	OPT_SETTING /* and one for each line of the table of settings */
};

static const struct option own_options[] = {
    {"embedded", required_argument, NULL, OPT_EMBEDDED},
    {"run-dir", required_argument, NULL, OPT_RUN_DIR},
    {"kinds", required_argument, NULL, OPT_KINDS},
    {"default-protocol", required_argument, NULL, OPT_PROTOCOL},
    {"no-hotplug", no_argument, NULL, OPT_NO_HOTPLUG},
    {"sysfs", required_argument, NULL, OPT_SYSFS},       /* for tests */
    {"test-faults", no_argument, NULL, OPT_TEST_FAULTS}, /* for tests */
    {"config", required_argument, NULL, OPT_CONFIG},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"check-upgrade", required_argument, NULL, OPT_CHECK_UPGRADE}, /* for xenblkd itself */
};
#define OWN_OPTIONS (sizeof own_options / sizeof *own_options)
#define OPTIONS_MAX (OWN_OPTIONS + SETTINGS_MAX + 1)

static const char help[] =
    "usage: xenblkd [OPTION]...\n"
    "Serves Xen block devices from user space: one xenblkd-worker process per disk.\n"
    "Stays in the foreground, prints \"ready\" when it has found all devices.\n"
    "\n"
    "  --embedded DIR           run on an embedded Xen in DIR, started if it is not there yet; a\n"
    "                           directory of this user's own, as of `mktemp -d`;\n"
    "                           implies --run-dir DIR\n"
    "  --run-dir DIR            sockets, journals and statistics (default " DEFAULT_RUN_DIR
    "), made\n"
    "                           0700; refused if others could change it\n"
    "  --kinds KIND[,KIND]...   serve backend/KIND for each (default vbd,vbd3; vbd on\n"
    "                           an embedded Xen)\n"
    "  --default-protocol ABI   of front ends that name none: x86_32-abi, x86_64-abi or native\n"
    "                           (default x86_32-abi on x86, as Linux has it)\n"
    "  --no-hotplug             open images without waiting for a hotplug script: for a driver\n"
    "                           domain without `xl devd`, whose disks are then also tidied up\n"
    "  --config FILE            settings of all disks ([defaults]) and of single ones ([disk ID],\n"
    "                           [disk IMAGE]), by the names below; a disk's own count most, then\n"
    "                           those of the command line\n"
    "  --verbose                log every step\n"
    "  --help, --version\n"
    "\n"
    "What front ends are offered:\n";

static const char help_end[] =
    "\n"
    "SIGTERM ends it: workers drain and end, guests wait until it is started again.\n";

static int bad(const char *option, const char *value, const char *remedy)
{
	fprintf(stderr, "xenblkd: --%s \"%s\": %s\n", option, value, remedy);
	return 2;
}

static int parse_kinds(struct options *opt, const char *list)
{
	opt->nr_kinds = 0;
	for (const char *p = list;; p++) {
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
		if (!n || n >= KIND_NAME_MAX || (p[n] && p[n] != ','))
			return bad("kinds", list, "is not a list like vbd,vbd3");
		if (opt->nr_kinds == MAX_KINDS)
			return bad("kinds", list, "names too many kinds; 8 are possible");
		for (unsigned i = 0; i < opt->nr_kinds; i++)
			if (strlen(opt->kinds[i]) == n && !strncmp(opt->kinds[i], p, n))
				return bad("kinds", list, "names a kind twice");
		snprintf(opt->kinds[opt->nr_kinds++], KIND_NAME_MAX, "%.*s", (int)n, p);
		p += n;
		if (!*p)
			return -1;
	}
}

static int show_help(void)
{
	fputs(help, stdout);
	for (unsigned i = 0; i < settings_count; i++)
		fputs(settings_table[i].help, stdout);
	fputs(help_end, stdout);
	return 0;
}

static int parse_setting(struct options *opt, unsigned index)
{
	struct settings scratch;
	struct error err;

	opt->given[index] = optarg;
	if (!settings_set(&scratch, index, optarg, &err))
		return -1;
	fprintf(stderr, "xenblkd: --%s\n", err.text);
	return 2;
}

static int parse_one(struct options *opt, int c)
{
	switch (c) {
	case OPT_EMBEDDED:
		opt->embedded = optarg;
		return *optarg ? -1 : bad("embedded", optarg, "is no directory");
	case OPT_RUN_DIR:
		opt->run_dir = optarg;
		return *optarg ? -1 : bad("run-dir", optarg, "is no directory");
	case OPT_KINDS:
		return parse_kinds(opt, optarg);
	case OPT_PROTOCOL:
		if (blkif_protocol_parse(optarg, &opt->default_protocol))
			return bad("default-protocol", optarg,
			           "is unknown; x86_32-abi, x86_64-abi and native are known");
		return -1;
	case OPT_NO_HOTPLUG:
		opt->no_hotplug = true;
		return -1;
	case OPT_SYSFS:
		opt->sysfs = optarg;
		return -1;
	case OPT_TEST_FAULTS:
		opt->test_faults = true;
		return -1;
	case OPT_CONFIG:
		opt->config = optarg;
		return -1;
	case OPT_VERBOSE:
		opt->verbose = true;
		return -1;
	case OPT_CHECK_UPGRADE:
		if (parse_u32(optarg, 1, UINT32_MAX, &opt->check_upgrade))
			return bad("check-upgrade", optarg, "is no number");
		return -1;
	case OPT_HELP:
		return show_help();
	case OPT_VERSION:
		puts("xenblkd " XENBLKD_VERSION);
		return 0;
	}
	if (c >= OPT_SETTING)
		return parse_setting(opt, (unsigned)(c - OPT_SETTING));
	fputs("xenblkd: see xenblkd --help\n", stderr);
	return 2;
}

static void list_options(struct option all[OPTIONS_MAX])
{
	memcpy(all, own_options, sizeof own_options);
	for (unsigned i = 0; i < settings_count; i++)
		all[OWN_OPTIONS + i] = (struct option){settings_table[i].name, required_argument,
		                                       NULL, OPT_SETTING + (int)i};
}

int options_settings(struct options *opt, struct config **config, struct error *err)
{
	int rc;

	settings_default(&opt->settings);
	rc = config_load(opt->config, &opt->settings, config, err);
	for (unsigned i = 0; i < settings_count && !rc; i++)
		if (opt->given[i])
			rc = settings_set(&opt->settings, i, opt->given[i], err);
	return rc;
}

int options_parse(int argc, char **argv, struct options *opt)
{
	struct option all[OPTIONS_MAX] = {0};
	int c, rc = -1;

	list_options(all);
	*opt = (struct options)
	{
		.kinds = {"vbd", "vbd3"},
#if defined(__i386__) || defined(__x86_64__)
		.default_protocol = BLKIF_PROTO_X86_32,
#else
		.default_protocol = BLKIF_PROTO_NATIVE,
#endif
	};
	while (rc < 0 && (c = getopt_long(argc, argv, "", all, NULL)) != -1)
		rc = parse_one(opt, c);
	if (rc < 0 && optind < argc) {
		fprintf(stderr, "xenblkd: \"%s\" is no option; see xenblkd --help\n", argv[optind]);
		rc = 2;
	}
	if (rc < 0 && opt->embedded && opt->run_dir && strcmp(opt->embedded, opt->run_dir))
		rc = bad("run-dir", opt->run_dir,
		         "--embedded DIR implies --run-dir DIR; leave it out");
	/* A machine may run a real Xen beside the embedded one: its kernel's drivers do not matter.
	 */
	if (!opt->embedded && !opt->sysfs)
		opt->sysfs = "/sys";
	if (!opt->nr_kinds)
		opt->nr_kinds = opt->embedded ? 1 : 2;
	if (!opt->run_dir)
		opt->run_dir = opt->embedded ? opt->embedded : DEFAULT_RUN_DIR;
	return rc;
}
