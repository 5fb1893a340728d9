/* SPDX-License-Identifier: MIT */
/* Block devices, as loop devices show them: sizes, numbers, data, discard, read-only, lock. */
#include <fcntl.h>
#include <linux/blkpg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "harness.h"
#include "../lib/needs.h"

#define MIB (1u << 20)

static char file[256], dev[32];
static int loop;

static void setup(unsigned block_size, bool readonly)
{
	snprintf(file, sizeof file, "%s", test_path("backing"));
	image_fill(file, 8 * MIB);
	loop = loop_open(file, block_size, readonly, dev);
}

static void teardown(void)
{
	close(loop);
}

static void sizes(void **state)
{
	static const unsigned blocks[] = {512, 4096};
	char other[32];

	/* So that the minor number is none that stands for nothing, too. */
	image_create(test_path("other"), MIB);
	int spare = loop_open(test_path("other"), 512, false, other);
	for (unsigned i = 0; i < 2; i++) {
		struct stat st;
		struct rig r;
		setup(blocks[i], false);
		assert_int_equal(stat(dev, &st), 0);
		rig_open(&r, dev, 0);
		assert_int_equal(r.caps->size, 8 * MIB);
		assert_int_equal(r.caps->logical_block, blocks[i]);
		assert_true(r.caps->physical_block >= blocks[i]);
		assert_int_equal(r.caps->major, major(st.st_rdev));
		assert_int_equal(r.caps->minor, minor(st.st_rdev));
		assert_true(r.caps->major != 0);
		assert_true(r.caps->direct && r.caps->flush && r.caps->discard);
		assert_false(r.caps->readonly || r.caps->removable || r.caps->cdrom);
		assert_false(r.caps->discard_secure);
		assert_true(r.caps->discard_granularity >= blocks[i]);
		assert_int_equal(r.caps->discard_alignment, 0);
		rig_close(&r);
		teardown();
	}
	close(spare);
}

static void data(void **state)
{
	unsigned char *buf = buffer(MIB), *back = buffer(MIB);
	struct rig r;

	setup(512, false);
	/* Somebody's page cache, not written back. */
	memset(buf, 0x33, MIB);
	int fd = open(dev, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, buf, MIB, 4 * MIB), MIB);
	rig_open(&r, dev, 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, back, 4 * MIB, MIB), 0);
	assert_memory_equal(back, buf, MIB);
	close(fd);
	memset(buf, 0xc4, MIB);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, MIB + 512, MIB - 512), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, back, MIB, MIB), MIB);
	for (unsigned i = 0; i < MIB; i++)
		assert_int_equal(back[i], i < 512 ? pattern(MIB + i) : 0xc4);
	close(fd);
	rig_close(&r);
	teardown();
	free(buf);
	free(back);
}

static void discards(void **state)
{
	unsigned char *buf = buffer(4 * MIB);
	struct stat before, after;
	struct rig r;

	setup(512, false);
	rig_open(&r, dev, 0);
	assert_int_equal(stat(file, &before), 0);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, MIB, 2 * MIB), 0);
	assert_int_equal(stat(file, &after), 0);
	/* But for what the file system below counts of its own. */
	assert_true(before.st_blocks - after.st_blocks >= (2 * MIB - 65536) / 512);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4 * MIB), 0);
	for (unsigned i = 0; i < 4 * MIB; i++)
		if (buf[i] != (i >= MIB && i < 3 * MIB ? 0 : pattern(i)))
			fail_msg("byte %u is wrong", i);
	rig_close(&r);
	teardown();
	free(buf);
}

static void readonly_device(void **state)
{
	unsigned char *buf = buffer(4096);
	char text[ERROR_TEXT_MAX];
	struct storage *s;
	struct error err;
	struct rig r;

	setup(512, true);
	assert_int_equal(image_open(dev, 0, &s, &err), -EROFS);
	snprintf(text, sizeof text,
	         "block device %s is read-only; attach the disk with mode r, or make the device "
	         "writable (blockdev --setrw)",
	         dev);
	assert_string_equal(err.text, text);
	rig_open(&r, dev, OPEN_RO);
	assert_true(r.caps->readonly);
	assert_false(r.caps->discard);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 4096, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], pattern(4096 + i));
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 512), -EROFS);
	rig_close(&r);
	teardown();
	free(buf);
}

