/* SPDX-License-Identifier: MIT */
/* Who may do what, inheritance, privileged requests and quotas of domains other than 0. */
#include "test_xsd.h"

struct pair {
	struct client *dom0, *one, *two;
};

static struct pair clients(void **state)
{
	struct pair p = {client(*state, 0), client(*state, 1), client(*state, 2)};

	ok(p.dom0, XS_MKDIR, 0, Z("/local/domain/1"));
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/1\0n1"));
	ok(p.dom0, XS_MKDIR, 0, Z("/local/domain/2"));
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/2\0n2"));
	return p;
}

static void clients_free(struct pair *p)
{
	client_free(p->dom0);
	client_free(p->one);
	client_free(p->two);
}

static void own_directory_only(void **state)
{
	struct pair p = clients(state);

	put(p.one, 0, "/local/domain/1/secret", "s");
	has(p.one, 0, "/local/domain/1/secret", "s");
	has(p.dom0, 0, "/local/domain/1/secret", "s");
	gives(p.one, XS_DIRECTORY, 0, Z("/local/domain/1"), Z("secret"));

	fails(p.two, XS_READ, 0, Z("/local/domain/1/secret"), "EACCES");
	fails(p.two, XS_DIRECTORY, 0, Z("/local/domain/1"), "EACCES");
	fails(p.two, XS_DIRECTORY_PART, 0, Z("/local/domain/1\0000"), "EACCES");
	fails(p.two, XS_GET_PERMS, 0, Z("/local/domain/1/secret"), "EACCES");
	fails(p.two, XS_SET_PERMS, 0, Z("/local/domain/1/secret\0b2"), "EACCES");
	fails(p.two, XS_WRITE, 0, V("/local/domain/1/secret\0x"), "EACCES");
	fails(p.two, XS_WRITE, 0, V("/local/domain/1/new/deeper\0x"), "EACCES");
	fails(p.two, XS_MKDIR, 0, Z("/local/domain/1/new"), "EACCES");
	fails(p.two, XS_MKDIR, 0, Z("/local/domain/1/secret"), "EACCES");
	fails(p.two, XS_RM, 0, Z("/local/domain/1/secret"), "EACCES");
	fails(p.two, XS_RM, 0, Z("/local/domain/1"), "EACCES");
	/* Absence is a secret as well. */
	fails(p.two, XS_READ, 0, Z("/local/domain/1/nothing"), "EACCES");
	lacks(p.one, 0, "/local/domain/1/nothing");
	fails(p.two, XS_READ, 0, Z("/"), "EACCES");
	fails(p.two, XS_WRITE, 0, V("/top\0x"), "EACCES");
	has(p.dom0, 0, "/local/domain/1/secret", "s");
	clients_free(&p);
}

static void letters(void **state)
{
	struct pair p = clients(state);

	put(p.dom0, 0, "/k", "v");
	ok(p.dom0, XS_SET_PERMS, 0, Z("/k\0n0\0r1\0w2"));
	gives(p.one, XS_GET_PERMS, 0, Z("/k"), Z("n0\0r1\0w2"));
	has(p.one, 0, "/k", "v");
	fails(p.one, XS_WRITE, 0, V("/k\0x"), "EACCES");
	fails(p.two, XS_READ, 0, Z("/k"), "EACCES");
	put(p.two, 0, "/k", "x");
	has(p.one, 0, "/k", "x");
	fails(p.two, XS_SET_PERMS, 0, Z("/k\0n0\0b2"), "EACCES");
	ok(p.dom0, XS_SET_PERMS, 0, Z("/k\0r0\0n1\0b2"));
	fails(p.one, XS_READ, 0, Z("/k"), "EACCES");
	has(p.two, 0, "/k", "x");
	put(p.two, 0, "/k", "y");
	/* The first entry's letter is for everybody who is not named. */
	ok(p.dom0, XS_SET_PERMS, 0, Z("/k\0b0"));
	put(p.one, 0, "/k", "z");
	has(p.two, 0, "/k", "z");
	clients_free(&p);
}

