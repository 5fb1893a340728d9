/* SPDX-License-Identifier: MIT */
/* Discards: what is offered, what a device takes back, and that nobody waits for a slow one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "loop_device.h"

#define ID "1:xvda"
#define SEED 61

static int discard(struct xenblkfront *f, uint64_t sector, uint64_t n)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_DISCARD, .sector = sector, .nr_sectors = n};

	return host_request(f, &r);
}

static bool write_number(const char *path, unsigned value)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fprintf(f, "%u", value) > 0;

	return f ? !fclose(f) && ok : false;
}

static void not_wanted_by_the_toolstack(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path, .discard_enable = "0"}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-discard"), "0");
	assert_string_equal(host_read(h, host_be(1, XVDA), "discard-granularity"), "");
	assert_int_equal(discard(f, 0, 8), BLKIF_RSP_EOPNOTSUPP);
	assert_reads(f, 0, SEED);
	front_end(f);
}

/* A loop device of our own, number included: what is done to it here cannot be undone. */
static int own_loop;

static void own_loop_remove(void)
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (own_loop && ioctl(ctl, LOOP_CTL_REMOVE, own_loop))
		print_message("# /dev/loop%d is left behind\n", own_loop);
	own_loop = 0;
	close(ctl);
}

static void own_loop_setup(const char *path, char number[32])
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	char line[300], dev[64];
	struct stat st;

	own_loop = ioctl(ctl, LOOP_CTL_ADD, 300 + getpid() % 700);
	close(ctl);
	snprintf(dev, sizeof dev, "/dev/loop%d", own_loop);
	snprintf(line, sizeof line, "losetup %s %s 2>/dev/null", dev, path);
	if (own_loop < 0 || system(line) || stat(dev, &st)) {
		own_loop = 0;
		print_message("skipped: no loop device of my own\n");
		skip();
	}
	atexit(own_loop_remove);
	snprintf(number, 32, "%x:%x", major(st.st_rdev), minor(st.st_rdev));
}

/* A device that offers it and then does not do it. */
static void withdrawn_at_run_time(void **state)
{
	struct host *h = *state;
	char path[200], number[32], line[128];

	make_image(h, "a.img", SEED, path);
	own_loop_setup(path, number);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "physical-device", "%s", number);
	host_write(h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(h, ID);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-discard"), "1");
	assert_true(strtoul(host_read(h, host_be(1, XVDA), "discard-granularity"), NULL, 10) > 0);
	assert_int_equal(discard(f, 0, 8), BLKIF_RSP_OKAY);
	snprintf(line, sizeof line, "/sys/block/loop%d/queue/discard_max_bytes", own_loop);
	assert_true(write_number(line, 0));
	assert_int_equal(discard(f, 8, 8), BLKIF_RSP_EOPNOTSUPP);
	wait_until(!strcmp(host_read(h, host_be(1, XVDA), "feature-discard"), "0"));
	assert_int_equal(discard(f, 8, 8), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-flush-cache"), "1");
	assert_int_equal(host_log_count(h, "withdrawn: discard"), 1);
	assert_front(f, xenblkfront_flush(f));
	assert_reads(f, 65536, SEED);
	front_end(f);
	/* Nor is it offered to the next one. */
	f = host_front_connected(h, 1, "xvda");
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-discard"), "0");
	assert_int_equal(discard(f, 8, 8), BLKIF_RSP_EOPNOTSUPP);
	front_end(f);
	host_detach(h, 1, XVDA);
	snprintf(line, sizeof line, "losetup -d /dev/loop%d", own_loop);
	assert_int_equal(system(line), 0);
	own_loop_remove();
}

/* A file system that is frozen: discards hang, reads do not. */
static void reads_go_on_beside_a_slow_discard(void **state)
{
	struct host *h = *state;
	struct xenblkfront_response rsp[4];
	char back[200], dir[100], path[200], dev[64], number[32], line[400];
	uint32_t ref;
	void *page;

	snprintf(back, sizeof back, "%s", host_image(h, "fs.img", 64 * MIB));
	loop_setup(back, 512, dev, number);
	snprintf(dir, sizeof dir, "%s/frozen", h->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(line, sizeof line, "mke2fs -q -t ext4 %s 16384", dev);
	if (system(line) || mount(dev, dir, "ext4", 0, NULL)) {
		loop_end(dev);
		print_message("skipped: cannot mount a file system of my own\n");
		skip();
	}
	loop_end(dev); /* it goes with the mount */
	snprintf(path, sizeof path, "%s/a.img", dir);
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB), 0);
	host_fill(path, MIB, SEED);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD, .nr_sectors = 64};
	struct xenblkfront_request r = {
	    .op = BLKIF_OP_READ, .nr_segments = 1, .sector = 128, .seg = {{ref, 0, 7}}};
	assert_front(f, xenblkfront_queue(f, &d, 1000));
	d.sector = 64;
	assert_front(f, xenblkfront_queue(f, &d, 1001));
	assert_front(f, xenblkfront_kick(f));
	bool good = true;
	for (unsigned i = 0; i < 200 && good; i++) {
		good = !xenblkfront_queue(f, &r, i) && !xenblkfront_kick(f) &&
		       xenblkfront_reap(f, rsp, 4, -1) == 1 && rsp[0].id == i &&
		       rsp[0].status == BLKIF_RSP_OKAY;
	}
	assert_int_equal(ioctl(fd, FITHAW, 0), 0);
	assert_true(good);
	for (unsigned i = 0; i < 2; i++) {
		assert_front(f, xenblkfront_reap(f, rsp, 1, -1));
		assert_int_equal(rsp[0].id, 1000 + i); /* one after the other */
		assert_int_equal(rsp[0].status, BLKIF_RSP_OKAY);
	}
	close(fd);
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(not_wanted_by_the_toolstack),
	    case_of(withdrawn_at_run_time),
	    case_of(reads_go_on_beside_a_slow_discard),
	};

	return cmocka_run_group_tests_name("withdrawn", tests, NULL, NULL);
}
