/* SPDX-License-Identifier: MIT */
/* Completions that are less than asked for: the kernel's, with another result put in their place.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define SIZE 65536

/* The next completion happens as if its result had been res. */
static void complete_as(struct rig *r, int res)
{
	struct io_uring_cqe *cqe;

	assert_true(io_uring_submit(&r->ring) >= 0);
	assert_int_equal(io_uring_wait_cqe(&r->ring, &cqe), 0);
	struct uring_op *op = io_uring_cqe_get_data(cqe);
	io_uring_cqe_seen(&r->ring, cqe);
	op->done(op, res);
}

static void setup(struct rig *r)
{
	image_fill(test_path("image"), SIZE);
	rig_open(r, test_path("image"), 0);
}

/* What was not read yet is read again, from a whole sector on; the rest is left alone. */
static void short_read(void **state)
{
	unsigned char *buf = buffer(16384);
	struct rig_io io;
	struct rig r;

	setup(&r);
	rig_submit(&r, &io, STORAGE_READ, buf, 8192, 16384);
	complete_as(&r, 4096);
	memset(buf, 0xff, 16384);
	complete_as(&r, 1023);
	memset(buf + 4096, 0xff, 12288);
	assert_int_equal(io.order, 0);
	assert_int_equal(rig_wait(&r, &io), 0);
	for (unsigned i = 0; i < 16384; i++)
		assert_int_equal(buf[i], i < 4608 ? 0xff : pattern(8192 + i));
	rig_close(&r);
	free(buf);
}

static void short_write(void **state)
{
	unsigned char *buf = buffer(16384), *back = buffer(16384);
	struct rig_io io;
	struct rig r;

	setup(&r);
	memset(buf, 0x44, 16384);
	rig_submit(&r, &io, STORAGE_WRITE, buf, 8192, 16384);
	complete_as(&r, 12288);
	memset(buf, 0x55, 16384);
	assert_int_equal(rig_wait(&r, &io), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, back, 8192, 16384), 0);
	for (unsigned i = 0; i < 16384; i++)
		assert_int_equal(back[i], i < 12288 ? 0x44 : 0x55);
	rig_close(&r);
	free(buf);
	free(back);
}

/* The pause before the next attempt, which is over at once here. Its length in ms. */
static long long pass_pause(struct rig *r, struct rig_io *io)
{
	long long ns = io->io.pause.tv_nsec;

	assert_int_equal(io->order, 0);
	io->io.pause.tv_nsec = 1;
	complete_as(r, -ETIME);
	return ns / 1000000;
}

/* What ran short is tried again, more and more slowly, but not for ever. */
static void ran_short(void **state)
{
	static const int shortages[] = {-EINTR, -EAGAIN, -ENOMEM, -ENOBUFS};

	static const enum storage_op ops[] = {STORAGE_READ, STORAGE_WRITE, STORAGE_FLUSH};
	unsigned char *buf = buffer(4096);
	struct rig_io io;
	struct rig r;

	setup(&r);
	for (unsigned i = 0; i < 3; i++) {
		rig_submit(&r, &io, ops[i], buf, 0, 4096);
		for (unsigned k = 0; k < 4; k++) {
			complete_as(&r, shortages[k]);
			assert_int_equal(pass_pause(&r, &io), 1u << k);
		}
		assert_int_equal(rig_wait(&r, &io), 0);

		rig_submit(&r, &io, ops[i], buf, 0, 4096);
		long long last = 0, sum = 0;
		for (unsigned n = 0; n < 27; n++) {
			complete_as(&r, -ENOMEM);
			long long ms = pass_pause(&r, &io);
			assert_true(ms >= last && ms <= 256);
			last = ms;
			sum += ms;
		}
		assert_in_range(sum, 4000, 6000);
		complete_as(&r, -ENOMEM);
		assert_int_equal(io.rc, -ENOMEM);
		assert_int_not_equal(io.order, 0);
	}
	rig_close(&r);
	free(buf);
}

static void errors(void **state)
{
	static const enum storage_op ops[] = {STORAGE_READ, STORAGE_WRITE, STORAGE_FLUSH};
	unsigned char *buf = buffer(4096);
	struct rig_io io;
	struct rig r;

	setup(&r);
	for (unsigned i = 0; i < 3; i++) {
		rig_submit(&r, &io, ops[i], buf, 0, 4096);
		complete_as(&r, -EREMOTEIO);
		assert_int_not_equal(io.order, 0);
		assert_int_equal(io.rc, -EREMOTEIO);
	}
	rig_submit(&r, &io, STORAGE_WRITE, buf, 0, 4096);
	complete_as(&r, 0);
	assert_int_not_equal(io.order, 0);
	assert_int_equal(io.rc, -EIO);
	rig_close(&r);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(short_read),
	    cmocka_unit_test(short_write),
	    cmocka_unit_test(ran_short),
	    cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests_name("partial", tests, NULL, NULL);
}