static void owner_sets_permissions(void **state)
{
	struct pair p = clients(state);

	put(p.one, 0, "data", "d");
	ok(p.one, XS_SET_PERMS, 0, Z("data\0n1\0r2"));
	has(p.two, 0, "/local/domain/1/data", "d");
	fails(p.one, XS_SET_PERMS, 0, Z("data\0n2"), "EPERM");
	gives(p.one, XS_GET_PERMS, 0, Z("data"), Z("n1\0r2"));
	ok(p.one, XS_SET_PERMS, 0, Z("data\0b1\0r2\0r3\0r4\0r5"));
	fails(p.one, XS_SET_PERMS, 0, Z("data\0b1\0r2\0r3\0r4\0r5\0r6"), "ENOSPC");
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/1/data\0b2\0r2\0r3\0r4\0r5\0r6"));
	fails(p.one, XS_SET_PERMS, 0, Z("data\0n1"), "EACCES");
	clients_free(&p);
}

static void inheritance(void **state)
{
	struct pair p = clients(state);

	ok(p.dom0, XS_MKDIR, 0, Z("/share"));
	ok(p.dom0, XS_SET_PERMS, 0, Z("/share\0r0\0b1"));
	/* Domain 0's children take the parent's list as it is. */
	put(p.dom0, 0, "/share/zero/below", "");
	gives(p.dom0, XS_GET_PERMS, 0, Z("/share/zero"), Z("r0\0b1"));
	gives(p.dom0, XS_GET_PERMS, 0, Z("/share/zero/below"), Z("r0\0b1"));
	/* A guest becomes the owner. */
	put(p.one, 0, "/share/one/below", "");
	gives(p.dom0, XS_GET_PERMS, 0, Z("/share/one"), Z("r1\0b1"));
	gives(p.dom0, XS_GET_PERMS, 0, Z("/share/one/below"), Z("r1\0b1"));
	/* Later changes of the parent do not reach them. */
	ok(p.dom0, XS_SET_PERMS, 0, Z("/share\0n0"));
	has(p.two, 0, "/share/one", "");
	clients_free(&p);
}

static void privileged_only(void **state)
{
	struct pair p = clients(state);

	fails(p.one, XS_CONTROL, 0, Z("help"), "EACCES");
	fails(p.one, XS_INTRODUCE, 0, Z("2\0001\0001"), "EACCES");
	fails(p.one, XS_RELEASE, 0, Z("2"), "EACCES");
	fails(p.one, XS_IS_DOMAIN_INTRODUCED, 0, Z("1"), "EACCES");
	fails(p.one, XS_RESUME, 0, Z("2"), "EACCES");
	fails(p.one, XS_SET_TARGET, 0, Z("1\0002"), "EACCES");
	fails(p.one, XS_SET_PERMS, 0, Z("@releaseDomain\0r1"), "EACCES");
	gives(p.one, XS_GET_DOMAIN_PATH, 0, Z("32752"), Z("/local/domain/1"));
	clients_free(&p);
}

static void target(void **state)
{
	struct pair p = clients(state);

	put(p.two, 0, "x", "v");
	xsd_domain_introduced(*state, 1);
	ok(p.dom0, XS_SET_TARGET, 0, Z("1\0002"));
	has(p.one, 0, "/local/domain/2/x", "v");
	xsd_domain_released(*state, 1);
	fails(p.one, XS_READ, 0, Z("/local/domain/2/x"), "EACCES");
	clients_free(&p);
}

static void fill(struct client *cl, uint32_t tx, int from, int to)
{
	char path[32];

	for (int i = from; i < to; i++) {
		snprintf(path, sizeof path, "d%d/%d", i / 100, i);
		put(cl, tx, path, "");
	}
}

