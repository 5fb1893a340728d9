/* SPDX-License-Identifier: MIT */
/* Transactions: isolation, conflicts, what a commit does and what it must not. */
#include "test_xsd.h"

struct two {
	struct client *a, *b;
};

static struct two clients(void **state)
{
	return (struct two){client(*state, 0), client(*state, 0)};
}

static void clients_free(struct two *t)
{
	client_free(t->a);
	client_free(t->b);
}

static void isolation(void **state)
{
	struct two c = clients(state);
	uint32_t tx;

	put(c.a, 0, "/d/x", "old");
	put(c.a, 0, "/d/gone", "1");
	tx = begin(c.a);
	put(c.a, tx, "/d/x", "new");
	put(c.a, tx, "/d/y/z", "made");
	ok(c.a, XS_RM, tx, Z("/d/gone"));
	ok(c.a, XS_SET_PERMS, tx, Z("/d/x\0r0"));
	/* We see our own. */
	has(c.a, tx, "/d/x", "new");
	has(c.a, tx, "/d/y/z", "made");
	lacks(c.a, tx, "/d/gone");
	gives(c.a, XS_DIRECTORY, tx, Z("/d"), Z("x\0y"));
	gives(c.a, XS_GET_PERMS, tx, Z("/d/x"), Z("r0"));
	/* Nobody else does, nor do we outside. */
	has(c.b, 0, "/d/x", "old");
	has(c.a, 0, "/d/x", "old");
	lacks(c.b, 0, "/d/y/z");
	has(c.b, 0, "/d/gone", "1");
	gives(c.b, XS_DIRECTORY, 0, Z("/d"), Z("gone\0x"));
	gives(c.b, XS_GET_PERMS, 0, Z("/d/x"), Z("n0"));
	commit(c.a, tx);
	has(c.b, 0, "/d/x", "new");
	has(c.b, 0, "/d/y/z", "made");
	lacks(c.b, 0, "/d/gone");
	gives(c.b, XS_GET_PERMS, 0, Z("/d/x"), Z("r0"));
	fails(c.a, XS_READ, tx, Z("/d/x"), "ENOENT");
	clients_free(&c);
}

static void snapshot(void **state)
{
	struct two c = clients(state);
	uint32_t tx;

	put(c.a, 0, "/d/x", "old");
	tx = begin(c.a);
	put(c.b, 0, "/d/x", "new");
	put(c.b, 0, "/d/y", "new");
	ok(c.b, XS_SET_PERMS, 0, Z("/d/x\0r0"));
	has(c.a, tx, "/d/x", "old");
	lacks(c.a, tx, "/d/y");
	gives(c.a, XS_DIRECTORY, tx, Z("/d"), Z("x"));
	gives(c.a, XS_GET_PERMS, tx, Z("/d/x"), Z("n0"));
	ok(c.b, XS_RM, 0, Z("/d"));
	has(c.a, tx, "/d/x", "old");
	commit_conflicts(c.a, tx);
	clients_free(&c);
}

static void abort_leaves_nothing(void **state)
{
	struct two c = clients(state);
	uint32_t tx = begin(c.a);

	put(c.a, tx, "/x", "1");
	ok(c.a, XS_RM, tx, Z("/tool"));
	ok(c.a, XS_TRANSACTION_END, tx, Z("F"));
	lacks(c.a, 0, "/x");
	has(c.a, 0, "/tool/xenstored", "");
	fails(c.a, XS_TRANSACTION_END, tx, Z("F"), "ENOENT");
	/* So does a client that goes. */
	put(c.a, begin(c.a), "/x", "1");
	clients_free(&c);
	c = clients(state);
	lacks(c.a, 0, "/x");
	clients_free(&c);
}

static void bad_ids_and_arguments(void **state)
{
	struct two c = clients(state);
	uint32_t tx = begin(c.a);

	assert_int_not_equal(tx, 0);
	fails(c.a, XS_TRANSACTION_START, tx, Z(""), "EBUSY");
	fails(c.a, XS_TRANSACTION_START, 99, Z(""), "ENOENT");
	fails(c.a, XS_TRANSACTION_END, 0, Z("T"), "ENOENT");
	fails(c.a, XS_TRANSACTION_END, 99, Z("T"), "ENOENT");
	fails(c.a, XS_TRANSACTION_END, tx, Z("X"), "EINVAL");
	fails(c.a, XS_TRANSACTION_END, tx, Z(""), "EINVAL");
	fails(c.a, XS_TRANSACTION_END, tx, "", 0, "EINVAL");
	fails(c.a, XS_READ, 99, Z("/"), "ENOENT");
	fails(c.a, XS_WRITE, 99, V("/x\0y"), "ENOENT");
	fails(c.a, XS_MKDIR, 99, Z("/x"), "ENOENT");
	fails(c.a, XS_RM, 99, Z("/tool"), "ENOENT");
	fails(c.a, XS_DIRECTORY, 99, Z("/"), "ENOENT");
	fails(c.a, XS_GET_PERMS, 99, Z("/"), "ENOENT");
	fails(c.a, XS_SET_PERMS, 99, Z("/\0n0"), "ENOENT");
	/* Another client's transaction is not ours. */
	fails(c.b, XS_TRANSACTION_END, tx, Z("T"), "ENOENT");
	/* Still alive after all of this. */
	put(c.a, tx, "/x", "1");
	commit(c.a, tx);
	has(c.a, 0, "/x", "1");
	clients_free(&c);
}

