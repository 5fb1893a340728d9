/* SPDX-License-Identifier: MIT */
/* Regular files and the null engine: data, capabilities, read-only, caches, files changed below. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define MIB (1u << 20)

static void expect_pattern(const unsigned char *buf, uint64_t offset, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (buf[i] != pattern(offset + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

static void caps(void **state)
{
	const char *path = test_path("caps");
	struct stat st;
	struct rig r;

	image_create(path, 5 * MIB + 512);
	assert_int_equal(stat(path, &st), 0);
	rig_open(&r, path, 0);
	assert_int_equal(r.caps->size, 5 * MIB + 512);
	assert_int_equal(r.caps->logical_block, 512);
	assert_int_equal(r.caps->physical_block, st.st_blksize > 4096 ? 4096 : st.st_blksize);
	assert_false(r.caps->readonly);
	assert_true(r.caps->flush);
	assert_true(r.caps->discard);
	assert_false(r.caps->discard_secure);
	assert_int_equal(r.caps->discard_granularity, st.st_blksize);
	assert_int_equal(r.caps->discard_alignment, 0);
	assert_false(r.caps->removable || r.caps->cdrom);
	assert_int_equal(r.caps->major, 0);
	assert_int_equal(r.caps->minor, 0);
	rig_close(&r);
}

/* Whether it is direct, as the kernel sees the one descriptor. */
static void direct(void **state)
{
	const char *path = test_path("direct");
	unsigned char *buf = buffer(512);
	unsigned found = 0;
	struct rig r;

	image_create(path, MIB);
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	bool possible = fd >= 0 && pread(fd, buf, 512, 0) == 512;
	close(fd);
	rig_open(&r, path, 0);
	assert_int_equal(r.caps->direct, possible);
	for (int i = 3; i < 100; i++) {
		char link[40], to[256] = "";
		snprintf(link, sizeof link, "/proc/self/fd/%d", i);
		if (readlink(link, to, sizeof to - 1) < 0 || strcmp(to, path))
			continue;
		int flags = fcntl(i, F_GETFL);
		/* The claim, which no I/O goes through. */
		if (possible && !(flags & O_DIRECT))
			continue;
		assert_int_equal(flags & O_ACCMODE, O_RDWR);
		assert_true(fcntl(i, F_GETFD) & FD_CLOEXEC);
		found++;
	}
	assert_int_equal(found, possible ? 1 : 2);
	rig_close(&r);
	free(buf);
}

static void data(void **state)
{
	const char *path = test_path("data");
	unsigned char *buf = buffer(2 * MIB), *back = buffer(8 * MIB);
	struct rig r;

	image_fill(path, 8 * MIB);
	rig_open(&r, path, 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 2 * MIB), 0);
	expect_pattern(buf, 0, 2 * MIB);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 8 * MIB - 512, 512), 0);
	expect_pattern(buf, 8 * MIB - 512, 512);
	memset(buf, 0xee, 2 * MIB);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 3 * MIB + 512, MIB), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	rig_close(&r);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, back, 8 * MIB, 0), 8 * MIB);
	close(fd);
	expect_pattern(back, 0, 3 * MIB + 512);
	assert_memory_equal(back + 3 * MIB + 512, buf, MIB);
	expect_pattern(back + 4 * MIB + 512, 4 * MIB + 512, 4 * MIB - 512);
	free(buf);
	free(back);
}

/* More than fit the ring, which the engine then submits by itself. */
static void many_at_once(void **state)
{
	enum { N = 300 };
	const char *path = test_path("many");
	unsigned char *buf = buffer(N * 4096);
	struct rig_io *io = calloc(N, sizeof *io);
	struct rig r;

	image_fill(path, N * 4096);
	rig_open(&r, path, 0);
	for (unsigned i = 0; i < N; i++)
		rig_submit(&r, &io[i], STORAGE_READ, buf + i * 4096, (N - 1 - i) * 4096, 4096);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(rig_wait(&r, &io[i]), 0);
		expect_pattern(buf + i * 4096, (N - 1 - i) * 4096, 4096);
	}
	rig_close(&r);
	free(io);
	free(buf);
}

/* A write behind the end would make the image grow. */
static void out_of_range(void **state)
{
	const char *path = test_path("range");
	unsigned char *buf = buffer(4096);
	struct stat st;
	struct rig r;

	image_create(path, MIB);
	rig_open(&r, path, 0);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, MIB, 512), -EINVAL);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, MIB - 512, 1024), -EINVAL);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, UINT64_MAX - 511, 512), -EINVAL);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 512, UINT64_MAX - 511), -EINVAL);
	struct rig_io io;
	rig_submit(&r, &io, STORAGE_DISCARD, NULL, MIB, 0);
	assert_int_not_equal(io.order, 0);
	assert_int_equal(io.rc, 0);
	rig_close(&r);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, MIB);
	free(buf);
}

static void readonly(void **state)
{
	const char *path = test_path("ro");
	unsigned char *buf = buffer(4096);
	struct rig r;

	image_fill(path, MIB);
	assert_int_equal(chmod(path, 0400), 0);
	rig_open(&r, path, OPEN_RO);
	assert_true(r.caps->readonly);
	assert_false(r.caps->discard);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), -EROFS);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 4096), -EROFS);
	/* Nothing to flush: done at once. */
	struct rig_io io;
	rig_submit(&r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_not_equal(io.order, 0);
	assert_int_equal(io.rc, 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 4096, 4096), 0);
	expect_pattern(buf, 4096, 4096);
	bool found = false;
	for (int i = 3; i < 100; i++) {
		char link[40], to[256] = "";
		snprintf(link, sizeof link, "/proc/self/fd/%d", i);
		if (readlink(link, to, sizeof to - 1) < 0 || strcmp(to, path))
			continue;
		assert_int_equal(fcntl(i, F_GETFL) & O_ACCMODE, O_RDONLY);
		found = true;
	}
	assert_true(found);
	rig_close(&r);
	free(buf);
}

