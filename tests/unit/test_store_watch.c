/* SPDX-License-Identifier: MIT */
/* Typed xenstore access: watches, and what happens when xenstored goes away. */
#include "store_server.h"

static bool readable(int ms)
{
	struct pollfd p = {.fd = store_fd(store), .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

/* The next event, or "" when none comes. */
static void next_event(char *path, char *token)
{
	*path = *token = '\0';
	for (int i = 0; i < 50; i++) {
		int rc = store_check_watch(store, path, STORE_PATH_MAX, token, 32);
		if (rc == 1)
			return;
		assert_int_equal(rc, 0);
		if (!readable(100))
			return;
	}
}

static void expect_event(const char *want_path, const char *want_token)
{
	char path[STORE_PATH_MAX], token[32];

	next_event(path, token);
	assert_string_equal(path, want_path);
	assert_string_equal(token, want_token);
}

static void watches(void **state)
{
	char path[STORE_PATH_MAX], token[32];
	struct store *other;

	assert_int_equal(store_check_watch(store, path, sizeof path, token, sizeof token), 0);
	assert_int_equal(store_open(sock, &other, NULL), 0);
	assert_int_equal(store_watch(store, ROOT "/w", "tok"), 0);
	assert_true(readable(5000));
	expect_event(ROOT "/w", "tok"); /* the first one says: look */
	assert_int_equal(store_watch(store, ROOT "/w", "tok"), -EEXIST);
	assert_int_equal(store_write(other, XBT_NULL, ROOT "/w", "below", "1"), 0);
	assert_true(readable(5000));
	expect_event(ROOT "/w/below", "tok");
	expect_event("", "");
	assert_false(readable(0));
	/* Cut, not overrun. */
	assert_int_equal(store_write(other, XBT_NULL, ROOT "/w", "below", "2"), 0);
	assert_true(readable(5000));
	memset(path, '#', sizeof path);
	assert_int_equal(store_check_watch(store, path, 8, token, 3), 1);
	assert_memory_equal(path, ROOT "/w\0#", 9);
	assert_string_equal(token, "to");
	assert_int_equal(store_check_watch(store, path, sizeof path, token, sizeof token), 0);

	assert_int_equal(store_watch(store, ROOT "/w2", "tok2"), 0);
	expect_event(ROOT "/w2", "tok2");
	/* Readable until the last of several is fetched. */
	assert_int_equal(store_write(other, XBT_NULL, ROOT "/w", "below", "3"), 0);
	assert_int_equal(store_write(other, XBT_NULL, ROOT, "w2", "1"), 0);
	usleep(100000);
	assert_true(readable(5000));
	expect_event(ROOT "/w/below", "tok");
	assert_true(readable(5000));
	expect_event(ROOT "/w2", "tok2");
	assert_false(readable(0));

	assert_int_equal(store_unwatch(store, ROOT "/w", "tok"), 0);
	assert_int_equal(store_write(other, XBT_NULL, ROOT "/w", "below", "4"), 0);
	assert_int_equal(store_write(other, XBT_NULL, ROOT, "w2", "2"), 0);
	expect_event(ROOT "/w2", "tok2");
	expect_event("", "");
	assert_int_equal(store_unwatch(store, ROOT "/w", "tok"), -ENOENT);
	store_close(other);
}

/* Nobody takes the events of a storm: they do not pile up. */
static void drained(void **state)
{
	char path[STORE_PATH_MAX], token[32];
	unsigned writes = 3000, got = 0;
	bool fence = false;
	struct store *s;

	assert_int_equal(store_open(sock, &s, NULL), 0);
	assert_int_equal(store_drain(s), 0);
	assert_int_equal(store_watch(s, ROOT "/storm", "tok"), 0);
	assert_int_equal(store_watch(s, ROOT "/fence", "fence"), 0);
	for (unsigned i = 0; i < writes; i++)
		assert_int_equal(store_write(store, XBT_NULL, ROOT "/storm", "below", "%u", i), 0);
	assert_int_equal(store_write(store, XBT_NULL, ROOT "/fence", "below", "1"), 0);
	usleep(300000);
	for (int i = 0; i < 100 && !fence; i++) {
		struct pollfd p = {.fd = store_fd(s), .events = POLLIN};
		assert_int_equal(poll(&p, 1, 10000), 1);
		while (store_check_watch(s, path, sizeof path, token, sizeof token) == 1) {
			got += !strcmp(token, "tok");
			fence |= !strcmp(path, ROOT "/fence/below");
		}
	}
	assert_true(fence);
	assert_in_range(got, 1, writes / 2);
	struct pollfd p = {.fd = store_fd(s), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	store_close(s);
}

/* Last: kills the server. */
static void server_gone(void **state)
{
	char path[STORE_PATH_MAX], token[32], buf[8];
	int rc;

	struct store *s;

	assert_int_equal(store_open(sock, &s, NULL), 0);
	assert_int_equal(store_drain(s), 0);
	assert_int_equal(store_watch(store, ROOT, "t"), 0);
	expect_event(ROOT, "t");
	stop_server();
	struct pollfd p = {.fd = store_fd(s), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(store_check_watch(s, path, sizeof path, token, sizeof token), -ENOTCONN);
	store_close(s);
	assert_true(readable(5000)); /* the loop hears of it */
	for (int i = 0; i < 50; i++) {
		rc = store_check_watch(store, path, sizeof path, token, sizeof token);
		if (rc)
			break;
		usleep(10000);
	}
	assert_int_equal(rc, -ENOTCONN);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "x", buf, sizeof buf), -ENOTCONN);
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "x", "1"), -ENOTCONN);
	assert_int_equal(store_state_cas(store, ROOT, 1, 2), -ENOTCONN);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), XS_UNKNOWN);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {CASE(watches), CASE(drained), CASE(server_gone)};

	return cmocka_run_group_tests_name("store_watch", tests, NULL, NULL);
}

int main(void)
{
	return with_server(run);
}