/* One read (or none) in a transaction that also writes /mine, one change by another client. */
static const struct {
	uint32_t look;
	const char *path;
	uint32_t change;
	const char *what; /* NUL-separated, what_n bytes */
	size_t what_n;
	bool conflict;
} cases[] = {
    {XS_READ, "/d/x", XS_WRITE, V("/d/x\0n"), true},
    {XS_READ, "/d/x", XS_WRITE, V("/d/x\0old"), true}, /* the same value, yet a write */
    {XS_READ, "/d/x", XS_RM, Z("/d/x"), true},
    {XS_READ, "/d/x", XS_RM, Z("/d"), true},
    {XS_READ, "/d/x", XS_SET_PERMS, Z("/d/x\0r0"), true},
    {XS_READ, "/d/x", XS_WRITE, V("/d/x/child\0n"), true},
    {XS_READ, "/d/x", XS_WRITE, V("/d/sub/x\0n"), false},
    {XS_READ, "/d/x", XS_WRITE, V("/d\0n"), false},
    {XS_READ, "/d/x", XS_MKDIR, Z("/d/x"), false},
    {XS_GET_PERMS, "/d/x", XS_SET_PERMS, Z("/d/x\0r0"), true},
    {XS_READ, "/d/none", XS_WRITE, V("/d/none\0n"), true},
    {XS_READ, "/d/none", XS_MKDIR, Z("/d/none/deeper"), true},
    {XS_READ, "/d/none", XS_WRITE, V("/d/other\0n"), false},
    {XS_READ, "/no/ne", XS_WRITE, V("/no\0n"), false},
    {XS_DIRECTORY, "/d", XS_WRITE, V("/d/new\0n"), true},
    {XS_DIRECTORY, "/d", XS_RM, Z("/d/x"), true},
    {XS_DIRECTORY, "/d", XS_RM, Z("/d"), true},
    {XS_DIRECTORY, "/d", XS_WRITE, V("/d/x\0n"), false},
    {XS_DIRECTORY, "/d", XS_WRITE, V("/d/sub/deep\0n"), false},
    {XS_DIRECTORY, "/none", XS_MKDIR, Z("/none"), true},
    {XS_READ, "/tool", XS_WRITE, V("/d/x\0n"), false},
    {XS_TRANSACTION_START, NULL, XS_WRITE, V("/d/x\0n"), false},
    {XS_TRANSACTION_START, NULL, XS_RM, Z("/d"), false},
};

static void conflicts(void **state)
{
	struct two c = clients(state);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint32_t tx;

		ok(c.b, XS_RM, 0, Z("/d"));
		ok(c.b, XS_RM, 0, Z("/no"));
		ok(c.b, XS_RM, 0, Z("/none"));
		ok(c.b, XS_RM, 0, Z("/mine"));
		put(c.b, 0, "/d/x", "old");
		put(c.b, 0, "/d/sub", "old");
		tx = begin(c.a);
		if (cases[i].path)
			request(c.a, cases[i].look, tx, cases[i].path, strlen(cases[i].path) + 1);
		put(c.a, tx, "/mine", "1");
		ok(c.b, cases[i].change, 0, cases[i].what, cases[i].what_n);
		request(c.a, XS_TRANSACTION_END, tx, Z("T"));
		if (cases[i].conflict != (c.a->hdr.type == XS_ERROR))
			fail_msg("case %zu: %s", i, c.a->data);
		assert_string_equal(c.a->data, cases[i].conflict ? "EAGAIN" : "OK");
		if (cases[i].conflict)
			lacks(c.b, 0, "/mine");
		else
			has(c.b, 0, "/mine", "1");
	}
	clients_free(&c);
}