static unsigned resident(const char *path, size_t size)
{
	unsigned char pages[4 * MIB / 4096];
	unsigned n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, size, pages), 0);
	for (size_t i = 0; i < size / 4096; i++)
		n += pages[i] & 1;
	munmap(map, size);
	close(fd);
	return n;
}

static void cache_dropped(void **state)
{
	static const int flags[] = {0, OPEN_RO};
	const char *path = test_path("cache");
	unsigned char *buf = buffer(4 * MIB);

	for (unsigned i = 0; i < 2; i++) {
		struct rig r;
		image_fill(path, 4 * MIB);
		assert_int_equal(resident(path, 4 * MIB), 4 * MIB / 4096);
		rig_open(&r, path, flags[i]);
		assert_int_equal(resident(path, 4 * MIB), 0);
		assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4 * MIB), 0);
		expect_pattern(buf, 0, 4 * MIB);
		rig_close(&r);
	}
	free(buf);
}

/* What the kernel is asked to do for a flush: without it nothing but a power cut would tell. */
static void flush_reaches_the_kernel(void **state)
{
	const char *path = test_path("flush");
	struct rig_io io = {.io = {.op = STORAGE_FLUSH}};
	struct rig r;
	char name[64], target[PATH_MAX] = "";

	image_create(path, MIB);
	rig_open(&r, path, 0);
	rig_submit(&r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(rig_wait(&r, &io), 0);
	io.order = 0;
	storage_submit(r.queue, &io.io);
	unsigned last = (r.ring.sq.sqe_tail - 1) & r.ring.sq.ring_mask;
	const struct io_uring_sqe *sqe = &r.ring.sq.sqes[last];
	assert_int_equal(io_uring_sq_ready(&r.ring), 1);
	assert_int_equal(sqe->opcode, IORING_OP_FSYNC);
	assert_int_equal(sqe->fsync_flags, IORING_FSYNC_DATASYNC);
	snprintf(name, sizeof name, "/proc/self/fd/%d", sqe->fd);
	assert_true(readlink(name, target, sizeof target - 1) > 0);
	assert_string_equal(target, path);
	assert_int_equal(rig_wait(&r, &io), 0);
	rig_close(&r);
}

static void truncated_below(void **state)
{
	const char *path = test_path("truncated");
	unsigned char *buf = buffer(65536);
	struct rig r;

	image_fill(path, MIB);
	rig_open(&r, path, 0);
	/* Wholly behind the end; across it; across an end within a sector. */
	assert_int_equal(truncate(path, 65536), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 131072, 4096), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 32768, 65536), -EIO);
	assert_int_equal(truncate(path, 33768), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 32768, 4096), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 32768), 0);
	expect_pattern(buf, 0, 32768);
	rig_close(&r);
	free(buf);
}

static void unlinked_below(void **state)
{
	const char *path = test_path("unlinked");
	unsigned char *buf = buffer(4096);
	struct rig r;

	image_fill(path, MIB);
	rig_open(&r, path, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 8192, 4096), 0);
	expect_pattern(buf, 8192, 4096);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096), 0);
	expect_pattern(buf, 8192, 4096);
	rig_close(&r);
	free(buf);
}

static void null_engine(void **state)
{
	unsigned char *buf = buffer(4096), *zeros = buffer(4096);
	struct rig_io io;
	struct rig r;

	memset(buf, 0xff, 4096);
	rig_open(&r, "null:1T", 0);
	assert_int_equal(r.caps->size, 1ull << 40);
	assert_int_equal(r.caps->logical_block, 512);
	assert_true(r.caps->discard && r.caps->flush && !r.caps->readonly);
	rig_submit(&r, &io, STORAGE_WRITE, buf, 0, 4096);
	assert_int_equal(io.order, 1);
	assert_int_equal(io.rc, 0);
	rig_submit(&r, &io, STORAGE_READ, buf, (1ull << 40) - 4096, 4096);
	assert_int_equal(io.order, 2);
	assert_memory_equal(buf, zeros, 4096);
	rig_submit(&r, &io, STORAGE_DISCARD, NULL, 0, 1ull << 40);
	assert_int_equal(io.order, 3);
	assert_int_equal(io.rc, 0);
	rig_submit(&r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(io.order, 4);
	rig_close(&r);
	rig_open(&r, "null:1M", OPEN_RO);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 512), -EROFS);
	assert_false(r.caps->discard);
	rig_close(&r);
	free(buf);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(caps),
	    cmocka_unit_test(direct),
	    cmocka_unit_test(data),
	    cmocka_unit_test(many_at_once),
	    cmocka_unit_test(out_of_range),
	    cmocka_unit_test(readonly),
	    cmocka_unit_test(cache_dropped),
	    cmocka_unit_test(truncated_below),
	    cmocka_unit_test(unlinked_below),
	    cmocka_unit_test(null_engine),
	    cmocka_unit_test(flush_reaches_the_kernel),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
