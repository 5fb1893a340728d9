/* SPDX-License-Identifier: MIT */
/* The compare-and-swap of a xenbus state, also with somebody else writing at the worst moment. */
#include <dlfcn.h>

#include "store_server.h"

/* ---- between store.c and libxenstore: the program's own functions come first ---- */

static int open_transactions, begun;
static int conflicts;            /* so many commits fail with EAGAIN */
static const char *other_writes; /* after the next read in a transaction: into ROOT/state */

#define REAL(name)                                     \
	__typeof__(&name) real;                        \
	do {                                           \
		void *found = dlsym(RTLD_NEXT, #name); \
		memcpy(&real, &found, sizeof real);    \
	} while (0)

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	REAL(xs_transaction_start);
	open_transactions++;
	begun++;
	return real(h);
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	REAL(xs_transaction_end);
	bool conflict = !abort && conflicts > 0;
	open_transactions--;
	if (!conflict)
		return real(h, t, abort);
	conflicts--;
	real(h, t, true);
	errno = EAGAIN;
	return false;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
	REAL(xs_read);
	void *value = real(h, t, path, len);
	int saved = errno;

	if (t != XBT_NULL && other_writes) {
		write_raw(ROOT "/state", other_writes, (unsigned)strlen(other_writes));
		other_writes = NULL;
	}
	errno = saved;
	return value;
}

static void state_cas(void **state)
{
	assert_int_equal(store_state_cas(store, ROOT "/gone", 1, 2), -ENOENT);
	assert_false(store_exists(store, XBT_NULL, ROOT "/gone", NULL)); /* never made anew */
	assert_int_equal(store_mkdir(store, XBT_NULL, ROOT "/dev"), 0);
	assert_int_equal(store_state_cas(store, ROOT "/dev", 0, 2), -ENOENT);
	assert_false(store_exists(store, XBT_NULL, ROOT "/dev", "state"));

	store_write(store, XBT_NULL, ROOT, "state", "1");
	assert_int_equal(store_state_cas(store, ROOT, 1, 2), 0);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 2);
	assert_int_equal(store_state_cas(store, ROOT, 1, 4), -ESTALE);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 2);
	/* The same value again is a write, too: front ends are to see an event. */
	assert_int_equal(store_state_cas(store, ROOT, 2, 2), 0);

	store_write(store, XBT_NULL, ROOT, "state", "junk");
	assert_int_equal(store_state_cas(store, ROOT, 1, 2), -ESTALE);
	assert_int_equal(store_state_cas(store, ROOT, XS_UNKNOWN, 2), 0);
	write_raw(ROOT "/state", "2", 2);
	assert_int_equal(store_state_cas(store, ROOT, 2, 3), -ESTALE);
	assert_int_equal(open_transactions, 0);
}

/* Another process flips the state all the time; every cas that says 0 did replace what it named. */
static void state_cas_races(void **state)
{
	pid_t child;
	int won = 0;

	store_write(store, XBT_NULL, ROOT, "state", "1");
	child = fork();
	if (!child) {
		struct store *mine;
		if (store_open(sock, &mine, NULL))
			_exit(1);
		for (int i = 0; i < 300; i++) {
			int rc;
			do
				rc = store_state_cas(mine, ROOT, 2, 1);
			while (rc == -ESTALE || rc == -EAGAIN);
			if (rc)
				_exit(1);
		}
		_exit(0);
	}
	/* Only we turn 1 into 2, only the child 2 into 1: a lost update would stop both for ever.
	 */
	alarm(30);
	while (won < 300) {
		int rc = store_state_cas(store, ROOT, 1, 2);
		if (!rc)
			won++;
		else
			assert_true(rc == -ESTALE || rc == -EAGAIN);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	alarm(0);
	assert_int_equal(status, 0);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 1);
}

/* The toolstack writes 5 between our look and our write: it must not be overwritten. */
static void state_cas_overtaken(void **state)
{
	store_write(store, XBT_NULL, ROOT, "state", "3");
	other_writes = "5";
	begun = 0;
	assert_int_equal(store_state_cas(store, ROOT, 3, 4), -ESTALE);
	assert_int_equal(begun, 2);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 5);
	/* The same value anew: tried again, and done. */
	store_write(store, XBT_NULL, ROOT, "state", "3");
	other_writes = "3";
	assert_int_equal(store_state_cas(store, ROOT, 3, 4), 0);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 4);
	assert_null(other_writes);
}

static void state_cas_conflicts(void **state)
{
	store_write(store, XBT_NULL, ROOT, "state", "1");
	conflicts = STORE_TRIES - 1;
	assert_int_equal(store_state_cas(store, ROOT, 1, 2), 0);
	assert_int_equal(conflicts, 0);
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 2);
	conflicts = 1000; /* it does end */
	assert_int_equal(store_state_cas(store, ROOT, 2, 3), -EAGAIN);
	assert_int_equal(conflicts, 1000 - STORE_TRIES);
	conflicts = 0;
	assert_int_equal(store_read_state(store, XBT_NULL, ROOT), 2);
	assert_int_equal(open_transactions, 0);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(state_cas),
	    CASE(state_cas_races),
	    CASE(state_cas_overtaken),
	    CASE(state_cas_conflicts),
	};

	return cmocka_run_group_tests_name("store_cas", tests, NULL, NULL);
}

int main(void)
{
	return with_server(run);
}
