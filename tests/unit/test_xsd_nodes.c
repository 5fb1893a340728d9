/* SPDX-License-Identifier: MIT */
/* Reading and changing nodes as domain 0: each request's success and each of its errors. */
#include "test_xsd.h"

static void fresh_tree(void **state)
{
	struct client *cl = client(*state, 0);

	gives(cl, XS_DIRECTORY, 0, Z("/"), Z("libxl\0local\0tool\0vm"));
	gives(cl, XS_DIRECTORY, 0, Z("/local"), Z("domain"));
	gives(cl, XS_DIRECTORY, 0, Z("/tool"), Z("xenstored"));
	gives(cl, XS_DIRECTORY, 0, Z("/vm"), "", 0);
	gives(cl, XS_GET_PERMS, 0, Z("/"), Z("n0"));
	client_free(cl);
}

static void write_read(void **state)
{
	struct client *cl = client(*state, 0);

	put(cl, 0, "/a", "one");
	has(cl, 0, "/a", "one");
	put(cl, 0, "/a", "");
	has(cl, 0, "/a", "");
	/* Any bytes. */
	ok(cl, XS_WRITE, 0, V("/a\0x\0y\n"));
	gives(cl, XS_READ, 0, Z("/a"), V("x\0y\n"));
	/* The root has a value too. */
	put(cl, 0, "/", "top");
	has(cl, 0, "/", "top");
	client_free(cl);
}

static void write_makes_parents(void **state)
{
	struct client *cl = client(*state, 0);

	put(cl, 0, "/x/y/z", "deep");
	has(cl, 0, "/x/y/z", "deep");
	has(cl, 0, "/x/y", "");
	gives(cl, XS_DIRECTORY, 0, Z("/x"), Z("y"));
	gives(cl, XS_DIRECTORY, 0, Z("/x/y/z"), "", 0);
	client_free(cl);
}

static void similar_names(void **state)
{
	static const char *const names[] = {"b", "a",  "ab", "aa", "abc", "A",
	                                    "0", "10", "1",  "-",  "_",   "@"};
	struct client *cl = client(*state, 0);
	char path[32];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "/s/%s", names[i]);
		put(cl, 0, path, names[i]);
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "/s/%s", names[i]);
		has(cl, 0, path, names[i]);
	}
	gives(cl, XS_DIRECTORY, 0, Z("/s"), Z("-\0000\0001\00010\0@\0A\0_\0a\0aa\0ab\0abc\0b"));
	ok(cl, XS_RM, 0, Z("/s/ab"));
	lacks(cl, 0, "/s/ab");
	has(cl, 0, "/s/abc", "abc");
	has(cl, 0, "/s/a", "a");
	client_free(cl);
}

static void mkdir_rm(void **state)
{
	struct client *cl = client(*state, 0);

	ok(cl, XS_MKDIR, 0, Z("/d/e"));
	has(cl, 0, "/d/e", "");
	put(cl, 0, "/d/e", "v");
	ok(cl, XS_MKDIR, 0, Z("/d/e"));
	has(cl, 0, "/d/e", "v");
	put(cl, 0, "/d/e/f/g", "v");
	ok(cl, XS_RM, 0, Z("/d/e"));
	lacks(cl, 0, "/d/e");
	lacks(cl, 0, "/d/e/f/g");
	gives(cl, XS_DIRECTORY, 0, Z("/d"), "", 0);
	/* Missing: fine if the parent is there. */
	ok(cl, XS_RM, 0, Z("/d/e"));
	ok(cl, XS_RM, 0, Z("/nothing"));
	fails(cl, XS_RM, 0, Z("/d/e/f"), "ENOENT");
	fails(cl, XS_RM, 0, Z("/"), "EINVAL");
	client_free(cl);
}

static void missing(void **state)
{
	struct client *cl = client(*state, 0);

	fails(cl, XS_READ, 0, Z("/no"), "ENOENT");
	fails(cl, XS_DIRECTORY, 0, Z("/no"), "ENOENT");
	fails(cl, XS_DIRECTORY_PART, 0, Z("/no\0000"), "ENOENT");
	fails(cl, XS_GET_PERMS, 0, Z("/no"), "ENOENT");
	fails(cl, XS_SET_PERMS, 0, Z("/no\0n0"), "ENOENT");
	client_free(cl);
}

static const uint32_t path_types[] = {XS_READ, XS_DIRECTORY, XS_MKDIR, XS_RM, XS_GET_PERMS};