/* Its numbers are its own; what the whole disk knows comes from there. */
static void partition(void **state)
{
	unsigned char *buf = buffer(4096);
	/* Not at a multiple of what can be thrown away. */
	const unsigned start = MIB + 512;
	struct blkpg_partition part = {.start = start, .length = 2 * MIB, .pno = 1};
	struct blkpg_ioctl_arg arg = {
	    .op = BLKPG_ADD_PARTITION, .datalen = sizeof part, .data = &part};
	char path[40];
	struct stat st;
	struct rig r;

	setup(512, false);
	assert_int_equal(ioctl(loop, BLKPG, &arg), 0);
	snprintf(path, sizeof path, "%sp1", dev);
	/* devtmpfs or udev makes the node. */
	for (int i = 0; stat(path, &st) && i < 100; i++)
		usleep(10000);
	assert_int_equal(stat(path, &st), 0);
	rig_open(&r, path, 0);
	assert_int_equal(r.caps->size, 2 * MIB);
	assert_int_equal(r.caps->major, major(st.st_rdev));
	assert_int_equal(r.caps->minor, minor(st.st_rdev));
	assert_true(r.caps->discard);
	assert_true(r.caps->discard_granularity > 512);
	assert_int_equal(r.caps->discard_alignment,
	                 r.caps->discard_granularity - start % r.caps->discard_granularity);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], pattern(start + i));
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 2 * MIB, 512), -EINVAL);
	rig_close(&r);
	arg.op = BLKPG_DEL_PARTITION;
	assert_int_equal(ioctl(loop, BLKPG, &arg), 0);
	teardown();
	free(buf);
}

static void *release_soon(void *arg)
{
	usleep(100000);
	close(*(int *)arg);
	return NULL;
}

/* Another disk has it for good; a prober, like udev, only for a moment. */
static void lock(void **state)
{
	struct storage *s, *second;
	pthread_t thread;
	struct error err;

	setup(512, false);
	assert_int_equal(image_open(dev, 0, &s, &err), 0);
	assert_int_equal(image_open(dev, 0, &second, &err), -EBUSY);
	image_close(s);
	int fd = open(dev, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_int_equal(pthread_create(&thread, NULL, release_soon, &fd), 0);
	assert_int_equal(image_open(dev, 0, &s, &err), 0);
	image_close(s);
	pthread_join(thread, NULL);
	teardown();
}

static void not_set_up(void **state)
{
	struct storage *s;
	struct error err;
	char text[ERROR_TEXT_MAX];

	setup(512, false);
	assert_int_equal(truncate(file, 0), 0);
	assert_int_equal(ioctl(loop, 0x4C07 /* LOOP_SET_CAPACITY */), 0);
	assert_int_equal(image_open(dev, 0, &s, &err), -EINVAL);
	snprintf(text, sizeof text,
	         "block device %s has size 0; set it up or insert a medium first", dev);
	assert_string_equal(err.text, text);
	teardown();
}

/* Flushes that the device has carried out, as the kernel counts them. */
static unsigned long flushes_done(void)
{
	char path[64], line[400] = "";
	unsigned long n = 0;

	snprintf(path, sizeof path, "/sys/block/%s/stat", dev + sizeof "/dev/" - 1);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	/* The 16th number, since Linux 5.5. */
	if (sscanf(line, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %lu", &n) !=
	    1) {
		print_message("skipped: this kernel does not count flushes\n");
		skip();
	}
	return n;
}

/* Each one, also if nothing was written through this queue: others have, and it covers them. */
static void flush_reaches_the_device(void **state)
{
	unsigned char *buf = buffer(4096);
	struct rig r;

	setup(512, false);
	rig_open(&r, dev, 0);
	unsigned long before = flushes_done();
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), 0);
	assert_int_equal(flushes_done(), before);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
		assert_int_equal(flushes_done(), before + i);
	}
	rig_close(&r);
	teardown();
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes),      cmocka_unit_test(data),
	    cmocka_unit_test(discards),   cmocka_unit_test(readonly_device),
	    cmocka_unit_test(partition),  cmocka_unit_test(lock),
	    cmocka_unit_test(not_set_up), cmocka_unit_test(flush_reaches_the_device),
	};

	program_needs(loop_missing());
	return cmocka_run_group_tests_name("blockdev", tests, NULL, NULL);
}
