/* SPDX-License-Identifier: MIT */
/* A sparse image on a file system that fills up: an error, and no more than that. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "harness.h"
#include "../lib/needs.h"

#define MIB (1u << 20)

/* Writes all of the image until that fails; how much went well. */
static uint64_t fill(struct rig *r, unsigned char *buf, int *rc)
{
	uint64_t at = 0;

	do {
		*rc = rig_do(r, STORAGE_WRITE, buf, at, MIB);
		at += *rc ? 0 : MIB;
	} while (!*rc && at < r->caps->size);
	return at;
}

static void full_and_back(const char *image, const char *filler)
{
	unsigned char *buf = buffer(MIB), *back = buffer(MIB);
	struct rig r;
	int rc;

	memset(buf, 0xa7, MIB);
	image_fill(filler, 4 * MIB);
	image_create(image, 64 * MIB);
	rig_open(&r, image, 0);
	uint64_t end = fill(&r, buf, &rc);
	assert_int_equal(rc, -ENOSPC);
	assert_true(end >= MIB && end < 64 * MIB);
	/* What is there can be read and written. */
	assert_int_equal(rig_do(&r, STORAGE_READ, back, end - MIB, MIB), 0);
	assert_memory_equal(back, buf, MIB);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, MIB), 0);
	/* Room is made. */
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, end, MIB), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, back, end, MIB), 0);
	assert_memory_equal(back, buf, MIB);
	/* Or by a discard. */
	(void)fill(&r, buf, &rc);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 4 * MIB), 0);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 60 * MIB, MIB), 0);
	rig_close(&r);
	free(buf);
	free(back);
}

static void on_tmpfs(void **state)
{
	mount_new("none", test_path("tmpfs"), "tmpfs", "size=16m");
	full_and_back(test_path("tmpfs/image"), test_path("tmpfs/filler"));
	assert_int_equal(umount(test_path("tmpfs")), 0);
}

static void on_disk(void **state)
{
	char dev[32];

	image_create(test_path("fs"), 24 * MIB);
	int loop = loop_open(test_path("fs"), 512, false, dev);
	if (run((const char *const[]){"mkfs.ext4", "-q", "-m", "0", dev, NULL})) {
		print_message("skipped: mkfs.ext4 does not work\n");
		close(loop);
		skip();
	}
	mount_new(dev, test_path("mnt"), "ext4", NULL);
	full_and_back(test_path("mnt/image"), test_path("mnt/filler"));
	assert_int_equal(umount(test_path("mnt")), 0);
	close(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(on_tmpfs), cmocka_unit_test(on_disk)};

	program_needs(loop_missing());
	private_mounts();
	return cmocka_run_group_tests_name("nospace", tests, NULL, NULL);
}
