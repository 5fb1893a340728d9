/* SPDX-License-Identifier: MIT */
/* Typed xenstore access: values, lists, permissions, transactions. */
#include "store_server.h"

static void opening(void **state)
{
	struct error err = {""};
	struct store *s = (void *)1;
	char path[sizeof sock + 16];

	assert_null(getenv("XENSTORED_PATH")); /* begin() has opened one already */
	setenv("XENSTORED_PATH", "/somewhere/else", 1);
	assert_int_equal(store_open(sock, &s, &err), 0);
	assert_string_equal(getenv("XENSTORED_PATH"), "/somewhere/else");
	assert_true(store_fd(s) >= 0);
	assert_int_equal(fcntl(store_fd(s), F_GETFD), FD_CLOEXEC);
	store_close(s);
	unsetenv("XENSTORED_PATH");

	snprintf(path, sizeof path, "%s/absent.sock", dir);
	assert_int_equal(store_open(path, &s, &err), -ENOENT);
	assert_null(s);
	assert_non_null(strstr(err.text, path));
	assert_null(getenv("XENSTORED_PATH"));
	/* A plain file is not written into. */
	snprintf(path, sizeof path, "%s/plain", dir);
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(store_open(path, &s, &err), -ENOTSOCK);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	unlink(path);
	store_close(NULL);
}

static void reading_and_writing(void **state)
{
	char buf[STORE_VALUE_MAX];

	assert_int_equal(store_read(store, XBT_NULL, ROOT, "a", buf, sizeof buf), -ENOENT);
	assert_false(store_exists(store, XBT_NULL, ROOT, "a"));
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "a", "%s-%d", "x", 5), 0);
	assert_true(store_exists(store, XBT_NULL, ROOT, "a"));
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "a", buf, sizeof buf), 3);
	assert_string_equal(buf, "x-5");
	assert_int_equal(store_read(store, XBT_NULL, ROOT "/a", NULL, buf, sizeof buf), 3);
	assert_int_equal(store_read(store, XBT_NULL, ROOT "/", "a", buf, 4), 3);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "a", buf, 3), -EMSGSIZE);
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "empty", "%s", ""), 0);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "empty", buf, sizeof buf), 0);
	assert_string_equal(buf, "");
	assert_int_equal(store_mkdir(store, XBT_NULL, ROOT "/d"), 0);
	assert_int_equal(store_mkdir(store, XBT_NULL, ROOT "/d"), 0);
	assert_true(store_exists(store, XBT_NULL, ROOT, "d"));
	assert_int_equal(store_rm(store, XBT_NULL, ROOT, "a"), 0);
	assert_int_equal(store_rm(store, XBT_NULL, ROOT, "a"), 0);
	assert_int_equal(store_rm(store, XBT_NULL, ROOT "/no/such", "path"), 0);
	assert_false(store_exists(store, XBT_NULL, ROOT, "a"));
	assert_int_equal(store_write(store, XBT_NULL, "/bad path", "a", "1"), -EINVAL);
}

