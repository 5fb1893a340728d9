/* SPDX-License-Identifier: MIT */
/* Disks that change their size while a front end uses them: files, devices, on request, and while
 * nobody serves them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "image_lock.h"
#include "loop_device.h"

#define ID "1:xvda"
#define SEED 41

static struct xenblkfront *attach(struct host *h, char path[200])
{
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	return host_front_connected(h, 1, "xvda");
}

static uint64_t sectors(struct host *h)
{
	return strtoull(host_read(h, host_be(1, XVDA), "sectors"), NULL, 10);
}

/* One sector there: 0, or -EIO. */
static int read_at(struct xenblkfront *f, uint64_t sector)
{
	uint32_t ref;
	void *page;

	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	struct xenblkfront_request r = {
	    .op = BLKIF_OP_READ, .nr_segments = 1, .sector = sector, .seg = {{ref, 0, 0}}};
	int status = host_request(f, &r);
	assert_front(f, xenblkfront_free(f, page, 1));
	return status;
}

/* The front end sees its state written, as Linux wants it, in one transaction with the size. */
static void a_file_grows(void **state)
{
	struct host *h = *state;
	char path[200], dir[128], event[STORE_PATH_MAX], token[16];
	struct xenblkfront *f = attach(h, path);

	snprintf(dir, sizeof dir, "%s/state", host_be(1, XVDA));
	assert_int_equal(store_watch(h->store, dir, "resize"), 0);
	assert_int_equal(read_at(f, 2048), BLKIF_RSP_ERROR);
	while (store_check_watch(h->store, event, sizeof event, token, sizeof token) > 0)
		;
	assert_int_equal(truncate(path, 4 * MIB), 0);
	/* With the first event of its state the front end looks at the size. */
	wait_until(store_check_watch(h->store, event, sizeof event, token, sizeof token) > 0);
	assert_string_equal(event, dir);
	assert_int_equal(sectors(h), 8192);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_int_equal(status_number(h, ID, "sectors"), 8192);
	assert_int_equal(read_at(f, 8191), BLKIF_RSP_OKAY);
	assert_int_equal(read_at(f, 8192), BLKIF_RSP_ERROR);
	assert_reads(f, 0, SEED);
	/* And again: the watch did not end with the first one. */
	assert_int_equal(truncate(path, 5 * MIB), 0);
	wait_until(sectors(h) == 10240);
	assert_string_equal(status_text(h, ID, "error"), "");
	store_unwatch(h->store, dir, "resize");
	front_end(f);
}

/* Of a size that is no multiple of the storage's blocks, smaller physical sectors are shown. */
static void no_whole_blocks(void **state)
{
	struct host *h = *state;
	const char *key = "physical-sector-size";
	char path[200], line[500];
	struct xenblkfront *f = attach(h, path);

	assert_string_equal(host_read(h, host_be(1, XVDA), key), "4096");
	assert_int_equal(truncate(path, 8 * MIB + 512), 0);
	wait_until(sectors(h) == 16385);
	assert_string_equal(host_read(h, host_be(1, XVDA), key), "512");
	assert_int_equal(status_number(h, ID, "physical_sector_size"), 512);
	front_end(f);
	/* And when it connects. */
	snprintf(line, sizeof line,
	         "%s/xenblkfront --run-dir %s --domain 1 --vdev xvda conform --case "
	         "size-fits-physical-sectors >/dev/null",
	         h->build, h->dir);
	assert_int_equal(system(line), 0);
	f = host_front_connected(h, 1, "xvda");
	assert_string_equal(host_read(h, host_be(1, XVDA), key), "512");
	assert_int_equal(truncate(path, 8 * MIB), 0);
	wait_until(sectors(h) == 16384);
	assert_string_equal(host_read(h, host_be(1, XVDA), key), "4096");
	front_end(f);
}

static void a_file_shrinks(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);

	assert_int_equal(truncate(path, MIB / 2 + 100), 0);
	wait_until(sectors(h) == 1024); /* whole sectors only */
	assert_int_equal(read_at(f, 1023), BLKIF_RSP_OKAY);
	assert_int_equal(read_at(f, 1024), BLKIF_RSP_ERROR);
	assert_reads(f, 0, SEED);
	front_end(f);
	/* A new connection knows no other size. */
	f = host_front_connected(h, 1, "xvda");
	assert_int_equal(sectors(h), 1024);
	front_end(f);
}