static void blind_writes_do_not_conflict(void **state)
{
	struct two c = clients(state);
	uint32_t ta, tb;

	put(c.a, 0, "/d/x", "0");
	ta = begin(c.a);
	tb = begin(c.b);
	put(c.a, ta, "/d/x", "a");
	put(c.a, ta, "/d/a", "a");
	ok(c.a, XS_SET_PERMS, ta, Z("/d/x\0r0"));
	put(c.b, tb, "/d/x", "b");
	put(c.b, tb, "/d/b", "b");
	commit(c.a, ta);
	commit(c.b, tb);
	has(c.a, 0, "/d/x", "b");
	gives(c.a, XS_DIRECTORY, 0, Z("/d"), Z("a\0b\0x"));
	gives(c.a, XS_GET_PERMS, 0, Z("/d/x"), Z("r0"));
	clients_free(&c);
}

/* A write whose directory was removed meanwhile must not make it anew. */
static void parent_vanished(void **state)
{
	struct two c = clients(state);
	uint32_t tx;

	put(c.a, 0, "/be/1/state", "4");
	tx = begin(c.a);
	put(c.a, tx, "/be/1/state", "5");
	ok(c.b, XS_RM, 0, Z("/be/1"));
	commit_conflicts(c.a, tx);
	lacks(c.b, 0, "/be/1");

	put(c.a, 0, "/be/1/state", "4");
	tx = begin(c.a);
	put(c.a, tx, "/be/1/new/deeper", "x");
	ok(c.b, XS_RM, 0, Z("/be/1"));
	commit_conflicts(c.a, tx);
	lacks(c.b, 0, "/be/1");

	put(c.a, 0, "/be/1/state", "4");
	tx = begin(c.a);
	ok(c.a, XS_SET_PERMS, tx, Z("/be/1/state\0r0"));
	ok(c.b, XS_RM, 0, Z("/be/1/state"));
	commit_conflicts(c.a, tx);
	lacks(c.b, 0, "/be/1/state");

	/* What was to be removed is gone: nothing stands against it. */
	put(c.a, 0, "/be/1/state", "4");
	tx = begin(c.a);
	ok(c.a, XS_RM, tx, Z("/be/1/state"));
	put(c.a, tx, "/other", "x");
	ok(c.b, XS_RM, 0, Z("/be/1"));
	commit(c.a, tx);
	lacks(c.b, 0, "/be/1");
	has(c.b, 0, "/other", "x");

	/* Only the value's own node: a blind write after the removal. */
	put(c.a, 0, "/be/1/state", "4");
	tx = begin(c.a);
	put(c.a, tx, "/be/1/state", "5");
	ok(c.b, XS_RM, 0, Z("/be/1/state"));
	commit(c.a, tx);
	has(c.b, 0, "/be/1/state", "5");
	clients_free(&c);
}

/* All or nothing, also when it fails half-way. */
static void failed_commit_is_atomic(void **state)
{
	struct client *dom0 = client(*state, 0), *guest = client(*state, 1), *w = client(*state, 0);
	uint32_t tx;

	ok(dom0, XS_MKDIR, 0, Z("/local/domain/1"));
	ok(dom0, XS_SET_PERMS, 0, Z("/local/domain/1\0n1"));
	put(guest, 0, "a", "old");
	put(guest, 0, "b", "old");
	ok(w, XS_WATCH, 0, Z("/local\0t"));
	drain(w);
	w->events = 0;
	tx = begin(guest);
	put(guest, tx, "a", "new");
	put(guest, tx, "b", "new");
	ok(dom0, XS_SET_PERMS, 0, Z("/local/domain/1/b\0n0"));
	commit_conflicts(guest, tx);
	has(dom0, 0, "/local/domain/1/a", "old");
	has(dom0, 0, "/local/domain/1/b", "old");
	events(w, "/local/domain/1/b|t", NULL);
	client_free(dom0);
	client_free(guest);
	client_free(w);
}

static void watches_fire_at_commit_only(void **state)
{
	struct two c = clients(state);
	struct client *w = client(*state, 0);
	uint32_t tx;

	put(c.a, 0, "/d/x/deep", "1");
	ok(w, XS_WATCH, 0, Z("/d\0t"));
	ok(w, XS_WATCH, 0, Z("/d/x/deep\0deep"));
	drain(w);
	w->events = 0;
	tx = begin(c.a);
	put(c.a, tx, "/d/y", "1");
	put(c.a, tx, "/d/y", "2");
	ok(c.a, XS_RM, tx, Z("/d/x"));
	ok(c.a, XS_SET_PERMS, tx, Z("/d\0r0"));
	has(c.a, tx, "/d/y", "2");
	events(w, NULL);
	commit(c.a, tx);
	events(w, "/d/y|t", "/d/x|t", "/d/x/deep|deep", "/d|t", NULL);

	tx = begin(c.a);
	put(c.a, tx, "/d/y", "3");
	ok(c.a, XS_TRANSACTION_END, tx, Z("F"));
	tx = begin(c.a);
	has(c.a, tx, "/d/y", "2");
	put(c.a, tx, "/d/z", "3");
	put(c.b, 0, "/d/y", "4");
	events(w, "/d/y|t", NULL);
	commit_conflicts(c.a, tx);
	events(w, NULL);
	/* The committer's own events come behind its reply. */
	ok(c.a, XS_WATCH, 0, Z("/d\0own"));
	events(c.a, "/d|own", NULL);
	tx = begin(c.a);
	put(c.a, tx, "/d/y", "3");
	commit(c.a, tx);
	assert_int_equal(c.a->events_before_reply, 0);
	events(c.a, "/d/y|own", NULL);
	client_free(w);
	clients_free(&c);
}

