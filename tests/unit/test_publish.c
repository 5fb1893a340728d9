/* SPDX-License-Identifier: MIT */
/* What a front end reads of discards: always all of it, with the numbers that were given. */
#include "store_server.h"
#include "xenbus/publish.h"

static const struct disk_keys disk = {.sectors = 2048,
                                      .sector_size = 512,
                                      .physical_sector_size = 4096,
                                      .discard = true,
                                      .discard_secure = true,
                                      .discard_granularity = 65536,
                                      .discard_alignment = 3584};

/* NULL: there is none. */
static void assert_key(const char *key, const char *value)
{
	char path[64];
	unsigned len;

	snprintf(path, sizeof path, ROOT "/%s", key);
	setenv("XENSTORED_PATH", sock, 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");
	assert_non_null(xs);
	char *got = xs_read(xs, XBT_NULL, path, &len);
	xs_close(xs);
	if (value) {
		assert_non_null(got);
		assert_string_equal(got, value);
	} else {
		assert_null(got);
	}
	free(got);
}

static void connected_with(const struct disk_keys *k)
{
	store_write(store, XBT_NULL, ROOT, "state", "%d", XS_INITWAIT);
	assert_int_equal(publish_connected(store, ROOT, XS_INITWAIT, k), 0);
	assert_key("state", "4");
}

static void discards(void **state)
{
	connected_with(&disk);
	assert_key("feature-discard", "1");
	assert_key("discard-granularity", "65536");
	assert_key("discard-alignment", "3584");
	assert_key("discard-secure", "1");
}

/* Front ends look for the keys, not only at their values. */
static void zeros(void **state)
{
	struct disk_keys k = disk;

	k.discard_alignment = 0;
	k.discard_secure = false;
	connected_with(&k);
	assert_key("discard-granularity", "65536");
	assert_key("discard-alignment", "0");
	assert_key("discard-secure", "0");
}

static void no_discards(void **state)
{
	struct disk_keys k = disk;

	k.discard = false;
	connected_with(&k);
	assert_key("feature-discard", "0");
	assert_key("discard-granularity", NULL);
	assert_key("discard-alignment", NULL);
	assert_key("discard-secure", NULL);
}

/* The secure kind is taken back alone. */
static void withdrawn(void **state)
{
	struct disk_keys k = disk;

	connected_with(&k);
	k.discard_secure = false;
	assert_int_equal(publish_features(store, ROOT, &k), 0);
	assert_key("feature-discard", "1");
	assert_key("discard-alignment", "3584");
	assert_key("discard-secure", "0");
}

/* Only what the toolstack has given up is removed. */
static void removal(void **state)
{
	store_write(store, XBT_NULL, ROOT, "state", "%d", XS_CLOSED);
	store_write(store, XBT_NULL, ROOT, "online", "1");
	assert_int_equal(publish_removal(store, ROOT), -ESTALE);
	assert_key("online", "1");
	store_write(store, XBT_NULL, ROOT, "online", "0");
	store_write(store, XBT_NULL, ROOT, "state", "%d", XS_CONNECTED);
	assert_int_equal(publish_removal(store, ROOT), -ESTALE);
	assert_key("online", "0");
	store_write(store, XBT_NULL, ROOT, "state", "%d", XS_CLOSED);
	assert_int_equal(publish_removal(store, ROOT), 0);
	assert_key("online", NULL);
	assert_key("state", NULL);
}

/* Whoever watches the state looks at the size again, though the state is the same. */
static void resize(void **state)
{
	struct disk_keys k = disk;
	unsigned n;

	connected_with(&k);
	setenv("XENSTORED_PATH", sock, 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");
	assert_non_null(xs);
	assert_true(xs_watch(xs, ROOT "/state", "token"));
	free(xs_read_watch(xs, &n)); /* the first comes by itself */
	k.sectors = 4096;
	assert_int_equal(publish_resize(store, ROOT, &k), 0);
	assert_key("sectors", "4096");
	struct pollfd p = {.fd = xs_fileno(xs), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	char **event = xs_read_watch(xs, &n);
	assert_non_null(event);
	assert_string_equal(event[XS_WATCH_PATH], ROOT "/state");
	free(event);
	xs_close(xs);
	assert_key("state", "4");
}

static int run(void)
{
	const struct CMUnitTest tests[] = {CASE(discards),  CASE(zeros),  CASE(no_discards),
	                                   CASE(withdrawn), CASE(resize), CASE(removal)};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}

int main(void)
{
	return with_server(run);
}