static void bad_paths(void **state)
{
	static const char *const bad[] = {
	    "",     "//",   "/a/",       "a/",   "/a//b",          "/a b",
	    "/a.b", "/a:b", "/\xc3\xa4", "/a\n", "@releaseDomain", "@a",
	    "/a+"};
	struct client *cl = client(*state, 0);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char p[64];
		size_t n = strlen(bad[i]) + 1;

		memcpy(p, bad[i], n);
		for (size_t t = 0; t < sizeof path_types / sizeof *path_types; t++) {
			if (path_types[t] != XS_GET_PERMS || strcmp(bad[i], "@releaseDomain"))
				fails(cl, path_types[t], 0, p, n, "EINVAL");
		}
		fails(cl, XS_WRITE, 0, p, n, "EINVAL");
		memcpy(p + n, "t", 2);
		if (strcmp(bad[i], "@releaseDomain")) {
			fails(cl, XS_WATCH, 0, p, n + 2, "EINVAL");
			fails(cl, XS_UNWATCH, 0, p, n + 2, "EINVAL");
		}
		memcpy(p + n, "0", 2);
		fails(cl, XS_DIRECTORY_PART, 0, p, n + 2, "EINVAL");
	}
	gives(cl, XS_DIRECTORY, 0, Z("/"), Z("libxl\0local\0tool\0vm"));
	client_free(cl);
}

static void path_lengths(void **state)
{
	struct client *cl = client(*state, 0);
	char p[4096];

	memset(p, 'a', sizeof p);
	p[0] = '/';
	p[XENSTORE_ABS_PATH_MAX] = '\0';
	ok(cl, XS_MKDIR, 0, p, XENSTORE_ABS_PATH_MAX + 1);
	gives(cl, XS_READ, 0, p, XENSTORE_ABS_PATH_MAX + 1, "", 0);
	p[XENSTORE_ABS_PATH_MAX] = 'a';
	p[XENSTORE_ABS_PATH_MAX + 1] = '\0';
	fails(cl, XS_MKDIR, 0, p, XENSTORE_ABS_PATH_MAX + 2, "EINVAL");

	p[0] = 'a';
	p[XENSTORE_REL_PATH_MAX] = '\0';
	ok(cl, XS_MKDIR, 0, p, XENSTORE_REL_PATH_MAX + 1);
	p[XENSTORE_REL_PATH_MAX] = 'a';
	p[XENSTORE_REL_PATH_MAX + 1] = '\0';
	fails(cl, XS_MKDIR, 0, p, XENSTORE_REL_PATH_MAX + 2, "EINVAL");
	client_free(cl);
}

/* As deep as a path can be: 1536 levels, made, listed and removed in one go. */
static void deepest(void **state)
{
	struct client *cl = client(*state, 0);
	char p[XENSTORE_ABS_PATH_MAX + 1];

	for (size_t i = 0; i < XENSTORE_ABS_PATH_MAX; i++)
		p[i] = i % 2 ? 'a' : '/';
	p[XENSTORE_ABS_PATH_MAX] = '\0';
	ok(cl, XS_MKDIR, 0, p, sizeof p);
	gives(cl, XS_READ, 0, p, sizeof p, "", 0);
	ok(cl, XS_WATCH, 0, Z("/a/a/a\0t"));
	ok(cl, XS_RM, 0, Z("/a"));
	events(cl, "/a/a/a|t", "/a/a/a|t", NULL);
	fails(cl, XS_READ, 0, p, sizeof p, "ENOENT");
	client_free(cl);
}

static void relative_paths(void **state)
{
	struct client *cl = client(*state, 0), *guest = client(*state, 7);

	put(cl, 0, "data/x", "zero");
	has(cl, 0, "/local/domain/0/data/x", "zero");
	ok(cl, XS_MKDIR, 0, Z("/local/domain/7"));
	ok(cl, XS_SET_PERMS, 0, Z("/local/domain/7\0n7"));
	put(guest, 0, "data/x", "seven");
	has(cl, 0, "/local/domain/7/data/x", "seven");
	has(guest, 0, "data/x", "seven");
	gives(guest, XS_DIRECTORY, 0, Z("data"), Z("x"));
	ok(guest, XS_RM, 0, Z("data"));
	lacks(cl, 0, "/local/domain/7/data");
	client_free(cl);
	client_free(guest);
}

