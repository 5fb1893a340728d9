/* SPDX-License-Identifier: MIT */
/* mode, device-type, removable: read-only is enforced, info tells, writers do not share unasked. */
#include <dirent.h>
#include <fcntl.h>

#include "control.h"

#define ID "1:xvda"

static unsigned info_bits(struct xenblkfront *f)
{
	struct xenblkfront_info i;

	assert_front(f, xenblkfront_get_info(f, &i));
	return i.info;
}

/* Open flags of that file in another process; fails the test if it is not open there. */
static int open_flags(pid_t pid, const char *path)
{
	char dir[64], name[512], link[512];
	int found = -1;

	snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(dir);
	if (!d) {
		print_message("skipped: %s cannot be read by this user\n", dir);
		skip();
	}
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(name, sizeof name, "%s/%s", dir, e->d_name);
		ssize_t n = readlink(name, link, sizeof link - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (strcmp(link, path))
			continue;
		snprintf(name, sizeof name, "/proc/%d/fdinfo/%s", (int)pid, e->d_name);
		FILE *f = fopen(name, "r");
		unsigned flags;
		assert_non_null(f);
		while (fgets(link, sizeof link, f))
			if (sscanf(link, "flags: %o", &flags) == 1 && !(flags & O_PATH))
				found = (int)flags;
		fclose(f);
	}
	closedir(d);
	assert_true(found >= 0);
	return found;
}

/* How many requests were refused for being writes. */
static int64_t refused_read_only(struct host *h)
{
	json_t *answer = host_control(h, "stats", ID);
	json_t *disk = json_array_get(json_object_get(answer, "result"), 0);
	json_t *n = json_object_get(json_object_get(disk, "refused"), "read-only");
	int64_t v = json_is_integer(n) ? (int64_t)json_integer_value(n) : -1;

	json_decref(answer);
	return v;
}

/* What a request changes in the image must be nothing. */
static void assert_refused(struct xenblkfront *f, uint8_t op)
{
	struct xenblkfront_request req = {.op = op, .nr_segments = 1, .sector = 8};
	void *page;

	assert_front(f, xenblkfront_alloc(f, 1, false, &page, &req.seg[0].gref));
	memset(page, 0xaa, 4096);
	req.seg[0].last = 7;
	if (op == BLKIF_OP_DISCARD)
		req = (struct xenblkfront_request){.op = op, .sector = 8, .nr_sectors = 8};
	assert_int_not_equal(host_request(f, &req), BLKIF_RSP_OKAY);
	assert_front(f, xenblkfront_free(f, page, 1));
}

static void read_only(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "ro.img", 5, path);
	host_attach(h, &(struct disk){.mode = "r"}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(info_bits(f), VDISK_READONLY);
	assert_reads(f, 0, 5);
	assert_refused(f, BLKIF_OP_WRITE);
	assert_refused(f, BLKIF_OP_WRITE_BARRIER);
	assert_refused(f, BLKIF_OP_FLUSH_DISKCACHE); /* with data, hence a write */
	assert_refused(f, BLKIF_OP_DISCARD);
	/* By the worker's own check, and not only because the image cannot be written. */
	assert_int_equal(refused_read_only(h), 3); /* discard is not even offered */
	assert_int_equal(host_stat(h, ID, "errors"), 0);
	assert_int_equal(host_stat(h, ID, "wr_sect"), 0);
	assert_reads(f, 0, 5);
	assert_true(status_number(h, ID, "readonly"));
	assert_int_equal(open_flags(host_worker(h, ID), path) & O_ACCMODE, O_RDONLY);
	front_end(f);
}

static void writable(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "rw.img", 5, path);
	host_attach(h, &(struct disk){.mode = "w"}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(info_bits(f), 0);
	assert_false(status_number(h, ID, "readonly"));
	assert_int_equal(open_flags(host_worker(h, ID), path) & O_ACCMODE, O_RDWR);
	front_end(f);
}

