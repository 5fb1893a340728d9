/* SPDX-License-Identifier: MIT */
/* What the page cache lost before the image was opened: somebody must be told of it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define SIZE (1u << 20)

static int cache_error;

/* In place of the C library's: the kernel has an error to tell, or none. */
int fdatasync(int fd)
{
	if (!cache_error)
		return fsync(fd);
	errno = cache_error;
	return -1;
}

static void refused_at_first(void **state)
{
	static const int flags[] = {0, OPEN_RO, OPEN_SHARED};
	struct storage *s;
	struct error err;

	image_fill(test_path("image"), SIZE);
	for (unsigned i = 0; i < 3; i++) {
		cache_error = EIO;
		assert_int_equal(image_open(test_path("image"), flags[i], &s, &err), -EIO);
		assert_null(s);
		assert_non_null(strstr(err.text, "could not be flushed and may be lost"));
		assert_non_null(strstr(err.text, "attach it again"));
		cache_error = 0;
		assert_int_equal(image_open(test_path("image"), flags[i], &s, &err), 0);
		storage_close(s);
	}
}

/* Each queue once: each may have been told that its writes are done. */
static void told_to_each_queue(void **state)
{
	unsigned char *buf = buffer(4096);
	struct storage_queue *other;
	struct error err;
	struct rig r;

	image_fill(test_path("image"), SIZE);
	cache_error = ENOSPC;
	rig_open(&r, test_path("image"), OPEN_WAIT);
	cache_error = 0;
	assert_int_equal(storage_queue_open(r.storage, &r.ring, &other, &err), 0);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	struct storage_queue *first = r.queue;
	r.queue = other;
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	r.queue = first;
	storage_queue_close(other);
	rig_close(&r);
	free(buf);
}

/* Who connects later has lost nothing. */
static void not_to_the_next(void **state)
{
	struct error err;
	struct rig r;

	image_fill(test_path("image"), SIZE);
	cache_error = EIO;
	rig_open(&r, test_path("image"), OPEN_WAIT);
	cache_error = 0;
	storage_queue_close(r.queue);
	assert_int_equal(storage_queue_open(r.storage, &r.ring, &r.queue, &err), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	rig_close(&r);
}

/* A file system or descriptor that has nothing to flush has lost nothing. */
static void nothing_to_flush(void **state)
{
	static const int errors[] = {EINVAL, EROFS, EBADF};
	struct rig r;

	image_fill(test_path("image"), SIZE);
	for (unsigned i = 0; i < 6; i++) {
		cache_error = errors[i / 2];
		rig_open(&r, test_path("image"), i % 2 ? OPEN_WAIT : 0);
		assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
		rig_close(&r);
	}
	cache_error = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refused_at_first),
	    cmocka_unit_test(told_to_each_queue),
	    cmocka_unit_test(not_to_the_next),
	    cmocka_unit_test(nothing_to_flush),
	};

	return cmocka_run_group_tests_name("writeback", tests, NULL, NULL);
}
