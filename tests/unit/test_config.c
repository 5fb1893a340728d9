/* SPDX-License-Identifier: MIT */
/* xenblkd's command line and configuration file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/options.h"

static char path[64];
static char said[8192];

/* Settings of the disk with that ID and image, by a file with that text. 0 or -errno, *err. */
static int load(const char *text, const char *id, const char *image, struct settings *s,
                struct error *err)
{
	struct config *c;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	settings_default(s);
	int rc = config_load(path, s, &c, err);
	if (!rc)
		config_apply(c, id, image, s);
	config_free(c);
	return rc;
}

/* A section counts for the image it names in full, whatever is in its path. */
static void long_and_odd_images(void **state)
{
	static const char *const images[] = {
	    "/srv/a/path/that/is/longer/than/fifty/bytes/because/it/may/be/disk.img",
	    "/srv/disks [1]/root.img",
	    "/srv/a ; b # c = d.img",
	};
	char text[512], other[128];
	struct settings s;
	struct error err;

	for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
		snprintf(text, sizeof text, "[disk %s]\nmax-queues = 3\n", images[i]);
		assert_int_equal(load(text, "7:xvda", images[i], &s, &err), 0);
		assert_int_equal(s.max_queues, 3);
		snprintf(other, sizeof other, "%.*s", (int)strlen(images[i]) - 1, images[i]);
		settings_default(&s);
		uint32_t normal = s.max_queues;
		assert_int_equal(load(text, "7:xvda", other, &s, &err), 0);
		assert_int_equal(s.max_queues, normal);
	}
}

/* Blanks do not count, nor do comments; what comes later wins. */
static void layout(void **state)
{
	struct settings s;
	struct error err;
	char text[1024];

	snprintf(text, sizeof text,
	         "# comment\n; too\n\n [ defaults ]\n  max-queues=2\n\tpersistent = 0\n"
	         "[disk 7:xvda]\nmax-queues = %300s\n  max-queues =5\r\n[disk /i]\nsector-size = "
	         "512",
	         "4");
	assert_int_equal(load(text, "7:xvda", "raw:/i", &s, &err), 0);
	assert_int_equal(s.max_queues, 5);
	assert_int_equal(s.persistent, 0);
	assert_int_equal(s.sector_size, SECTOR_512);
	assert_int_equal(load(text, "8:xvda", "", &s, &err), 0);
	assert_int_equal(s.max_queues, 2);
}

static void errors_name_the_line(void **state)
{
	static const char *const rows[][2] = {
	    {"[defaults]\n\nmax-queues = 17\n", " line 3: max-queues \"17\" is not a number"},
	    {"[defaults]\nmax-queue = 1\n", " line 2: "},
	    {"max-queues = 1\n", " line 1: "},
	    {"[defaults]\nmax-queues\n", " line 2: "},
	    {"\n[disk]\n", " line 2: "},
	    {"[disks 7:xvda]\n", " line 1: "},
	    {"[defaults\n", " line 1: "},
	    {"[defaults]\nmax-queues = 1\n[other]\npersistent = 7\n", " line 3: "},
	};
	struct settings s;
	struct error err;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_not_equal(load(rows[i][0], "7:xvda", "", &s, &err), 0);
		if (!strstr(err.text, rows[i][1]) || !strstr(err.text, path))
			fail_msg("row %zu: %s", i, err.text);
	}
	struct config *c;
	assert_int_equal(config_load("/nonexistent/file", &s, &c, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/file: No such file or directory"));
}

/* The status of options_parse; what it prints is in `said`. The words of line, split at blanks. */
static int parse(const char *line, struct options *opt)
{
	static char copy[512];
	char *argv[16] = {"xenblkd"}, *save = NULL;
	int argc = 1, saved[2] = {dup(1), dup(2)};
	FILE *f = tmpfile();

	assert_non_null(f);
	strncpy(copy, line, sizeof copy - 1);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "_") ? w : "";
	fflush(NULL);
	dup2(fileno(f), 1);
	dup2(fileno(f), 2);
	int rc = options_parse(argc, argv, opt);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i + 1);
		close(saved[i]);
	}
	rewind(f);
	said[fread(said, 1, sizeof said - 1, f)] = '\0';
	fclose(f);
	return rc;
}