static void errors_inside(void **state)
{
	struct client *dom0 = client(*state, 0), *guest = client(*state, 1);
	uint32_t tx = begin(guest);

	fails(guest, XS_READ, tx, Z("/tool"), "EACCES");
	fails(guest, XS_WRITE, tx, V("/tool\0x"), "EACCES");
	fails(guest, XS_RM, tx, Z("/"), "EINVAL");
	fails(guest, XS_WRITE, tx, V("a b\0x"), "EINVAL");
	/* A failed request is no part of the transaction. */
	commit(guest, tx);
	tx = begin(dom0);
	ok(dom0, XS_RM, tx, Z("/tool"));
	fails(dom0, XS_RM, tx, Z("/tool/xenstored"), "ENOENT");
	fails(dom0, XS_SET_PERMS, tx, Z("/tool\0n0"), "ENOENT");
	put(dom0, tx, "/tool/new", "1");
	gives(dom0, XS_DIRECTORY, tx, Z("/tool"), Z("new"));
	commit(dom0, tx);
	gives(dom0, XS_DIRECTORY, 0, Z("/tool"), Z("new"));
	client_free(dom0);
	client_free(guest);
}

static void read_after_own_write(void **state)
{
	struct two c = clients(state);
	uint32_t tx = begin(c.a);

	/* Listing what we changed ourselves still depends on what others put there. */
	put(c.a, tx, "/libxl/a", "1");
	gives(c.a, XS_DIRECTORY, tx, Z("/libxl"), Z("a"));
	put(c.b, 0, "/libxl/b", "1");
	commit_conflicts(c.a, tx);
	gives(c.a, XS_DIRECTORY, 0, Z("/libxl"), Z("b"));
	clients_free(&c);
}

static void conflicts_on_request(void **state)
{
	struct two c = clients(state);
	uint32_t tx;

	xsd_fault_conflicts(*state, 2);
	for (int i = 0; i < 3; i++) {
		tx = begin(c.a);
		put(c.a, tx, "/x", "1");
		ok(c.b, XS_TRANSACTION_END, begin(c.b), Z("F"));
		if (i < 2) {
			commit_conflicts(c.a, tx);
			lacks(c.a, 0, "/x");
		} else {
			commit(c.a, tx);
			has(c.a, 0, "/x", "1");
		}
	}
	clients_free(&c);
}

/* Interleaved increments: as many as were committed, none lost. */
static void counters(void **state)
{
	struct client *cl[3];
	uint32_t tx[3] = {0}, seed = 7;
	int committed = 0, conflicted = 0;
	char text[16];

	for (int i = 0; i < 3; i++)
		cl[i] = client(*state, 0);
	put(cl[0], 0, "/n", "0");
	for (int step = 0; step < 3000; step++) {
		int i;

		seed = seed * 1664525 + 1013904223;
		i = (int)((seed >> 16) % 3);
		if (!tx[i]) {
			tx[i] = begin(cl[i]);
			request(cl[i], XS_READ, tx[i], Z("/n"));
			snprintf(text, sizeof text, "%d", atoi(cl[i]->data) + 1);
			put(cl[i], tx[i], "/n", text);
			continue;
		}
		request(cl[i], XS_TRANSACTION_END, tx[i], Z("T"));
		tx[i] = 0;
		committed += cl[i]->hdr.type != XS_ERROR;
		conflicted += cl[i]->hdr.type == XS_ERROR;
	}
	assert_true(committed > 300 && conflicted > 300);
	snprintf(text, sizeof text, "%d", committed);
	has(cl[0], 0, "/n", text);
	for (int i = 0; i < 3; i++)
		client_free(cl[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(isolation),
	    store_test(snapshot),
	    store_test(abort_leaves_nothing),
	    store_test(bad_ids_and_arguments),
	    store_test(conflicts),
	    store_test(blind_writes_do_not_conflict),
	    store_test(parent_vanished),
	    store_test(failed_commit_is_atomic),
	    store_test(watches_fire_at_commit_only),
	    store_test(errors_inside),
	    store_test(read_after_own_write),
	    store_test(conflicts_on_request),
	    store_test(counters),
	};

	return cmocka_run_group_tests_name("xsd_txn", tests, NULL, NULL);
}