static void limits(void **state)
{
	char buf[STORE_VALUE_MAX], big[STORE_VALUE_MAX + 1], path[STORE_PATH_MAX + 1];

	memset(big, 'v', sizeof big);
	big[STORE_VALUE_MAX - 1] = '\0';
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "big", "%s", big), 0);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "big", buf, sizeof buf),
	                 STORE_VALUE_MAX - 1);
	assert_string_equal(buf, big);
	big[STORE_VALUE_MAX - 1] = 'v';
	big[STORE_VALUE_MAX] = '\0';
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "big", "%s", big), -EMSGSIZE);
	write_raw(ROOT "/big", big, STORE_VALUE_MAX);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "big", buf, sizeof buf), -EMSGSIZE);
	uint64_t v = 7;
	assert_int_equal(store_read_u64(store, XBT_NULL, ROOT, "big", 0, 9, &v), -EMSGSIZE);
	write_raw(ROOT "/nul", "1\0002", 3);
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "nul", buf, sizeof buf), -EINVAL);
	assert_int_equal(store_read_u64(store, XBT_NULL, ROOT, "nul", 0, 9, &v), -EINVAL);
	write_raw(ROOT "/nul", "1", 2); /* with its NUL: some front ends do */
	assert_int_equal(store_read(store, XBT_NULL, ROOT, "nul", buf, sizeof buf), -EINVAL);
	assert_int_equal(v, 7);

	/* The longest path: 255 bytes and the NUL. */
	memset(path, 'p', sizeof path);
	memcpy(path, ROOT "/", sizeof ROOT);
	path[STORE_PATH_MAX - 3] = '\0';
	assert_int_equal(store_write(store, XBT_NULL, path, "x", "1"), 0);
	assert_int_equal(store_write(store, XBT_NULL, path, "xy", "1"), -ENAMETOOLONG);
	assert_false(store_exists(store, XBT_NULL, path, "xy"));
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {{"5", 0},          {"9", 0},
	             {"10", -ERANGE},   {"1", -ERANGE},
	             {"", -EINVAL},     {"5 ", -EINVAL},
	             {"-5", -EINVAL},   {"0x5", -EINVAL},
	             {"five", -EINVAL}, {"99999999999999999999999", -ERANGE}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t v = 77;
		assert_int_equal(store_write(store, XBT_NULL, ROOT, "n", "%s", cases[i].text), 0);
		assert_int_equal(store_read_u64(store, XBT_NULL, ROOT, "n", 2, 9, &v), cases[i].rc);
		assert_int_equal(v, cases[i].rc ? 77u : (uint64_t)atoi(cases[i].text));
	}
	uint64_t v = 77;
	assert_int_equal(store_read_u64(store, XBT_NULL, ROOT, "none", 0, 9, &v), -ENOENT);
	assert_int_equal(v, 77);
}

/* Which errors say nothing about what is there. */
static void unread(void **state)
{
	static const struct {
		int rc;
		bool unread;
	} rows[] = {
	    {0, false},       {5, false},       {-ENOENT, false},      {-EACCES, false},
	    {-EINVAL, false}, {-ERANGE, false}, {-EMSGSIZE, false},    {-ENAMETOOLONG, false},
	    {-EIO, true},     {-ENOMEM, true},  {-ECONNREFUSED, true}, {-EAGAIN, true}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (store_unread(rows[i].rc) != rows[i].unread)
			fail_msg("errno %d", -rows[i].rc);
}

static void states(void **state)
{
	static const char *const names[] = {"Unknown",     "Initialising",  "InitWait",
	                                    "Initialised", "Connected",     "Closing",
	                                    "Closed",      "Reconfiguring", "Reconfigured"};
	static const char *const garbage[] = {
	    "0", "9", "4 ", "", "four", "-4", "44444444444444444444"};

	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), XS_UNKNOWN);
	for (int i = 1; i <= 8; i++) {
		assert_string_equal(xenbus_state_name(i), names[i]);
		store_write(store, XBT_NULL, ROOT, "state", "%d", i);
		assert_int_equal(store_read_state(store, XBT_NULL, ROOT), i);
	}
	for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
		store_write(store, XBT_NULL, ROOT, "state", "%s", garbage[i]);
		assert_int_equal(store_read_state(store, XBT_NULL, ROOT), XS_UNKNOWN);
	}
	assert_string_equal(xenbus_state_name(0), "Unknown");
	assert_string_equal(xenbus_state_name(9), "Unknown");
	assert_string_equal(xenbus_state_name(-1), "Unknown");
}

