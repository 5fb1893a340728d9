/* SPDX-License-Identifier: MIT */
/* Command line of the supervisor. */
#include "daemon/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "daemon/config.h"

#define DEFAULT_RUN_DIR "/run/xenblkd"
#define AT(field) offsetof(struct options, field)

static const struct arg_option own_options[] = {
    {"embedded", ARG_TEXT, AT(embedded), "DIR",
     "run on an embedded Xen in DIR, started if it does not run yet; a directory of this user's "
     "own, as of `mktemp -d`; implies --run-dir DIR"},
    {"run-dir", ARG_TEXT, AT(run_dir), "DIR",
     "sockets, journals and statistics (default " DEFAULT_RUN_DIR "), made 0700; refused if "
     "others could change it"},
    {"kinds", ARG_TEXT, AT(kinds_text), "KIND,...",
     "serve backend/KIND for each (default vbd,vbd3; vbd on an embedded Xen)"},
    {"default-protocol", ARG_TEXT, AT(protocol_text), "ABI",
     "of front ends that name none: x86_32-abi, x86_64-abi or native (default x86_32-abi on x86, "
     "as Linux has it)"},
    {"no-hotplug", ARG_SWITCH, AT(no_hotplug), NULL,
     "open images without waiting for a hotplug script: for a driver domain without `xl devd`, "
     "whose disks are then also tidied up"},
    {"config", ARG_TEXT, AT(config), "FILE",
     "settings of all disks ([defaults]) and of single ones ([disk ID], [disk IMAGE]), by the "
     "names below; a disk's own count most, then those of the command line"},
    {"verbose", ARG_SWITCH, AT(verbose), NULL, "log every step"},
    {"version", ARG_SWITCH, AT(version), NULL, "print the version"},
    {"sysfs", ARG_TEXT, AT(sysfs), "DIR"},                                         /* for tests */
    {"test-faults", ARG_SWITCH, AT(test_faults)},                                  /* for tests */
    {"check-upgrade", ARG_NUMBER, AT(check_upgrade), "N", NULL, 0, 1, UINT32_MAX}, /* for xenblkd */
    {.kind = ARG_HEADING, .help = "What front ends are offered:"},
};
#define OWN_OPTIONS ARG_COUNT(own_options)
_Static_assert(OWN_OPTIONS + SETTINGS_MAX <= ARG_OPTIONS_MAX, "room for all");

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

/* What --help and argp see: the options above, and one for each line of the table of settings. */
static struct arg_program make_program(struct arg_option all[ARG_OPTIONS_MAX])
{
	memcpy(all, own_options, sizeof own_options);
	for (unsigned i = 0; i < settings_count; i++)
		all[OWN_OPTIONS + i] = (struct arg_option){
		    settings_table[i].name, ARG_TEXT, AT(given) + i * sizeof(const char *),
		    settings_table[i].value, settings_table[i].help};
	return (struct arg_program){
	    "xenblkd",
	    NULL,
	    "Serves Xen block devices from user space: one xenblkd-worker process per disk. Stays "
	    "in "
	    "the foreground, prints \"ready\" when it has found all devices.",
	    "SIGTERM ends it: workers drain and end, guests wait until it is started again.",
	    all,
	    OWN_OPTIONS + settings_count,
	    NULL,
	    0};
}

static int check_settings(const struct options *opt)
{
	struct settings scratch;
	struct error err;

	for (unsigned i = 0; i < settings_count; i++)
		if (opt->given[i] && settings_set(&scratch, i, opt->given[i], &err)) {
			fprintf(stderr, "xenblkd: --%s\n", err.text);
			return 2;
		}
	return -1;
}

static int check(struct options *opt)
{
	if (opt->embedded && !*opt->embedded)
		return bad("embedded", "", "name a directory");
	if (opt->run_dir && !*opt->run_dir)
		return bad("run-dir", "", "name a directory");
	if (opt->protocol_text && blkif_protocol_parse(opt->protocol_text, &opt->default_protocol))
		return bad("default-protocol", opt->protocol_text,
		           "is unknown; x86_32-abi, x86_64-abi and native are known");
	if (opt->embedded && opt->run_dir && strcmp(opt->embedded, opt->run_dir))
		return bad("run-dir", opt->run_dir,
		           "--embedded DIR implies --run-dir DIR; leave it out");
	int rc = opt->kinds_text ? parse_kinds(opt, opt->kinds_text) : -1;
	return rc < 0 ? check_settings(opt) : rc;
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
	struct arg_option all[ARG_OPTIONS_MAX];
	struct arg_program program = make_program(all);
	struct error err;
	struct args args;

	*opt = (struct options)
	{
		.kinds = {"vbd", "vbd3"},
#if defined(__i386__) || defined(__x86_64__)
		.default_protocol = BLKIF_PROTO_X86_32,
#else
		.default_protocol = BLKIF_PROTO_NATIVE,
#endif
	};
	if (args_parse(&program, argc, argv, opt, &args, &err)) {
		fprintf(stderr, "xenblkd: %s\n", err.text);
		return 2;
	}
	if (args.help)
		args_help(&program, stdout);
	else if (opt->version)
		puts("xenblkd " XENBLKD_VERSION);
	if (args.help || opt->version)
		return 0;
	int rc = check(opt);
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
