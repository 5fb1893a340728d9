/* SPDX-License-Identifier: MIT */
/* Where direct I/O in sectors is not possible: buffered, and one log line saying why. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "harness.h"
#include "../lib/needs.h"

static char shm[64];

static void remove_shm(void)
{
	unlink(shm);
}

struct open_arg {
	struct rig rig;
	const char *path;
};

static void open_it(void *arg)
{
	struct open_arg *a = arg;

	rig_open(&a->rig, a->path, 0);
}

static void unaligned_data(struct rig *r)
{
	unsigned char *buf = buffer(8192), *back = buffer(8192);

	memset(buf, 0x5a, 8192);
	assert_int_equal(r->caps->logical_block, 512);
	assert_int_equal(rig_do(r, STORAGE_WRITE, buf, 512, 1536), 0);
	assert_int_equal(rig_do(r, STORAGE_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(rig_do(r, STORAGE_READ, back, 0, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(back[i], i >= 512 && i < 2048 ? 0x5a : pattern(i));
	assert_int_equal(rig_do(r, STORAGE_DISCARD, NULL, 0, 4096), 0);
	assert_int_equal(rig_do(r, STORAGE_READ, back, 0, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(back[i], 0);
	free(buf);
	free(back);
}

/* Whether tmpfs knows O_DIRECT depends on the kernel; it must serve either way, and say so. */
static void on_tmpfs(void **state)
{
	char log[1024], line[512];
	struct open_arg a = {.path = shm};

	snprintf(shm, sizeof shm, "/dev/shm/xenblkd-test-storage.%d", (int)getpid());
	atexit(remove_shm);
	image_fill(shm, 1 << 20);
	int fd = open(shm, O_RDWR | O_DIRECT | O_CLOEXEC);
	bool possible = fd >= 0;
	if (possible)
		close(fd);
	capture_stderr(open_it, &a, log, sizeof log);
	assert_int_equal(a.rig.caps->direct, possible);
	snprintf(line, sizeof line,
	         "xenblkd: warning: image %s: buffered I/O, because its file system has no direct "
	         "I/O\n",
	         shm);
	assert_string_equal(log, possible ? "" : line);
	unaligned_data(&a.rig);
	rig_close(&a.rig);
}

/* A file system on a disk with blocks of 4096 bytes cannot do less directly. */
static void on_large_blocks(void **state)
{
	struct open_arg a;
	char log[1024], line[512], dev[32];

	needs(loop_missing());
	private_mounts();
	image_create(test_path("fs"), 16 << 20);
	int loop = loop_open(test_path("fs"), 4096, false, dev);
	if (run((const char *const[]){"mkfs.ext4", "-q", "-b", "4096", dev, NULL})) {
		print_message("skipped: mkfs.ext4 does not work\n");
		close(loop);
		skip();
	}
	mount_new(dev, test_path("mnt"), "ext4", NULL);
	a.path = test_path("mnt/image");
	image_fill(a.path, 1 << 20);
	capture_stderr(open_it, &a, log, sizeof log);
	assert_false(a.rig.caps->direct);
	snprintf(
	    line, sizeof line,
	    "xenblkd: warning: image %s: buffered I/O, because its file system asks for larger "
	    "or stricter blocks than 512 bytes\n",
	    a.path);
	assert_string_equal(log, line);
	unaligned_data(&a.rig);
	rig_close(&a.rig);
	assert_int_equal(umount(test_path("mnt")), 0);
	close(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(on_tmpfs),
	                                   cmocka_unit_test(on_large_blocks)};

	return cmocka_run_group_tests_name("fallback", tests, NULL, NULL);
}