/* A disk of size 0 would be none: the old size stays, and what is not there is an error. */
static void a_file_loses_all(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);

	assert_int_equal(truncate(path, 0), 0);
	wait_until(host_log_has(h, "the image has size 0 now"));
	assert_int_equal(sectors(h), 2048);
	assert_int_equal(read_at(f, 0), BLKIF_RSP_ERROR);
	assert_int_equal(truncate(path, MIB), 0);
	wait_until(read_at(f, 0) == BLKIF_RSP_OKAY);
	front_end(f);
}

/* In the middle of writes to all of the disk: each is answered, those within the new size well. */
static void shrinks_under_load(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);
	struct xenblkfront_response rsp[32];
	uint32_t ref;
	void *page;

	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request r = {.op = BLKIF_OP_READ,
			                                .nr_segments = 1,
			                                .sector = i * 64,
			                                .seg = {{ref, 0, 7}}};
			assert_front(f, xenblkfront_queue(f, &r, i));
		}
		assert_front(f, xenblkfront_kick(f));
		if (round == 20)
			assert_int_equal(truncate(path, MIB / 2), 0);
		for (unsigned got = 0; got < 32;) {
			int n = xenblkfront_reap(f, rsp, 32, -1);
			assert_front(f, n);
			for (int i = 0; i < n; i++)
				assert_int_equal(rsp[i].status, rsp[i].id < 16 || round < 20
				                                    ? BLKIF_RSP_OKAY
				                                : round > 20 ? BLKIF_RSP_ERROR
				                                             : rsp[i].status);
			got += (unsigned)n;
		}
	}
	wait_until(sectors(h) == 1024);
	front_end(f);
}

/* The image is written to all the time, which is no change of its size. */
static void a_busy_file_grows(void **state)
{
	struct host *h = *state;
	char path[200], data[65536] = {1};
	struct xenblkfront *f = attach(h, path);
	uint64_t end = clock_ns() + 1500 * NS_PER_MS;

	while (clock_ns() < end)
		assert_front(f, xenblkfront_write(f, 0, data, sizeof data));
	assert_int_equal(sectors(h), 2048);
	assert_int_equal(truncate(path, 2 * MIB), 0);
	end = clock_ns() + WAIT_MS * NS_PER_MS;
	while (sectors(h) != 4096 && clock_ns() < end)
		assert_front(f, xenblkfront_write(f, 0, data, sizeof data));
	assert_int_equal(sectors(h), 4096);
	front_end(f);
}

static void while_no_worker_is_there(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);

	host_daemon_kill(h, SIGTERM);
	assert_int_equal(truncate(path, 2 * MIB), 0);
	host_daemon_start(h, NULL);
	wait_until(sectors(h) == 4096);
	wait_until(status_is(h, ID, "ring_state", "connected"));
	assert_int_equal(read_at(f, 4095), BLKIF_RSP_OKAY);
	/* A killed worker's successor finds the size that there is. */
	kill(host_worker(h, ID), SIGSTOP);
	assert_int_equal(truncate(path, 3 * MIB), 0);
	kill(host_worker(h, ID), SIGKILL);
	wait_until(sectors(h) == 6144);
	assert_int_equal(read_at(f, 6143), BLKIF_RSP_OKAY);
	front_end(f);
}

/* The worker dies, or all of us do, while the image is of a size that no disk is attached with. */
static struct xenblkfront *killed_with(struct host *h, char path[200], uint64_t size, bool all)
{
	struct xenblkfront *f = attach(h, path);
	pid_t worker = host_worker(h, ID);

	kill(worker, SIGSTOP);
	if (all)
		host_daemon_kill(h, SIGKILL);
	assert_int_equal(truncate(path, (off_t)size), 0);
	kill(worker, SIGKILL);
	if (all)
		host_daemon_start(h, NULL);
	wait_until(host_log_has(h, "connected again"));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	return f;
}

