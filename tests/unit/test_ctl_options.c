/* SPDX-License-Identifier: MIT */
/* xenblkctl's command line: what is taken, and the word that is named when it is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/options.h"

#define WORDS 24

/* The words of line, split at blanks; '_' stands for an empty word. */
static int parse(const char *line, struct ctl_options *opt, struct error *err)
{
	static char copy[512];
	char *argv[WORDS + 1] = {"xenblkctl"}, *save = NULL;
	int argc = 1;

	err->text[0] = '\0';
	strncpy(copy, line, sizeof copy - 1);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "_") ? w : "";
	return ctl_parse(argc, argv, opt, err);
}

static void attach(void **state)
{
	struct ctl_options opt;
	struct error err;

	unsetenv("XENBLKD_RUN_DIR");
	assert_int_equal(parse("attach disk.img --domain 1 --vdev xvda", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_ATTACH);
	assert_string_equal(opt.run_dir, "/run/xenblkd");
	assert_string_equal(opt.target, "disk.img");
	assert_string_equal(opt.id, "1:xvda");
	assert_int_equal(opt.domid, 1);
	assert_int_equal(opt.devid, 51712);
	assert_null(opt.mode);
	assert_int_equal(opt.timeout_s, 30);
	assert_false(opt.cdrom || opt.removable || opt.no_discard || opt.no_script || opt.json);

	assert_int_equal(
	    parse("--run-dir=/a attach --mode w! --vdev 51728 --domain=32751 --removable "
	          "--no-discard --no-script --timeout 5 -- --x",
	          &opt, &err),
	    0);
	assert_string_equal(opt.run_dir, "/a");
	assert_string_equal(opt.target, "--x");
	assert_string_equal(opt.id, "32751:xvdb");
	assert_string_equal(opt.mode, "w!");
	assert_int_equal(opt.timeout_s, 5);
	assert_true(opt.removable && opt.no_discard && opt.no_script && !opt.cdrom);
}

static void devices(void **state)
{
	struct ctl_options opt;
	struct error err;

	setenv("XENBLKD_RUN_DIR", "/env", 1);
	assert_int_equal(parse("status 7:xvda --json", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_STATUS);
	assert_string_equal(opt.run_dir, "/env");
	assert_true(opt.json);
	assert_string_equal(opt.id, "7:xvda");
	assert_int_equal(parse("detach 7:51713 --force", &opt, &err), 0);
	assert_string_equal(opt.id, "7:xvda1");
	assert_true(opt.force);
	assert_int_equal(parse("resize 7:xvda", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_RESIZE);
	assert_string_equal(opt.id, "7:xvda");
	assert_int_equal(parse("resize", &opt, &err), -EINVAL);
	assert_int_equal(parse("stats", &opt, &err), 0);
	assert_false(opt.has_device);
	assert_int_equal(parse("stats 7:hda", &opt, &err), 0);
	assert_true(opt.has_device);
	assert_int_equal(opt.devid, 768);
	assert_int_equal(parse("upgrade", &opt, &err), 0);
	assert_false(opt.has_device || opt.all);
	assert_int_equal(parse("upgrade 7:xvda", &opt, &err), 0);
	assert_string_equal(opt.id, "7:xvda");
	assert_int_equal(parse("upgrade --all", &opt, &err), 0);
	assert_true(opt.all);
	assert_int_equal(parse("recover 7:xvda", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_RECOVER);
	assert_string_equal(opt.id, "7:xvda");
	unsetenv("XENBLKD_RUN_DIR");
}

/* A fault's words may be negative numbers. */
static void faults(void **state)
{
	struct ctl_options opt;
	struct error err;

	assert_int_equal(parse("fault grant 1 8 -3 2 --run-dir /a", &opt, &err), 0);
	assert_string_equal(opt.fault, "grant 1 8 -3 2");
	assert_string_equal(opt.run_dir, "/a");
	assert_int_equal(parse("list -3", &opt, &err), -EINVAL);
}

static void refused(void **state)
{
	static const struct {
		const char *line, *named;
	} cases[] = {
	    {"", "no command"},
	    {"frobnicate", "unknown command `frobnicate`; see xenblkctl --help"},
	    {"statsu 7:xvda", "unknown command `statsu`; did you mean stats?"},
	    {"detahc 7:xvda", "unknown command `detahc`; did you mean detach?"},
	    {"detach 7:xvda --forec", "unknown option --forec; did you mean --force?"},
	    {"attach a --domian=1 --vdev xvda", "unknown option --domian; did you mean --domain?"},
	    {"list --x", "unknown option --x; see xenblkctl --help"},
	    {"list --frob", "--frob"},
	    {"upgrade 7:xvda --all", "not both"},
	    {"recover", "recover wants one ID"},
	    {"list -x", "unknown option -x"},
	    {"list --json -xy", "unknown option -xy"},
	    {"list more", "list wants"},
	    {"list --force", "list has no option --force"},
	    {"attach a --domain 1 --vdev xvda --json", "attach has no option --json"},
	    {"list --json=1", "--json takes no value"},
	    {"list --run-dir", "--run-dir needs a value"},
	    {"list --run-dir _", "run directory"},
	    {"status", "status wants one ID"},
	    {"status xvda", "invalid disk ID `xvda`"},
	    {"status 0:xvda", "invalid domain id `0`"},
	    {"status 32752:xvda", "invalid domain id `32752`"},
	    {"status 1:", "invalid virtual device ``"},
	    {"status 1:xvd", "invalid virtual device `xvd`"},
	    {"status 11111111111111111:xvda", "invalid disk ID"},
	    {"attach --domain 1 --vdev xvda", "attach wants one TARGET"},
	    {"attach _ --domain 1 --vdev xvda", "TARGET is empty"},
	    {"attach a --vdev xvda", "--domain"},
	    {"attach a --domain 1", "--vdev"},
	    {"attach a --domain x --vdev xvda", "invalid --domain `x`: a number from 1 to 32751"},
	    {"attach a --domain -1 --vdev xvda", "invalid --domain `-1`"},
	    {"attach a --domain 1 --vdev zvda", "`zvda`"},
	    {"attach a --domain 1 --vdev xvda --mode rw",
	     "invalid --mode `rw`: r, w or w! is expected"},
	    {"attach a --domain 1 --vdev xvda --cdrom --mode w", "--cdrom"},
	    {"attach a --domain 1 --vdev xvda --timeout 0", "invalid --timeout `0`"},
	    {"fault", "fault wants"},
	    {"fault 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "too many words"},
	    {"list --no-", "ambiguous option --no-"},
	    {"upgrade --all=yes", "--all takes no value"},
	};
	struct ctl_options opt;
	struct error err;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(cases[i].line, &opt, &err), -EINVAL);
		if (!strstr(err.text, cases[i].named))
			fail_msg("`%s`: \"%s\" does not name %s", cases[i].line, err.text,
			         cases[i].named);
	}
}

/* Everything that the parser knows stands in --help, and the other way round. */
static void help(void **state)
{
	static const char *const words[] = {
	    "--run-dir", "--json",      "--force",      "--domain",    "--vdev",    "--mode",
	    "--cdrom",   "--removable", "--no-discard", "--no-script", "--timeout", "list",
	    "status",    "stats",       "attach",       "detach",      "fault",     "usage",
	    "shutdown",  "version",     "upgrade",      "recover",     "--all",     "hotplug",
	    "resize",    "-h, --help"};
	char text[8192] = "";
	FILE *to = fmemopen(text, sizeof text, "w");
	struct ctl_options opt;
	struct error err;

	assert_non_null(to);
	args_help(&ctl_program, to);
	fclose(to);
	assert_int_equal(strncmp(text, "Usage: xenblkctl [OPTION...] COMMAND\n", 37), 0);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		assert_non_null(strstr(text, words[i]));
	for (const char *at = text; (at = strstr(at, "--")); at += 2) {
		char line[64];
		size_t len = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
		snprintf(line, sizeof line, "list --%.*s", (int)len, at + 2);
		parse(line, &opt, &err);
		if (strstr(err.text, "unknown option"))
			fail_msg("%s: %s", line, err.text);
	}
	assert_int_equal(parse("--help", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_HELP);
	assert_int_equal(parse("attach --help", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_HELP);
	assert_int_equal(parse("-h", &opt, &err), 0);
	assert_int_equal(opt.command, CTL_HELP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(attach), cmocka_unit_test(devices),
	                                   cmocka_unit_test(faults), cmocka_unit_test(refused),
	                                   cmocka_unit_test(help)};

	return cmocka_run_group_tests_name("ctl_options", tests, NULL, NULL);
}
