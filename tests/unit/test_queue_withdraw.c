/* SPDX-License-Identifier: MIT */
/* A queue over a storage that takes back what it promised: the request is answered EOPNOTSUPP, the
 * control thread hears of it once, and the storage is not asked again. */
#include "queue_fixture.h"

/* Notices since the last look. */
static uint64_t notices(struct fixture *x)
{
	eventfd_t n;

	return eventfd_read(x->notice, &n) ? 0 : n;
}

static void flushes(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, BLKIF_OP_WRITE_BARRIER, 0), BLKIF_RSP_OKAY);
	assert_int_equal(notices(x), 0);
	device.flush = false;
	unsigned before = device.flushes;
	assert_int_equal(ask(x, BLKIF_OP_WRITE_BARRIER, 0), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(device.flushes, before + 1);
	assert_int_equal(notices(x), 1);
	assert_int_equal(x->shared.withdrawn, WM_NO_FLUSH);
	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(ask(x, BLKIF_OP_WRITE_BARRIER, 0), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(device.flushes, before + 1);
	assert_int_equal(notices(x), 0);
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, 0), BLKIF_RSP_OKAY);
}

static void discards(void **state)
{
	struct fixture *x = *state;

	device.discard = false;
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, 0), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(notices(x), 1);
	assert_int_equal(x->shared.withdrawn, WM_NO_DISCARD);
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, BLKIF_DISCARD_SECURE), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(device.discards, 1);
	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
}

/* Only the secure kind: who asks for it must not be told that it was done. */
static void secure_discards(void **state)
{
	struct fixture *x = *state;

	device.secure = false;
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, BLKIF_DISCARD_SECURE), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(x->shared.withdrawn, WM_NO_SECURE_DISCARD);
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, 0), BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, BLKIF_OP_DISCARD, BLKIF_DISCARD_SECURE), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(notices(x), 1);
	assert_int_equal(device.discards, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(flushes, setup, teardown),
	    cmocka_unit_test_setup_teardown(discards, setup, teardown),
	    cmocka_unit_test_setup_teardown(secure_discards, setup, teardown),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("queue_withdraw", tests, start_xen, stop_xen);
}