/* As the dead one would have shown it. */
static void killed_and_odd(struct host *h, bool all)
{
	char path[200];
	struct xenblkfront *f = killed_with(h, path, MIB / 2 + 100, all);

	wait_until(sectors(h) == 1024);
	assert_int_equal(read_at(f, 1023), BLKIF_RSP_OKAY);
	assert_int_equal(read_at(f, 1024), BLKIF_RSP_ERROR);
	assert_reads(f, 0, SEED);
	assert_int_equal(truncate(path, MIB), 0);
	wait_until(sectors(h) == 2048);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void killed_and_grown_odd(struct host *h, bool all)
{
	char path[200];
	struct xenblkfront *f = killed_with(h, path, 2 * MIB + 77, all);

	wait_until(sectors(h) == 4096);
	assert_int_equal(read_at(f, 4095), BLKIF_RSP_OKAY);
	assert_int_equal(read_at(f, 4096), BLKIF_RSP_ERROR);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void killed_and_empty(struct host *h, uint64_t size, bool all)
{
	char path[200];
	struct xenblkfront *f = killed_with(h, path, size, all);

	assert_int_equal(sectors(h), 2048);
	assert_int_equal(status_number(h, ID, "sectors"), 2048);
	assert_int_equal(read_at(f, 0), BLKIF_RSP_ERROR);
	assert_int_equal(truncate(path, MIB), 0);
	wait_until(read_at(f, 2047) == BLKIF_RSP_OKAY);
	assert_int_equal(sectors(h), 2048);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void the_worker_dies_and_it_is_odd(void **state)
{
	killed_and_odd(*state, false);
}

static void all_die_and_it_is_odd(void **state)
{
	killed_and_odd(*state, true);
}

static void the_worker_dies_and_it_has_grown_odd(void **state)
{
	killed_and_grown_odd(*state, false);
}

static void all_die_and_it_has_grown_odd(void **state)
{
	killed_and_grown_odd(*state, true);
}

static void the_worker_dies_and_it_is_empty(void **state)
{
	killed_and_empty(*state, 0, false);
}

static void all_die_and_it_is_empty(void **state)
{
	killed_and_empty(*state, 0, true);
}

/* Less than a sector is nothing, too. */
static void the_worker_dies_and_a_crumb_is_left(void **state)
{
	killed_and_empty(*state, 100, false);
}

/* Its guest lets go: the last one's I/O must have been seen out all the same. */
static void let_go_while_it_is_odd(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);
	pid_t worker = host_worker(h, ID);

	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	assert_int_equal(truncate(path, 100), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_true(image_delay(fd));
	assert_front(f, xenblkfront_set_state(f, XS_CLOSING));
	assert_front(f, xenblkfront_set_state(f, XS_CLOSED));
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, 500));
	close(fd);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	xenblkfront_close(f);
}

/* Who serves it may not read it any more once it is open. */
static void a_file_of_another_user(void **state)
{
	struct host *h = *state;
	char path[200];

	needs(lacks_root());
	make_image(h, "a.img", SEED, path);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(chmod(path, 0600), 0);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (unsigned i = 2; i < 5; i++) {
		assert_int_equal(truncate(path, i * MIB), 0);
		wait_until(sectors(h) == i * 2048);
		assert_int_equal(read_at(f, i * 2048 - 1), BLKIF_RSP_OKAY);
	}
	assert_false(host_log_has(h, "not watched"));
	front_end(f);
}

/* The worker has read the size; nobody watches yet. */
static void between_opening_and_watching(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	pid_t first = host_worker(h, ID);

	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	assert_int_equal(kill(first, SIGKILL), 0);
	/* The next one has to wait for it. */
	assert_true(image_delay(fd));
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	wait_until(host_worker(h, ID) && host_worker(h, ID) != first);
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	close(fd);
	/* It has it; were this too short, it would find the new size itself. */
	usleep(300000);
	assert_int_equal(truncate(path, 2 * MIB), 0);
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	wait_until(sectors(h) == 4096);
	assert_int_equal(read_at(f, 4095), BLKIF_RSP_OKAY);
	front_end(f);
}

static void while_no_supervisor_is_there(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *f = attach(h, path);
	pid_t worker = host_worker(h, ID);

	host_daemon_kill(h, SIGKILL);
	assert_int_equal(truncate(path, 2 * MIB), 0);
	host_daemon_start(h, NULL);
	wait_until(sectors(h) == 4096);
	/* And its successor watches. */
	assert_int_equal(truncate(path, 3 * MIB), 0);
	wait_until(sectors(h) == 6144);
	assert_int_equal(host_worker(h, ID), worker);
	assert_int_equal(read_at(f, 6143), BLKIF_RSP_OKAY);
	front_end(f);
}

/* Each is told, also when the other one has gone. */
static void two_disks_of_one_file(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path, .mode = "r"}, path);
	host_attach(h, &(struct disk){.devid = XVDB, .params = path, .mode = "r"}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct xenblkfront *g = host_front_connected(h, 1, "xvdb");
	assert_int_equal(truncate(path, 2 * MIB), 0);
	wait_until(sectors(h) == 4096);
	wait_until(strtoull(host_read(h, host_be(1, XVDB), "sectors"), NULL, 10) == 4096);
	front_end(g);
	/* By now both are watched again. */
	usleep(1200000);
	host_detach(h, 1, XVDB);
	assert_int_equal(truncate(path, 3 * MIB), 0);
	wait_until(sectors(h) == 6144);
	front_end(f);
}

