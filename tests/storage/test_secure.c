/* SPDX-License-Identifier: MIT */
/* Secure discards: only where the device has them, and by the call that is meant. */
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/list.h"
#include "harness.h"
#include "storage/discard.h"
#include "../lib/needs.h"

#define MIB (1u << 20)

/* In the place of the C library's: notes each discard of either kind instead of doing it. */
static struct {
	unsigned long request;
	uint64_t offset, length;
} calls[8];
static unsigned nr_calls;
static int says; /* errno of a secure one; 0: done */

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	uint64_t *range;

	va_start(args, request);
	range = va_arg(args, uint64_t *);
	va_end(args);
	if (request != BLKDISCARD && request != BLKSECDISCARD)
		return (int)syscall(SYS_ioctl, fd, request, range);
	assert_true(nr_calls < sizeof calls / sizeof *calls);
	calls[nr_calls].request = request;
	calls[nr_calls].offset = range[0];
	calls[nr_calls++].length = range[1];
	errno = says;
	return request == BLKSECDISCARD && says ? -1 : 0;
}

static void assert_call(unsigned i, unsigned long request, uint64_t offset, uint64_t length)
{
	assert_true(i < nr_calls);
	assert_int_equal(calls[i].request, request);
	assert_int_equal(calls[i].offset, offset);
	assert_int_equal(calls[i].length, length);
}

/* ---- the helper of a block device's discards ---- */

struct one {
	struct storage_io io;
	bool done;
	int rc;
};

static void one_done(struct storage_io *io, int rc)
{
	struct one *o = container_of(io, struct one, io);

	o->done = true;
	o->rc = rc;
}

/* Its result. */
static int discard(bool secure, uint64_t offset, uint64_t length)
{
	struct one o = {.io = {.op = STORAGE_DISCARD,
	                       .secure = secure,
	                       .offset = offset,
	                       .length = length,
	                       .done = one_done}};
	struct discard_turns turns = DISCARD_TURNS_INIT;
	struct io_uring ring;
	struct discard d;

	nr_calls = 0;
	assert_int_equal(io_uring_queue_init(8, &ring, 0), 0);
	assert_int_equal(discard_start(&d, -1, true, &turns, &ring), 0);
	discard_submit(&d, &o.io);
	while (!o.done) {
		assert_true(io_uring_submit_and_wait(&ring, 1) >= 0);
		uring_reap(&ring);
	}
	discard_stop(&d);
	io_uring_queue_exit(&ring);
	return o.rc;
}

static void the_call_that_is_meant(void **state)
{
	says = 0;
	assert_int_equal(discard(false, 4096, 8192), 0);
	assert_int_equal(nr_calls, 1);
	assert_call(0, BLKDISCARD, 4096, 8192);
	assert_int_equal(discard(true, 4096, 8192), 0);
	assert_int_equal(nr_calls, 1);
	assert_call(0, BLKSECDISCARD, 4096, 8192);
}

/* Each piece of a large one. */
static void in_pieces(void **state)
{
	says = 0;
	assert_int_equal(discard(true, 63ull * MIB, 66ull * MIB), 0);
	assert_int_equal(nr_calls, 3);
	assert_call(0, BLKSECDISCARD, 63ull * MIB, MIB);
	assert_call(1, BLKSECDISCARD, 64ull * MIB, 64ull * MIB);
	assert_call(2, BLKSECDISCARD, 128ull * MIB, MIB);
}

/* No plain one is done in its place. */
static void that_fails(void **state)
{
	says = EOPNOTSUPP;
	assert_int_equal(discard(true, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(nr_calls, 1);
	assert_call(0, BLKSECDISCARD, 0, 4096);
}

/* ---- whether a device has it ---- */

static int secure_one(struct rig *r)
{
	struct rig_io io;

	/* One that does nothing fills it in. */
	rig_submit(r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(rig_wait(r, &io), 0);
	io.order = 0;
	io.io.op = STORAGE_DISCARD;
	io.io.secure = true;
	io.io.length = 4096;
	storage_submit(r->queue, &io.io);
	return rig_wait(r, &io);
}

static void asked_of_the_device(void **state)
{
	static const struct {
		int says;
		bool has;
	} rows[] = {{EINVAL, true}, {EOPNOTSUPP, false}, {ENOTTY, false}, {EIO, false}, {0, false}};
	char dev[32];

	needs(loop_missing());
	image_create(test_path("backing"), MIB);
	int loop = loop_open(test_path("backing"), 512, false, dev);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rig r;
		says = rows[i].says;
		nr_calls = 0;
		rig_open(&r, dev, 0);
		assert_true(r.caps->discard);
		assert_int_equal(r.caps->discard_secure, rows[i].has);
		/* A range that none can have: nothing is thrown away, whatever the device. */
		assert_int_equal(nr_calls, 1);
		assert_call(0, BLKSECDISCARD, 1, 0);
		/* And where it has none, neither kind is done, though it has the plain one. */
		says = 0;
		assert_int_equal(secure_one(&r), rows[i].has ? 0 : -EOPNOTSUPP);
		assert_int_equal(nr_calls, rows[i].has ? 2 : 1);
		rig_close(&r);
	}
	close(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_call_that_is_meant),
	    cmocka_unit_test(in_pieces),
	    cmocka_unit_test(that_fails),
	    cmocka_unit_test(asked_of_the_device),
	};

	return cmocka_run_group_tests_name("secure", tests, NULL, NULL);
}
