/* SPDX-License-Identifier: MIT */
/* Which image a device shows: order of the keys, waiting for scripts, mode and info bits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_keys.h"
#include "xenbus/path.h"
#include "xenbus/source.h"

/* A store: "dir/name=value" words separated by blanks. */
static int get(void *arg, const char *dir, const char *name, char *buf, size_t cap)
{
	char key[64];

	snprintf(key, sizeof key, "%s/%s", dir, name);
	return fake_keys_get(arg, key, buf, cap);
}

static int read_source(const char *store, struct source *s, struct error *err)
{
	struct key_reader r = {get, (void *)(uintptr_t)store, "be", "fe"};

	err->text[0] = '\0';
	return source_read(&r, s, err);
}

static void which(void **state)
{
	static const struct {
		const char *store;
		enum source_kind kind;
		uint32_t major, minor;
		const char *text;
	} cases[] = {
	    {"be/mode=w", SOURCE_WAIT, 0, 0, ""},
	    /* no script: at once */
	    {"be/mode=w be/params=aio:/x", SOURCE_TARGET, 0, 0, "aio:/x"},
	    {"be/mode=w be/params=aio:/x be/script=", SOURCE_TARGET, 0, 0, "aio:/x"},
	    /* a script: when it says so */
	    {"be/mode=w be/params=/x be/script=block", SOURCE_WAIT, 0, 0, "/x"},
	    {"be/mode=w be/params=/x be/script=block be/hotplug-status=busy", SOURCE_WAIT, 0, 0,
	     "/x"},
	    {"be/mode=w be/params=/x be/script=block be/hotplug-status=connected", SOURCE_TARGET, 0,
	     0, "/x"},
	    {"be/mode=w be/params=/x be/script=block be/physical-device-path=/dev/l", SOURCE_TARGET,
	     0, 0, "/dev/l"},
	    {"be/mode=w be/params=/x be/script=block be/physical-device=7:1f", SOURCE_DEVICE, 7, 31,
	     "7:1f"},
	    {"be/mode=w be/params=/x be/physical-device-path=/dev/l be/physical-device=fd:a",
	     SOURCE_DEVICE, 253, 10, "fd:a"},
	    /* of a driver without a number of its own: either half makes a device */
	    {"be/mode=w be/params=/x be/script=block be/physical-device=0:1b", SOURCE_DEVICE, 0, 27,
	     "0:1b"},
	    {"be/mode=w be/params=/x be/script=block be/physical-device=8:0", SOURCE_DEVICE, 8, 0,
	     "8:0"},
	    /* not set yet */
	    {"be/mode=w be/params=/x be/script=block be/physical-device=0:0", SOURCE_WAIT, 0, 0,
	     "/x"},
	    {"be/mode=w be/params=/x be/script=block be/physical-device=", SOURCE_WAIT, 0, 0, "/x"},
	    /* a failed script's leavings are not opened */
	    {"be/mode=w be/params=/x be/script=block be/physical-device=7:1 "
	     "be/hotplug-status=error",
	     SOURCE_WAIT, 7, 1, "7:1"},
	    {"be/mode=w be/params=/x be/hotplug-status=error", SOURCE_WAIT, 0, 0, "/x"},
	    /* mode does not matter before there is something to open */
	    {"be/script=block", SOURCE_WAIT, 0, 0, ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct source s;
		struct error err;
		if (read_source(cases[i].store, &s, &err))
			fail_msg("%s: %s", cases[i].store, err.text);
		if (s.kind != cases[i].kind || s.major != cases[i].major ||
		    s.minor != cases[i].minor || strcmp(s.text, cases[i].text))
			fail_msg("%s: kind %d %u:%u \"%s\"", cases[i].store, s.kind, s.major,
			         s.minor, s.text);
	}
}

/* Where nobody runs scripts, params is what there is. */
static void no_hotplug(void **state)
{
	static const char store[] = "be/mode=w be/params=aio:/x be/script=block";
	struct key_reader r = {get, (void *)(uintptr_t)store, "be", "fe"};
	struct source s;
	struct error err;

	assert_int_equal(source_read(&r, &s, &err), 0);
	assert_int_equal(s.kind, SOURCE_WAIT);
	r.no_hotplug = true;
	assert_int_equal(source_read(&r, &s, &err), 0);
	assert_int_equal(s.kind, SOURCE_TARGET);
	assert_string_equal(s.text, "aio:/x");
}

static void bad(void **state)
{
	static const struct {
		const char *store;
		int rc;
		const char *text;
	} cases[] = {
	    {"be/mode=w be/physical-device=x", -EINVAL,
	     "physical-device \"x\" is not MAJOR:MINOR in hex, as a hotplug script writes it"},
	    {"be/mode=w be/physical-device=8:1:2", -EINVAL,
	     "physical-device \"8:1:2\" is not MAJOR:MINOR in hex, as a hotplug script writes it"},
	    {"be/mode=w be/physical-device=1000:0", -ERANGE,
	     "physical-device \"1000:0\" is not MAJOR:MINOR in hex, as a hotplug script writes it"},
	    {"be/params=/x", -ENOENT,
	     "key mode is missing; the toolstack must write \"r\" or \"w\" there"},
	    {"be/mode=wwwwwwwwwwwwwwwwwwwwwwww be/params=/x", -EMSGSIZE,
	     "mode is longer than 15 bytes; the toolstack or its script wrote nonsense"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct source s;
		struct error err;
		assert_int_equal(read_source(cases[i].store, &s, &err), cases[i].rc);
		assert_string_equal(err.text, cases[i].text);
		assert_int_equal(s.kind, SOURCE_WAIT);
	}
}

static void how(void **state)
{
	static const struct {
		const char *store;
		bool readonly, shared;
		unsigned info;
	} cases[] = {
	    {"be/params=/x be/mode=w", false, false, 0},
	    {"be/params=/x be/mode=r", true, false, 4},
	    {"be/params=/x be/mode=w!", false, true, 0},
	    {"be/params=/x be/mode=!r", true, true, 4},
	    {"be/params=/x be/mode=rw", false, false, 0},
	    {"be/params=/x be/mode=w be/removable=1", false, false, 2},
	    {"be/params=/x be/mode=w be/removable=0", false, false, 0},
	    {"be/params=/x be/mode=w be/removable=2", false, false, 0},
	    {"be/params=/x be/mode=r fe/device-type=cdrom be/removable=1", true, false, 7},
	    {"be/params=/x be/mode=w be/device-type=cdrom", false, false, 1},
	    {"be/params=/x be/mode=w be/device-type=cdrom fe/device-type=disk", false, false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct source s;
		struct error err;
		assert_int_equal(read_source(cases[i].store, &s, &err), 0);
		assert_int_equal(s.readonly, cases[i].readonly);
		assert_int_equal(s.shared, cases[i].shared);
		assert_int_equal(s.info, cases[i].info);
	}
}

/* An error about the image is over once one of its keys changes, so each must show. */
static void fingerprint(void **state)
{
	static const char *const stores[] = {
	    "be/mode=w",
	    "be/mode=r",
	    "be/mode=w be/params=/x",
	    "be/mode=w be/script=/x",
	    "be/mode=w be/physical-device-path=/x",
	    "be/mode=w be/physical-device=7:1",
	    "be/mode=w be/hotplug-status=connected",
	    "be/mode=w be/removable=1",
	    "be/mode=w be/device-type=cdrom",
	    "be/mode=w fe/device-type=cdrom",
	    /* and where one key ends and the next one begins */
	    "be/mode=w be/params=/ be/script=xy",
	    "be/mode=w be/params=/x be/script=y",
	};
	enum { N = sizeof stores / sizeof *stores };
	uint64_t seen[N];
	struct error err;
	struct source s;

	for (size_t i = 0; i < N; i++) {
		read_source(stores[i], &s, &err);
		seen[i] = s.fingerprint;
		for (size_t k = 0; k < i; k++)
			if (seen[k] == seen[i])
				fail_msg("%s and %s look the same", stores[k], stores[i]);
	}
	read_source("be/params=/x be/mode=w", &s, &err);
	assert_true(s.fingerprint == seen[2]);
}

static void same(void **state)
{
	struct source dev = {.kind = SOURCE_DEVICE, .major = 7, .minor = 1, .text = "7:1"};
	struct source other = dev;

	strcpy(other.text, "07:01");
	assert_true(source_same(&dev, &other));
	other.minor = 2;
	assert_false(source_same(&dev, &other));
	other = dev;
	other.readonly = true;
	assert_false(source_same(&dev, &other));

	struct source file = {.kind = SOURCE_TARGET, .text = "/x"};
	other = file;
	assert_true(source_same(&file, &other));
	strcpy(other.text, "/y");
	assert_false(source_same(&file, &other));
	assert_false(source_same(&file, &dev));
}

static void paths(void **state)
{
	static const char root[] = "/local/domain/0/backend/vbd";
	static const struct {
		const char *tail;
		enum path_depth depth;
		uint16_t domid;
		uint32_t devid;
	} cases[] = {
	    {"", PATH_KIND, 9, 9},
	    {"/", PATH_KIND, 9, 9},
	    {"3", PATH_OTHER, 9, 9},
	    {"/1", PATH_DOMAIN, 1, 9},
	    {"/1/51712", PATH_DEVICE, 1, 51712},
	    {"/1/51712/state", PATH_DEVICE, 1, 51712},
	    {"/0/268439552/a/b", PATH_DEVICE, 0, 268439552},
	    {"/x/51712", PATH_OTHER, 9, 9},
	    {"/1/x", PATH_OTHER, 1, 9},
	    {"/01/51712", PATH_OTHER, 9, 9},
	    {"/1/051712", PATH_OTHER, 1, 9},
	    {"/65535/1", PATH_OTHER, 9, 9},
	    {"/1/4294967296", PATH_OTHER, 1, 9},
	    {"/1/99999999999", PATH_OTHER, 1, 9},
	    {"//1", PATH_OTHER, 9, 9},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[128];
		uint16_t domid = 9;
		uint32_t devid = 9;
		snprintf(path, sizeof path, "%s%s", root, cases[i].tail);
		assert_int_equal(path_parse(path, root, &domid, &devid), cases[i].depth);
		assert_int_equal(domid, cases[i].domid);
		assert_int_equal(devid, cases[i].devid);
	}
	assert_true(path_below("/a/b", "/a/b"));
	assert_true(path_below("/a/b/c", "/a/b"));
	assert_false(path_below("/a/bc", "/a/b"));
	assert_false(path_below("/a", "/a/b"));

	assert_true(path_is_frontend("/local/domain/1/device/vbd/51712", 1));
	static const char *const bad[] = {"",
	                                  "/",
	                                  "/local/domain/1",
	                                  "/local/domain/1/device/",
	                                  "/local/domain/1/device/vbd",
	                                  "/local/domain/1/device/vbd/",
	                                  "/local/domain/1/device//51712",
	                                  "/local/domain/1/device/vbd/51712/x",
	                                  "/local/domain/1/device/vbd/../1",
	                                  "/local/domain/2/device/vbd/51712",
	                                  "/local/domain/11/device/vbd/51712",
	                                  "/local/domain/1/data/vbd/51712",
	                                  "local/domain/1/device/vbd/51712"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(path_is_frontend(bad[i], 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(which), cmocka_unit_test(no_hotplug),  cmocka_unit_test(bad),
	    cmocka_unit_test(how),   cmocka_unit_test(fingerprint), cmocka_unit_test(same),
	    cmocka_unit_test(paths)};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