static int resize_device(const char *dev, const char *path, uint64_t size)
{
	char command[300];

	if (truncate(path, (off_t)size))
		return -errno;
	snprintf(command, sizeof command, "losetup -c %s", dev);
	return system(command);
}

/* The kernel says so. */
static void a_device_grows_and_shrinks(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], number[32];

	needs(lacks_admin());
	make_image(h, "a.img", SEED, path);
	loop_setup(path, 512, dev, number);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "physical-device", "%s", number);
	host_write(h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(h, ID);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(resize_device(dev, path, 2 * MIB), 0);
	wait_until(sectors(h) == 4096);
	assert_int_equal(resize_device(dev, path, MIB), 0);
	wait_until(sectors(h) == 2048);
	assert_int_equal(read_at(f, 2047), BLKIF_RSP_OKAY);
	assert_int_equal(read_at(f, 2048), BLKIF_RSP_ERROR);
	front_end(f);
	host_detach(h, 1, XVDA);
	loop_end(dev);
}

/* Nobody watches an image that was renamed while there was no supervisor: the user says so. */
static void a_user_asks(void **state)
{
	struct host *h = *state;
	char path[200], moved[210], line[400];
	struct xenblkfront *f = attach(h, path);

	/* Who comes next has neither its name nor its claim. */
	host_daemon_kill(h, SIGKILL);
	host_holder_kill(h);
	snprintf(moved, sizeof moved, "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	host_daemon_start(h, NULL);
	wait_image_open(h, ID);
	assert_int_equal(truncate(moved, 2 * MIB), 0);
	usleep(QUIET_MS * 1000);
	assert_int_equal(sectors(h), 2048);
	snprintf(line, sizeof line, "%s/xenblkctl --run-dir %s resize " ID, h->build, h->dir);
	assert_int_equal(system(line), 0);
	wait_until(sectors(h) == 4096);
	assert_int_equal(read_at(f, 4095), BLKIF_RSP_OKAY);
	front_end(f);
}

static void asked_for_what_is_not_there(void **state)
{
	struct host *h = *state;
	json_t *a = host_control(h, "resize", "1:xvda");

	assert_false(json_is_true(json_object_get(a, "ok")));
	assert_non_null(strstr(json_string_value(json_object_get(a, "error")), "no disk"));
	json_decref(a);
	host_disk(h, &(struct disk){0});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	a = host_control(h, "resize", "1:xvda");
	assert_non_null(strstr(json_string_value(json_object_get(a, "error")), "no open image"));
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(a_file_grows),
	    case_of(no_whole_blocks),
	    case_of(a_file_shrinks),
	    case_of(a_file_loses_all),
	    case_of(shrinks_under_load),
	    case_of(a_busy_file_grows),
	    case_of(while_no_worker_is_there),
	    case_of(the_worker_dies_and_it_is_odd),
	    case_of(all_die_and_it_is_odd),
	    case_of(the_worker_dies_and_it_has_grown_odd),
	    case_of(all_die_and_it_has_grown_odd),
	    case_of(the_worker_dies_and_it_is_empty),
	    case_of(all_die_and_it_is_empty),
	    case_of(the_worker_dies_and_a_crumb_is_left),
	    case_of(let_go_while_it_is_odd),
	    case_of(a_file_of_another_user),
	    case_of(between_opening_and_watching),
	    case_of(while_no_supervisor_is_there),
	    case_of(two_disks_of_one_file),
	    case_of(a_device_grows_and_shrinks),
	    case_of(a_user_asks),
	    case_of(asked_for_what_is_not_there),
	};

	return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
