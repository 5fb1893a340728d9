/* SPDX-License-Identifier: MIT */
/* What the page cache lost before the image was opened: somebody must be told of it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "storage/lost.h"

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
		image_close(s);
	}
}

static uint64_t note[LOST_QUEUES]; /* as the disk's folder has it, through all workers */

/* A worker comes: what an earlier one noted is known to it. */
static void worker_begin(struct lost *l)
{
	*l = (struct lost){.word = note};
	image_lost = l;
}

static void disk_begin(struct lost *l)
{
	memset(note, 0, sizeof note);
	worker_begin(l);
}

static void open_losing(struct rig *r, struct lost *l, int error)
{
	image_fill(test_path("image"), SIZE);
	disk_begin(l);
	cache_error = error;
	rig_open(r, test_path("image"), OPEN_WAIT);
	cache_error = 0;
}

static int flush(struct rig *r, unsigned queue)
{
	rig_asker = queue;
	return rig_do(r, STORAGE_FLUSH, NULL, 0, 0);
}

/* Each queue once: each may have been told that its writes are done. */
static void told_to_each_queue(void **state)
{
	unsigned char *buf = buffer(4096);
	static struct lost l;
	struct rig r;

	open_losing(&r, &l, ENOSPC);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096), 0);
	for (unsigned i = 0; i < LOST_QUEUES; i++) {
		assert_int_equal(flush(&r, i), -EIO);
		assert_int_equal(flush(&r, i), 0);
	}
	rig_close(&r);
	free(buf);
}

/* The next worker, and the one after it. */
static void told_by_a_successor(void **state)
{
	static struct lost l;
	struct rig r;

	open_losing(&r, &l, EIO);
	rig_close(&r);
	for (unsigned i = 0; i < 3; i++) {
		worker_begin(&l);
		rig_open(&r, test_path("image"), OPEN_WAIT);
		assert_int_equal(flush(&r, i), -EIO);
		for (unsigned told = 0; told <= i; told++)
			assert_int_equal(flush(&r, told), 0);
		rig_close(&r);
	}
}

/* Killed before its answer was noted, it is done again, and must not succeed then. */
static void the_same_one_done_again(void **state)
{
	static struct lost l;

	disk_begin(&l);
	assert_false(lost_tell(&l, 0, 0));
	lost_note(&l);
	assert_true(lost_tell(&l, 0, 7));
	worker_begin(&l);
	assert_true(lost_tell(&l, 0, 7));
	assert_false(lost_tell(&l, 0, 8));
	assert_true(lost_tell(&l, 1, 0));
	assert_true(lost_tell(&l, 1, 0));
	assert_false(lost_tell(&l, 1, 1));
	/* Lost again: told again. */
	lost_note(&l);
	assert_true(lost_tell(&l, 0, 9));
	assert_true(lost_tell(&l, 1, 2));
}

/* On another ring numbers begin anew; who has not been told still is. */
static void on_another_ring(void **state)
{
	static struct lost l;

	disk_begin(&l);
	lost_note(&l);
	assert_true(lost_tell(&l, 0, 7));
	lost_renew(&l);
	worker_begin(&l);
	assert_false(lost_tell(&l, 0, 7));
	assert_true(lost_tell(&l, 1, 7));
}

/* Who connects later has lost nothing. */
static void not_to_the_next(void **state)
{
	static struct lost l;
	struct rig r;

	open_losing(&r, &l, EIO);
	lost_forget(&l);
	assert_int_equal(flush(&r, 0), 0);
	lost_forget(&l);
	rig_close(&r);
	worker_begin(&l);
	assert_false(lost_tell(&l, 0, 0));
}

/* A file system or descriptor that has nothing to flush has lost nothing. */
static void nothing_to_flush(void **state)
{
	static const int errors[] = {EINVAL, EROFS, EBADF};
	static struct lost l;
	struct rig r;

	image_fill(test_path("image"), SIZE);
	disk_begin(&l);
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
	    cmocka_unit_test(refused_at_first),    cmocka_unit_test(told_to_each_queue),
	    cmocka_unit_test(told_by_a_successor), cmocka_unit_test(the_same_one_done_again),
	    cmocka_unit_test(on_another_ring),     cmocka_unit_test(not_to_the_next),
	    cmocka_unit_test(nothing_to_flush),
	};

	return cmocka_run_group_tests_name("writeback", tests, NULL, NULL);
}