static void listing(void **state)
{
	char **names;
	unsigned n = 7;
	bool seen[1000] = {false};

	assert_int_equal(store_list(store, XBT_NULL, ROOT "/l", &names, &n), -ENOENT);
	assert_null(names);
	assert_int_equal(store_mkdir(store, XBT_NULL, ROOT "/l"), 0);
	assert_int_equal(store_list(store, XBT_NULL, ROOT "/l", &names, &n), 0);
	assert_int_equal(n, 0);
	assert_non_null(names);
	assert_null(names[0]);
	free(names);
	/* 1000 devices: more than one message can carry. */
	xs_transaction_t t;
	assert_int_equal(store_begin(store, &t), 0);
	for (int i = 0; i < 1000; i++) {
		char name[16];
		snprintf(name, sizeof name, "%d", 51712 + i);
		assert_int_equal(store_write(store, t, ROOT "/l", name, "x"), 0);
	}
	assert_int_equal(store_end(store, t, true), 0);
	assert_int_equal(store_list(store, XBT_NULL, ROOT "/l", &names, &n), 0);
	assert_int_equal(n, 1000);
	assert_null(names[1000]);
	for (unsigned i = 0; i < n; i++) {
		int v = atoi(names[i]) - 51712;
		assert_in_range(v, 0, 999);
		assert_false(seen[v]);
		seen[v] = true;
	}
	free(names);
}

static void permissions(void **state)
{
	struct xs_permissions *perms;
	unsigned n = 0;

	assert_int_equal(store_write(store, XBT_NULL, ROOT, "p", "1"), 0);
	assert_int_equal(store_set_perms(store, XBT_NULL, ROOT "/p", 3, 5), 0);
	setenv("XENSTORED_PATH", sock, 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");
	perms = xs_get_permissions(xs, XBT_NULL, ROOT "/p", &n);
	assert_int_equal(n, 2);
	assert_int_equal(perms[0].id, 3);
	assert_int_equal(perms[0].perms, XS_PERM_NONE);
	assert_int_equal(perms[1].id, 5);
	assert_int_equal(perms[1].perms, XS_PERM_READ);
	free(perms);
	assert_int_equal(store_set_perms(store, XBT_NULL, ROOT "/p", 4, -1), 0);
	perms = xs_get_permissions(xs, XBT_NULL, ROOT "/p", &n);
	assert_int_equal(n, 1);
	assert_int_equal(perms[0].id, 4);
	free(perms);
	xs_close(xs);
	assert_int_equal(store_set_perms(store, XBT_NULL, ROOT "/absent", 4, -1), -ENOENT);
}

static void transactions(void **state)
{
	struct store *other;
	xs_transaction_t t;
	char buf[8];

	assert_int_equal(store_open(sock, &other, NULL), 0);
	assert_int_equal(store_write(store, XBT_NULL, ROOT, "v", "1"), 0);

	assert_int_equal(store_begin(store, &t), 0);
	assert_int_equal(store_write(store, t, ROOT, "v", "2"), 0);
	assert_int_equal(store_read(other, XBT_NULL, ROOT, "v", buf, sizeof buf), 1);
	assert_string_equal(buf, "1");
	assert_int_equal(store_end(store, t, false), 0);
	store_read(other, XBT_NULL, ROOT, "v", buf, sizeof buf);
	assert_string_equal(buf, "1");

	assert_int_equal(store_begin(store, &t), 0);
	assert_int_equal(store_read(store, t, ROOT, "v", buf, sizeof buf), 1);
	assert_int_equal(store_write(store, t, ROOT, "v", "3"), 0);
	assert_int_equal(store_write(other, XBT_NULL, ROOT, "v", "4"), 0);
	assert_int_equal(store_end(store, t, true), -EAGAIN);
	store_read(store, XBT_NULL, ROOT, "v", buf, sizeof buf);
	assert_string_equal(buf, "4");

	assert_int_equal(store_begin(store, &t), 0);
	assert_int_equal(store_write(store, t, ROOT, "v", "5"), 0);
	assert_int_equal(store_end(store, t, true), 0);
	store_read(other, XBT_NULL, ROOT, "v", buf, sizeof buf);
	assert_string_equal(buf, "5");
	assert_int_equal(store_end(store, t, true), -ENOENT);
	store_close(other);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(opening),      CASE(reading_and_writing),
	    CASE(limits),       CASE(numbers),
	    CASE(unread),       CASE(states),
	    CASE(listing),      CASE(permissions),
	    CASE(transactions),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}

int main(void)
{
	return with_server(run);
}