static void node_quota(void **state)
{
	struct pair p = clients(state);
	uint32_t tx;

	/* Its own directory counts too: 1 + 9 + 890. */
	fill(p.one, 0, 0, 890);
	fill(p.one, 0, 890, 900);
	fill(p.one, 0, 900, 989);
	fails(p.one, XS_MKDIR, 0, Z("d0/a"), "ENOSPC");
	fails(p.one, XS_WRITE, 0, V("d0/a\0x"), "ENOSPC");
	put(p.one, 0, "d0/1", "old ones can be written");
	/* Domain 0 may still make one there, on the guest's account. */
	put(p.dom0, 0, "/local/domain/1/d0/by-dom0", "");
	ok(p.one, XS_RM, 0, Z("d0/2"));
	fails(p.one, XS_MKDIR, 0, Z("d0/a"), "ENOSPC");
	ok(p.one, XS_RM, 0, Z("d0/3"));
	ok(p.one, XS_MKDIR, 0, Z("d0/a"));
	fails(p.one, XS_MKDIR, 0, Z("d0/b"), "ENOSPC");
	/* A branch of two needs two. */
	ok(p.one, XS_RM, 0, Z("d0/a"));
	fails(p.one, XS_MKDIR, 0, Z("d0/b/c"), "ENOSPC");
	/* In a transaction: own removals count, an abort gives nothing away. */
	tx = begin(p.one);
	ok(p.one, XS_RM, tx, Z("d1"));
	fill(p.one, tx, 1000, 1050);
	ok(p.one, XS_TRANSACTION_END, tx, Z("F"));
	ok(p.one, XS_MKDIR, 0, Z("d0/a"));
	fails(p.one, XS_MKDIR, 0, Z("d0/b"), "ENOSPC");
	/* A node given away does not count. */
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/1/d0/4\0n0"));
	ok(p.one, XS_MKDIR, 0, Z("d0/b"));
	fails(p.one, XS_MKDIR, 0, Z("d0/c"), "ENOSPC");
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/1/d0/4\0n1"));
	ok(p.one, XS_RM, 0, Z("d0/b"));
	fails(p.one, XS_MKDIR, 0, Z("d0/c"), "ENOSPC");
	/* Forgotten when the domain goes; what remains is removed without harm. */
	xsd_domain_introduced(*state, 1);
	xsd_domain_released(*state, 1);
	ok(p.one, XS_MKDIR, 0, Z("d0/c"));
	ok(p.dom0, XS_RM, 0, Z("/local/domain/1"));
	ok(p.dom0, XS_MKDIR, 0, Z("/local/domain/1"));
	ok(p.dom0, XS_SET_PERMS, 0, Z("/local/domain/1\0n1"));
	fill(p.one, 0, 0, 989);
	fails(p.one, XS_MKDIR, 0, Z("d0/a"), "ENOSPC");
	clients_free(&p);
}

/* What a commit makes and removes counts from then on. */
static void committed_nodes_count(void **state)
{
	struct pair p = clients(state);
	uint32_t tx = begin(p.one);

	fill(p.one, tx, 0, 989);
	fails(p.one, XS_MKDIR, tx, Z("d0/a"), "ENOSPC");
	commit(p.one, tx);
	fails(p.one, XS_MKDIR, 0, Z("d0/a"), "ENOSPC");
	tx = begin(p.one);
	ok(p.one, XS_RM, tx, Z("d0/1"));
	commit(p.one, tx);
	ok(p.one, XS_MKDIR, 0, Z("d0/a"));
	fails(p.one, XS_MKDIR, 0, Z("d0/b"), "ENOSPC");
	clients_free(&p);
}

static void commit_over_quota_is_a_conflict(void **state)
{
	struct pair p = clients(state);
	uint32_t tx;

	fill(p.one, 0, 0, 985);
	tx = begin(p.one);
	fill(p.one, tx, 985, 989);
	put(p.one, 0, "d0/other", "");
	commit_conflicts(p.one, tx);
	lacks(p.one, 0, "d9/985");
	put(p.one, 0, "d9/985", "");
	clients_free(&p);
}

static void node_size_quota(void **state)
{
	struct pair p = clients(state);
	char w[4000] = "x";

	memset(w + 2, 'v', sizeof w - 2);
	/* Value plus one permission of 4 bytes. */
	ok(p.one, XS_WRITE, 0, w, 2 + 2044);
	fails(p.one, XS_WRITE, 0, w, 2 + 2045, "ENOSPC");
	w[0] = 'y';
	fails(p.one, XS_WRITE, 0, w, 2 + 2045, "ENOSPC");
	lacks(p.one, 0, "y");
	w[0] = 'x';
	ok(p.dom0, XS_WRITE, 0, w, sizeof w);
	/* Names of children count for their directory. */
	memset(w, 'n', sizeof w);
	memcpy(w, "dir/", 4);
	w[4 + 1990] = '\0';
	ok(p.one, XS_MKDIR, 0, w, 4 + 1990 + 1);
	ok(p.one, XS_RM, 0, w, 4 + 1990 + 1);
	ok(p.one, XS_MKDIR, 0, w, 4 + 1990 + 1);
	w[4 + 100] = '\0';
	fails(p.one, XS_MKDIR, 0, w, 4 + 100 + 1, "ENOSPC");
	w[4 + 40] = '\0';
	ok(p.one, XS_MKDIR, 0, w, 4 + 40 + 1);
	clients_free(&p);
}