static void info_bits_of_the_keys(void **state)
{
	static const struct {
		const char *mode, *type, *removable;
		unsigned info;
	} rows[] = {
	    {"w", "disk", "0", 0},
	    {"w", "disk", "1", VDISK_REMOVABLE},
	    {"r", "cdrom", "0", VDISK_CDROM | VDISK_READONLY},
	    {"r", "cdrom", "1", VDISK_CDROM | VDISK_REMOVABLE | VDISK_READONLY},
	    {"w", "cdrom", "1", VDISK_CDROM | VDISK_REMOVABLE},
	};
	struct host *h = *state;
	char path[200];

	make_image(h, "bits.img", 5, path);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		host_attach(h,
		            &(struct disk){.mode = rows[i].mode,
		                           .device_type = rows[i].type,
		                           .removable = rows[i].removable},
		            path);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_int_equal(info_bits(f), rows[i].info);
		front_end(f);
		host_detach(h, 1, XVDA);
	}
}

static void missing_mode_is_fatal(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200];

	bystander_start(h, &b);
	make_image(h, "a.img", 5, path);
	host_disk(h, &(struct disk){.mode = "-"});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_script(h, 1, XVDA, path);
	assert_fatal(h, 1, XVDA, ID, "mode");
	bystander_stop(h, &b);
}

/* Two domains write one image because both were told to share it. */
static void shared_writers(void **state)
{
	struct host *h = *state;
	char path[200], got[4096], want[4096];

	make_image(h, "shared.img", 5, path);
	host_attach(h, &(struct disk){.domid = 1, .mode = "w!"}, path);
	host_attach(h, &(struct disk){.domid = 2, .mode = "w!"}, path);
	struct xenblkfront *one = host_front_connected(h, 1, "xvda");
	struct xenblkfront *two = host_front_connected(h, 2, "xvda");
	assert_int_equal(info_bits(one), 0);
	memset(want, 0x5a, sizeof want);
	assert_front(one, xenblkfront_write(one, 8192, want, sizeof want));
	assert_front(two, xenblkfront_read(two, 8192, got, sizeof got));
	assert_memory_equal(got, want, sizeof want);
	assert_true(status_number(h, "2:xvda", "shared"));
	front_end(one);
	front_end(two);
}

static void second_user_is_refused(struct host *h, const char *first, const char *second)
{
	char path[200];

	make_image(h, "mine.img", 5, path);
	host_attach(h, &(struct disk){.domid = 1, .mode = first}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_attach(h, &(struct disk){.domid = 2, .mode = second}, path);
	assert_fatal(h, 2, XVDA, "2:xvda", "mine.img");
	assert_true(strstr(status_text(h, "2:xvda", "error"), "in use"));
	assert_reads(f, 0, 5);
	front_end(f);
	/* It is the image's use that was in the way, and nothing that stays. */
	host_detach(h, 1, XVDA);
	host_detach(h, 2, XVDA);
	host_attach(h, &(struct disk){.domid = 2, .mode = second}, path);
	wait_image_open(h, "2:xvda");
	host_detach(h, 2, XVDA);
}

static void writers_do_not_share(void **state)
{
	second_user_is_refused(*state, "w", "w");
}

static void reader_of_a_written_image(void **state)
{
	second_user_is_refused(*state, "w", "r");
	second_user_is_refused(*state, "r", "w");
}

static void readers_share(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "ro.img", 5, path);
	for (unsigned domid = 1; domid <= 3; domid++)
		host_attach(h, &(struct disk){.domid = domid, .mode = "r"}, path);
	for (unsigned domid = 1; domid <= 3; domid++) {
		struct xenblkfront *f = host_front_connected(h, domid, "xvda");
		assert_reads(f, 0, 5);
		front_end(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(read_only),
	    case_of(writable),
	    case_of(info_bits_of_the_keys),
	    case_of(missing_mode_is_fatal),
	    case_of(shared_writers),
	    case_of(writers_do_not_share),
	    case_of(reader_of_a_written_image),
	    case_of(readers_share),
	};

	return cmocka_run_group_tests_name("mode", tests, NULL, NULL);
}
