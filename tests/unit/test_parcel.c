/* SPDX-License-Identifier: MIT */
/* A parcel says what is in it, and the claim lasts as long as one who has the parcel. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/scratch.h"
#include "storage/claim.h"
#include "storage/locks.h"
#include "storage/parcel.h"

static char path[300];

static int setup(void **state)
{
	int fd = mkstemp(scratch_path(path, sizeof path, "parcel.XXXXXX"));

	close(fd);
	return fd < 0;
}

static int teardown(void **state)
{
	return unlink(path);
}

static bool locked(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool is = locks_met(fd, locks_byte(LOCK_OWNER), 1, true, NULL);

	close(fd);
	return is;
}

static void label(void **state)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
	struct parcel_label l;
	struct stat st;

	for (int i = 0; i < 3; i++) {
		int fd = open(path, modes[i] | O_CLOEXEC), parcel = parcel_make(fd);
		assert_int_equal(fstat(fd, &st), 0);
		close(fd);
		/* It is only looked at, so often that anybody likes. */
		for (int j = 0; j < 3; j++)
			assert_int_equal(parcel_read(parcel, &l), 0);
		assert_int_equal(l.identity.dev, st.st_dev);
		assert_int_equal(l.identity.ino, st.st_ino);
		assert_false(l.block);
		assert_int_equal(parcel_has_mode(parcel, true), modes[i] == O_RDONLY);
		assert_int_equal(parcel_has_mode(parcel, false), modes[i] == O_RDWR);
		close(parcel);
	}
}

static void lasts(void **state)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), parcel = parcel_make(fd), copy = dup(parcel);

	assert_int_equal(locks_take(fd, locks_byte(LOCK_OWNER), true, false), 0);
	close(fd);
	assert_true(locked());
	close(parcel);
	fd = parcel_open(copy);
	assert_true(fd >= 0);
	assert_true(claim_has_mode(fd, false));
	close(fd);
	assert_true(locked());
	close(copy);
	assert_false(locked());
}

static void others(void **state)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), pair[2];
	struct parcel_label l = {.magic = 1};

	assert_int_equal(parcel_read(fd, &l), -ENOTSOCK);
	assert_int_equal(parcel_open(fd), -ENOTSOCK);
	assert_int_equal(parcel_open(-1), -EBADF);
	close(fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	/* Empty. */
	assert_int_equal(parcel_read(pair[0], &l), -EAGAIN);
	assert_int_equal(send(pair[1], &l, sizeof l, 0), sizeof l);
	assert_int_equal(parcel_read(pair[0], &l), -EBADMSG);
	assert_int_equal(parcel_open(pair[0]), -EBADMSG);
	close(pair[0]);
	close(pair[1]);
	/* Not an image. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(parcel_make(pair[0]), -EINVAL);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(label),
	    cmocka_unit_test(lasts),
	    cmocka_unit_test(others),
	};

	return cmocka_run_group_tests_name("parcel", tests, setup, teardown);
}
