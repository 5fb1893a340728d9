/* SPDX-License-Identifier: MIT */
/* What a front end is told of a block device's discards, and what becomes of them: a partition that
 * begins at no multiple of the granularity, and a device that can do secure ones. */
#include <fcntl.h>
#include <linux/blkpg.h>
#include <sys/ioctl.h>

#include "loop_device.h"

#define ID "1:xvda"
#define SEED 47
#define START (65536 + 512)
#define LENGTH 524288

struct fixture {
	struct host h;
	struct xenblkfront *f;
	char dev[64];
};

/* The device that has a partition: it goes with this process, as the device itself does not take it
 * along. */
static char whole[64];

static int partition_op(int op)
{
	struct blkpg_partition part = {.start = START, .length = LENGTH, .pno = 1};
	struct blkpg_ioctl_arg arg = {.op = op, .datalen = sizeof part, .data = &part};
	int fd = open(whole, O_RDWR | O_CLOEXEC);
	int rc = fd < 0 ? -1 : ioctl(fd, BLKPG, &arg);

	if (fd >= 0)
		close(fd);
	return rc;
}

static void partition_end(void)
{
	if (whole[0] && partition_op(BLKPG_DEL_PARTITION))
		print_message("# a partition of %s is left behind\n", whole);
	whole[0] = '\0';
}

/* The first partition of dev: its name, and its numbers. */
static void partition_make(const char *dev, char path[72], char number[32])
{
	static bool registered;
	struct stat st;

	if (!registered)
		atexit(partition_end);
	registered = true;
	snprintf(whole, sizeof whole, "%.63s", dev);
	assert_int_equal(partition_op(BLKPG_ADD_PARTITION), 0);
	snprintf(path, 72, "%sp1", whole);
	/* devtmpfs or udev makes the node. */
	wait_until(!stat(path, &st));
	snprintf(number, 32, "%x:%x", major(st.st_rdev), minor(st.st_rdev));
}

static void start(struct fixture *x, const char *worker)
{
	char path[200], number[32], part[72];

	host_start_with(&x->h, worker, NULL);
	make_image(&x->h, "a.img", SEED, path);
	loop_setup(path, 512, x->dev, number);
	partition_make(x->dev, part, number);
	host_disk(&x->h, &(struct disk){.params = part});
	host_wait_state(&x->h, 1, XVDA, XS_INITWAIT);
	host_write(&x->h, host_be(1, XVDA), "physical-device", "%s", number);
	host_write(&x->h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(&x->h, ID);
	x->f = host_front_connected(&x->h, 1, "xvda");
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return 0;
}

/* Also after a failure: a worker that is left would hold the partition, and that the device. */
static int teardown(void **state)
{
	struct fixture *x = *state;

	if (x->f) {
		front_end(x->f);
		host_detach(&x->h, 1, XVDA);
	}
	host_stop(&x->h);
	partition_end();
	loop_end(x->dev);
	free(x);
	return 0;
}

static int discard(struct fixture *x, uint64_t sector, uint64_t n, uint8_t flag)
{
	struct xenblkfront_request r = {
	    .op = BLKIF_OP_DISCARD, .sector = sector, .nr_sectors = n, .flag = flag};

	return host_request(x->f, &r);
}

/* Those sectors are gone, what is beside them is not. */
static void assert_gone(struct fixture *x, uint64_t sector, unsigned n)
{
	uint8_t got[65536], want[65536];
	size_t length = (n + 2) * 512;

	assert_true(length <= sizeof got);
	assert_front(x->f, xenblkfront_read(x->f, (sector - 1) * 512, got, length));
	host_pattern(want, START + (sector - 1) * 512, length, SEED);
	memset(want + 512, 0, n * 512);
	assert_memory_equal(got, want, length);
}

static unsigned number_of_key(struct fixture *x, const char *key)
{
	return (unsigned)atoi(host_read(&x->h, host_be(1, XVDA), key));
}

/* The first unit that the device can throw away begins later than the partition. */
static void of_an_odd_partition(void **state)
{
	struct xenblkfront_info info;
	struct fixture *x = *state;

	start(x, NULL);
	unsigned granularity = number_of_key(x, "discard-granularity");
	assert_true(granularity > 512);
	assert_int_equal(number_of_key(x, "discard-alignment"), granularity - START % granularity);
	assert_string_equal(host_read(&x->h, host_be(1, XVDA), "discard-secure"), "0");
	assert_front(x->f, xenblkfront_get_info(x->f, &info));
	assert_int_equal(info.discard_granularity, granularity);
	assert_int_equal(info.discard_alignment, granularity - START % granularity);
	unsigned sector = info.discard_alignment / 512, n = 2 * granularity / 512;
	assert_int_equal(discard(x, sector, n, 0), BLKIF_RSP_OKAY);
	assert_gone(x, sector, n);
}

static void secure_ones(void **state)
{
	struct fixture *x = *state;

	start(x, "tests/integration/worker_secure");
	assert_string_equal(host_read(&x->h, host_be(1, XVDA), "discard-secure"), "1");
	unsigned first = number_of_key(x, "discard-alignment") / 512;
	unsigned n = number_of_key(x, "discard-granularity") / 512;
	char line[100];

	assert_int_equal(discard(x, first, n, 0), BLKIF_RSP_OKAY);
	assert_false(host_log_has(&x->h, "secure discard of"));
	assert_gone(x, first, n);
	first += 4 * n;
	assert_int_equal(discard(x, first, n, BLKIF_DISCARD_SECURE), BLKIF_RSP_OKAY);
	snprintf(line, sizeof line, "secure discard of %u at %u\n", n * 512, first * 512);
	wait_until(host_log_has(&x->h, line)); /* by way of the supervisor */
	assert_int_equal(host_log_count(&x->h, "secure discard of"), 1);
	assert_gone(x, first, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(of_an_odd_partition, setup, teardown),
	    cmocka_unit_test_setup_teardown(secure_ones, setup, teardown),
	};

	program_needs(lacks_admin() ?: lacks_loop_device());
	return cmocka_run_group_tests_name("device_discard", tests, NULL, NULL);
}