static void malformed_arguments(void **state)
{
	struct client *cl = client(*state, 0);

	for (size_t t = 0; t < sizeof path_types / sizeof *path_types; t++) {
		fails(cl, path_types[t], 0, "", 0, "EINVAL");
		fails(cl, path_types[t], 0, V("/tool"), "EINVAL");
		fails(cl, path_types[t], 0, Z("/tool\0/vm"), "EINVAL");
		fails(cl, path_types[t], 0, V("/tool\0/vm"), "EINVAL");
	}
	fails(cl, XS_WRITE, 0, "", 0, "EINVAL");
	fails(cl, XS_WRITE, 0, V("/tool"), "EINVAL");
	fails(cl, XS_DIRECTORY_PART, 0, Z("/tool"), "EINVAL");
	fails(cl, XS_DIRECTORY_PART, 0, Z("/tool\0x"), "EINVAL");
	fails(cl, XS_DIRECTORY_PART, 0, Z("/tool\0001"), "EINVAL");
	fails(cl, XS_DIRECTORY_PART, 0, Z("/tool\0-1"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, V("/tool\0n0"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool\0x0"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool\0n"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool\0n0\0"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool\0n65536"), "EINVAL");
	fails(cl, XS_SET_PERMS, 0, Z("/tool\0n-1"), "EINVAL");
	client_free(cl);
}

/* A list that fits no message: refused whole, fetched in parts. */
static void directory_in_parts(void **state)
{
	struct client *cl = client(*state, 0);
	char path[64], list[16384];
	unsigned names = 0, parts = 0;
	size_t off = 0;
	char gen[32] = "";

	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "/big/a-rather-long-name-of-a-node-%03d", i);
		put(cl, 0, path, "");
	}
	fails(cl, XS_DIRECTORY, 0, Z("/big"), "E2BIG");
	for (;;) {
		size_t n = (size_t)sprintf(path, "/big") + 1, skip, got;

		n += (size_t)sprintf(path + n, "%zu", off) + 1;
		request(cl, XS_DIRECTORY_PART, 0, path, n);
		assert_int_equal(cl->hdr.type, XS_DIRECTORY_PART);
		skip = strlen(cl->data) + 1;
		if (parts++)
			assert_string_equal(cl->data, gen);
		strcpy(gen, cl->data);
		got = cl->hdr.len - skip;
		memcpy(list + off, cl->data + skip, got);
		off += got;
		/* The very last name has an empty one behind it. */
		if (!list[off - 1] && !list[off - 2])
			break;
	}
	assert_true(parts > 2);
	for (char *at = list; *at; at += strlen(at) + 1) {
		snprintf(path, sizeof path, "a-rather-long-name-of-a-node-%03d", names++);
		assert_string_equal(at, path);
	}
	assert_int_equal(names, 300);
	/* A change shows in the generation. */
	put(cl, 0, "/big/new", "");
	request(cl, XS_DIRECTORY_PART, 0, Z("/big\0000"));
	assert_string_not_equal(cl->data, gen);
	request(cl, XS_DIRECTORY_PART, 0, Z("/big\00099999"));
	assert_int_equal(cl->data[cl->hdr.len - 1], 0);
	assert_int_equal(cl->hdr.len, strlen(cl->data) + 2);
	client_free(cl);
}

static void domains(void **state)
{
	struct client *cl = client(*state, 0);

	gives(cl, XS_GET_DOMAIN_PATH, 0, Z("12"), Z("/local/domain/12"));
	gives(cl, XS_GET_DOMAIN_PATH, 0, Z("32752"), Z("/local/domain/0"));
	fails(cl, XS_GET_DOMAIN_PATH, 0, Z("x"), "EINVAL");
	fails(cl, XS_GET_DOMAIN_PATH, 0, Z("65536"), "EINVAL");
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("0"), Z("T"));
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("3"), Z("F"));
	ok(cl, XS_INTRODUCE, 0, Z("3\0001000\0005"));
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("3"), Z("T"));
	ok(cl, XS_INTRODUCE, 0, Z("3\0001000\0005"));
	fails(cl, XS_INTRODUCE, 0, Z("3\0001000"), "EINVAL");
	fails(cl, XS_INTRODUCE, 0, Z("3\0x\0005"), "EINVAL");
	ok(cl, XS_RESUME, 0, Z("3"));
	ok(cl, XS_SET_TARGET, 0, Z("3\0004"));
	ok(cl, XS_RELEASE, 0, Z("3"));
	fails(cl, XS_RELEASE, 0, Z("3"), "ENOENT");
	fails(cl, XS_RELEASE, 0, Z("0"), "EINVAL");
	fails(cl, XS_RESUME, 0, Z("3"), "ENOENT");
	fails(cl, XS_SET_TARGET, 0, Z("3\0004"), "ENOENT");
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("3"), Z("F"));
	xsd_domain_introduced(*state, 9);
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("9"), Z("T"));
	xsd_domain_released(*state, 9);
	gives(cl, XS_IS_DOMAIN_INTRODUCED, 0, Z("9"), Z("F"));
	gives(cl, XS_CONTROL, 0, Z("help"), Z("help"));
	fails(cl, XS_CONTROL, 0, Z("live-update"), "ENOSYS");
	client_free(cl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(fresh_tree),
	    store_test(write_read),
	    store_test(write_makes_parents),
	    store_test(similar_names),
	    store_test(mkdir_rm),
	    store_test(missing),
	    store_test(bad_paths),
	    store_test(path_lengths),
	    store_test(deepest),
	    store_test(relative_paths),
	    store_test(malformed_arguments),
	    store_test(directory_in_parts),
	    store_test(domains),
	};

	return cmocka_run_group_tests_name("xsd_nodes", tests, NULL, NULL);
}