static void taken(void **state)
{
	struct options opt;
	struct config *c;
	struct error err;

	assert_int_equal(parse("", &opt), -1);
	assert_string_equal(opt.run_dir, "/run/xenblkd");
	assert_string_equal(opt.sysfs, "/sys");
	assert_int_equal(opt.nr_kinds, 2);
	assert_int_equal(parse("--embedded /d --max-queues=3 --verbose", &opt), -1);
	assert_string_equal(opt.run_dir, "/d");
	assert_null(opt.sysfs);
	assert_int_equal(opt.nr_kinds, 1);
	assert_true(opt.verbose && !opt.no_hotplug && !opt.test_faults && !opt.check_upgrade);
	assert_int_equal(options_settings(&opt, &c, &err), 0);
	assert_int_equal(opt.settings.max_queues, 3);
	config_free(c);
	assert_int_equal(parse("--kinds qdisk,vbd --run-dir /r --no-hotplug --sysfs /s "
	                       "--default-protocol native --check-upgrade 3 --test-faults",
	                       &opt),
	                 -1);
	assert_string_equal(opt.kinds[0], "qdisk");
	assert_string_equal(opt.kinds[1], "vbd");
	assert_string_equal(opt.run_dir, "/r");
	assert_string_equal(opt.sysfs, "/s");
	assert_int_equal(opt.check_upgrade, 3);
	assert_int_equal(opt.default_protocol, BLKIF_PROTO_NATIVE);
	assert_true(opt.no_hotplug && opt.test_faults);
	assert_string_equal(said, "");
}

/* One line, with the option, the value and what would do. */
static void refused(void **state)
{
	static const char *const rows[][2] = {
	    {"more", "xenblkd: unexpected word `more`; see xenblkd --help\n"},
	    {"--frob", "xenblkd: unknown option --frob; see xenblkd --help\n"},
	    {"--run-dir", "xenblkd: --run-dir needs a value: DIR\n"},
	    {"--verbose=1", "xenblkd: --verbose takes no value\n"},
	    {"--max-queues 17", "xenblkd: --max-queues \"17\" is not a number from 1 to 16\n"},
	    {"--sector-size 5", "xenblkd: --sector-size \"5\" is none of: device, 512, 4096\n"},
	    {"--kinds vbd,vbd", "xenblkd: --kinds \"vbd,vbd\": names a kind twice\n"},
	    {"--default-protocol arm",
	     "xenblkd: --default-protocol \"arm\": is unknown; x86_32-abi, x86_64-abi and native "
	     "are known\n"},
	    {"--embedded /a --run-dir /b",
	     "xenblkd: --run-dir \"/b\": --embedded DIR implies --run-dir DIR; leave it out\n"},
	    {"--embedded _", "xenblkd: --embedded \"\": name a directory\n"},
	};
	struct options opt;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(parse(rows[i][0], &opt), 2);
		assert_string_equal(said, rows[i][1]);
	}
}

static void help_and_version(void **state)
{
	char option[64];
	struct options opt;

	assert_int_equal(parse("--version", &opt), 0);
	assert_int_equal(strncmp(said, "xenblkd ", 8), 0);
	assert_int_equal(parse("--help", &opt), 0);
	for (unsigned i = 0; i < settings_count; i++) {
		snprintf(option, sizeof option, "  --%s=", settings_table[i].name);
		assert_non_null(strstr(said, option));
	}
	assert_null(strstr(said, "check-upgrade"));
}

static int make_path(void **state)
{
	snprintf(path, sizeof path, "%s/xb-config-XXXXXX", "/tmp");
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(long_and_odd_images),
	    cmocka_unit_test(layout),
	    cmocka_unit_test(errors_name_the_line),
	    cmocka_unit_test(taken),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(help_and_version),
	};

	return cmocka_run_group_tests_name("config", tests, make_path, remove_path);
}
