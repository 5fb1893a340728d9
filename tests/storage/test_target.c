/* SPDX-License-Identifier: MIT */
/* TARGET texts: what each means, and what each bad one is told. */
#include <string.h>

#include "harness.h"
#include "storage/engines.h"

#define FORMS \
	"give a path from the root (/srv/disk.img), aio:/PATH, raw:/PATH, phy:/PATH or null:SIZE"

static void paths(void **state)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
	    {"/a", "/a"},           {"aio:/a b", "/a b"},
	    {"raw:/x:y", "/x:y"},   {"phy:/dev/sda", "/dev/sda"},
	    {"aio:raw:/x", "/x"},   {"aio:/null:1G", "/null:1G"},
	    {"/qcow2:", "/qcow2:"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct storage_target t = {.engine = 77};
		struct error err = {"untouched"};
		assert_int_equal(storage_target_parse(cases[i].text, &t, &err), 0);
		assert_int_equal(t.engine, STORAGE_FILE);
		assert_string_equal(t.path, cases[i].path);
		assert_string_equal(err.text, "untouched");
	}
}

static void nulls(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
	    {"null:512", 512},
	    {"null:3K", 3072},
	    {"aio:null:2T", 2ull << 40},
	    {"null:8388607T", 8388607ull << 40},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct storage_target t = {.engine = 77};
		assert_int_equal(storage_target_parse(cases[i].text, &t, NULL), 0);
		assert_int_equal(t.engine, STORAGE_NULL);
		assert_int_equal(t.size, cases[i].size);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *error;
	} cases[] = {
	    {"", -EINVAL, "the target is empty; " FORMS},
	    {"disk.img", -EINVAL, "target \"disk.img\" is not understood; " FORMS},
	    {"file:/x", -EINVAL, "target \"file:/x\" is not understood; " FORMS},
	    {"null", -EINVAL, "target \"null\" is not understood; " FORMS},
	    {" /x", -EINVAL, "target \" /x\" is not understood; " FORMS},
	    {"a\nb", -EINVAL, "target \"a?b\" is not understood; " FORMS},
	    {"aio:", -EINVAL,
	     "target \"aio:\": the path does not begin with /; give it from the root, as in "
	     "/srv/disk.img"},
	    {"phy:sda", -EINVAL,
	     "target \"phy:sda\": the path does not begin with /; give it from the root, as in "
	     "/srv/disk.img"},
	    {"null:", -EINVAL,
	     "target \"null:\": the size must be a multiple of 512 below 8388608T; give it in "
	     "bytes or with K, M, G or T, as in null:1G"},
	    {"qcow2:/x", -ENOTSUP,
	     "target \"qcow2:/x\": this build has no engine for qcow2; convert the image "
	     "(qemu-img convert -f qcow2 -O raw) and give the raw file"},
	    {"aio:vhd:/x", -ENOTSUP,
	     "target \"aio:vhd:/x\": this build has no engine for vhd; convert the image "
	     "(qemu-img convert -f vpc -O raw) and give the raw file"},
	    {"nbd://h/e", -ENOTSUP,
	     "target \"nbd://h/e\": this build has no engine for nbd; connect it with "
	     "nbd-client and give /dev/nbdN"},
	    {"nbd+unix:///e?socket=s", -ENOTSUP,
	     "target \"nbd+unix:///e?socket=s\": this build has no engine for nbd+unix; connect "
	     "it with nbd-client and give /dev/nbdN"},
	    {"rbd:p/i", -ENOTSUP,
	     "target \"rbd:p/i\": this build has no engine for rbd; map it (rbd map "
	     "POOL/IMAGE) and give /dev/rbdN"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct storage_target t = {.engine = 77};
		struct error err;
		assert_int_equal(storage_target_parse(cases[i].text, &t, &err), cases[i].rc);
		assert_string_equal(err.text, cases[i].error);
		assert_int_equal(t.engine, 77);
	}
	static const char *const sizes[] = {"null:0",        "null:513",
	                                    "null:-512",     "null:1x",
	                                    "null:8388608T", "null:99999999999999999999"};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct storage_target t;
		assert_int_equal(storage_target_parse(sizes[i], &t, NULL), -EINVAL);
	}
}

static void long_texts(void **state)
{
	struct storage_target t;
	struct error err;
	char text[4097];

	memset(text, 'x', sizeof text);
	text[0] = '/';
	text[STORAGE_TARGET_MAX - 1] = 0;
	assert_int_equal(storage_target_parse(text, &t, &err), 0);
	assert_string_equal(t.path, text);
	text[STORAGE_TARGET_MAX - 1] = 'x';
	text[STORAGE_TARGET_MAX] = 0;
	assert_int_equal(storage_target_parse(text, &t, NULL), -EINVAL);
	text[STORAGE_TARGET_MAX] = 'x';
	text[4096] = 0;
	assert_int_equal(storage_target_parse(text, &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "xxx...\": the path has 4096 characters, at most 1023 are "
	                                 "possible; use a shorter one or a symbolic link"));
	text[0] = 'x';
	assert_int_equal(storage_target_parse(text, &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "xxx...\" is not understood; " FORMS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(paths), cmocka_unit_test(nulls),
	                                   cmocka_unit_test(refused), cmocka_unit_test(long_texts)};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