static void watch_quota(void **state)
{
	struct pair p = clients(state);
	struct client *again = client(*state, 1);
	char w[32];

	for (int i = 0; i < 128; i++) {
		size_t n = (size_t)sprintf(w, "w%d", i) + 1;

		memcpy(w + n, "t", 2);
		ok(p.one, XS_WATCH, 0, w, n + 2);
		ok(p.dom0, XS_WATCH, 0, w, n + 2);
	}
	fails(p.one, XS_WATCH, 0, Z("more\0t"), "ENOSPC");
	/* The limit is the domain's, not the connection's. */
	fails(again, XS_WATCH, 0, Z("more\0t"), "ENOSPC");
	ok(p.dom0, XS_WATCH, 0, Z("more\0t"));
	ok(p.one, XS_UNWATCH, 0, Z("w5\0t"));
	ok(again, XS_WATCH, 0, Z("more\0t"));
	fails(p.one, XS_WATCH, 0, Z("w5\0t"), "ENOSPC");
	client_free(again);
	ok(p.one, XS_WATCH, 0, Z("w5\0t"));
	ok(p.one, XS_RESET_WATCHES, 0, "", 0);
	ok(p.one, XS_WATCH, 0, Z("w5\0t"));
	clients_free(&p);
}

static void transaction_quota(void **state)
{
	struct pair p = clients(state);
	uint32_t tx[10];

	for (int i = 0; i < 10; i++)
		tx[i] = begin(p.one);
	fails(p.one, XS_TRANSACTION_START, 0, Z(""), "ENOSPC");
	commit(p.one, tx[3]);
	tx[3] = begin(p.one);
	fails(p.one, XS_TRANSACTION_START, 0, Z(""), "ENOSPC");
	for (int i = 0; i < 20; i++)
		begin(p.dom0);
	clients_free(&p);
}

static void transaction_size_quota(void **state)
{
	struct pair p = clients(state);
	uint32_t tx = begin(p.one);
	char w[2000] = "x";

	for (int i = 0; i < 1024; i++)
		put(p.one, tx, "x", "1");
	fails(p.one, XS_WRITE, tx, V("x\0002"), "ENOSPC");
	fails(p.one, XS_READ, tx, Z("y"), "ENOSPC");
	commit(p.one, tx);
	/* Bytes: what is written in open transactions is bounded. */
	tx = begin(p.one);
	memset(w + 2, 'v', sizeof w - 2);
	for (int i = 0; i < 900; i++)
		ok(p.one, XS_WRITE, tx, w, sizeof w);
	tx = begin(p.one);
	for (int i = 0; i < 80; i++)
		ok(p.one, XS_WRITE, tx, w, sizeof w);
	request(p.one, XS_WRITE, tx, w, sizeof w);
	for (int i = 0; i < 40 && p.one->hdr.type != XS_ERROR; i++)
		request(p.one, XS_WRITE, tx, w, sizeof w);
	assert_string_equal(p.one->data, "ENOSPC");
	ok(p.one, XS_RESET_WATCHES, 0, "", 0);
	tx = begin(p.one);
	ok(p.one, XS_WRITE, tx, w, sizeof w);
	clients_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(own_directory_only),
	    store_test(letters),
	    store_test(owner_sets_permissions),
	    store_test(inheritance),
	    store_test(privileged_only),
	    store_test(target),
	    store_test(node_quota),
	    store_test(committed_nodes_count),
	    store_test(commit_over_quota_is_a_conflict),
	    store_test(node_size_quota),
	    store_test(watch_quota),
	    store_test(transaction_quota),
	    store_test(transaction_size_quota),
	};

	return cmocka_run_group_tests_name("xsd_perms", tests, NULL, NULL);
}
