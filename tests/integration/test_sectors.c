/* SPDX-License-Identifier: MIT */
/* Sectors of 4 KiB, and smaller ones than the device has: sizes told, units, neighbours that must
 * not change, and the configuration file that says so for one disk. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "loop_device.h"

#define ID "1:xvda"
#define SEED 71
#define SECTORS (MIB / 512)

struct fixture {
	struct host *h;
	struct xenblkfront *f;
	char path[200], dev[64], number[32];
	uint8_t *page;
	uint32_t ref;
};

static void connect(struct fixture *x, unsigned queues)
{
	x->f = host_front_with(x->h, &(struct xenblkfront_options){.queues = queues});
	assert_front(x->f, xenblkfront_alloc(x->f, 1, true, (void **)&x->page, &x->ref));
}

/* xenblkd with these options, and a loop device with blocks of 4 KiB as disk, attached. */
static void attach(struct fixture *x, const char *const *extra, const char *mode)
{
	x->h = malloc(sizeof *x->h);
	host_start(x->h, extra);
	make_image(x->h, "a.img", SEED, x->path);
	loop_setup(x->path, 4096, x->dev, x->number);
	host_disk(x->h, &(struct disk){.params = x->dev, .mode = mode});
	host_wait_state(x->h, 1, XVDA, XS_INITWAIT);
	host_write(x->h, host_be(1, XVDA), "physical-device", "%s", x->number);
	host_write(x->h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(x->h, ID);
}

/* … and connected. */
static void start(struct fixture *x, const char *const *extra)
{
	attach(x, extra, NULL);
	connect(x, 0);
}

static void finish(struct fixture *x)
{
	front_end(x->f);
	host_detach(x->h, 1, XVDA);
	host_teardown((void **)&x->h);
	loop_end(x->dev);
}

static int request(struct fixture *x, uint8_t op, uint64_t sector, unsigned first, unsigned last)
{
	struct xenblkfront_request r = {.op = op,
	                                .nr_segments = 1,
	                                .sector = sector,
	                                .seg = {{x->ref, (uint8_t)first, (uint8_t)last}}};

	return host_request(x->f, &r);
}

static void assert_key(struct fixture *x, const char *key, const char *value)
{
	assert_string_equal(host_read(x->h, host_be(1, XVDA), key), value);
}

/* The page begins with what stands at that byte of the disk. */
static void assert_page(struct fixture *x, uint64_t offset, size_t from, size_t n)
{
	uint8_t want[4096];

	host_pattern(want, offset, n, SEED);
	assert_memory_equal(x->page + from, want, n);
}

static void as_the_device_has_them(void **state)
{
	struct fixture x;

	start(&x, NULL);
	assert_key(&x, "sector-size", "4096");
	assert_key(&x, "physical-sector-size", "4096");
	assert_key(&x, "sectors", "2048"); /* 512 bytes, all the same */
	assert_int_equal(request(&x, BLKIF_OP_READ, 8, 0, 7), BLKIF_RSP_OKAY);
	assert_page(&x, 4096, 0, 4096);
	assert_int_equal(request(&x, BLKIF_OP_READ, 1, 0, 7), BLKIF_RSP_ERROR);
	assert_int_equal(request(&x, BLKIF_OP_READ, 8, 0, 0), BLKIF_RSP_ERROR);
	assert_int_equal(request(&x, BLKIF_OP_WRITE, 8, 0, 6), BLKIF_RSP_ERROR);
	assert_int_equal(request(&x, BLKIF_OP_READ, SECTORS - 8, 0, 7), BLKIF_RSP_OKAY);
	assert_int_equal(request(&x, BLKIF_OP_READ, SECTORS, 0, 7), BLKIF_RSP_ERROR);
	assert_reads(x.f, 0, SEED);
	finish(&x);
}

static const char *const small[] = {"--sector-size", "512", "--max-queues", "4", NULL};

/* Every place and length in two blocks: read right, and written without a change beside it. */
static void smaller_than_the_device_has(void **state)
{
	uint8_t disk[4 * 4096], got[4 * 4096];
	struct fixture x;

	start(&x, small);
	assert_key(&x, "sector-size", "512");
	assert_key(&x, "physical-sector-size", "4096");
	assert_key(&x, "sectors", "2048");
	host_pattern(disk, 0, sizeof disk, SEED);
	for (unsigned sector = 0; sector < 16; sector++)
		for (unsigned n = 1; n <= 8; n++) {
			unsigned first = (sector + n) % (9 - n);
			assert_int_equal(request(&x, BLKIF_OP_READ, sector, first, first + n - 1),
			                 BLKIF_RSP_OKAY);
			assert_memory_equal(x.page + first * 512, disk + sector * 512, n * 512);
			memset(x.page, (int)(sector * 8 + n), 4096);
			memset(disk + sector * 512, (int)(sector * 8 + n), n * 512);
			assert_int_equal(request(&x,
			                         n % 2 ? BLKIF_OP_WRITE : BLKIF_OP_WRITE_BARRIER,
			                         sector, first, first + n - 1),
			                 BLKIF_RSP_OKAY);
			assert_front(x.f, xenblkfront_read(x.f, 0, got, sizeof got));
			assert_memory_equal(got, disk, sizeof got);
		}
	assert_int_equal(request(&x, BLKIF_OP_READ, SECTORS - 1, 3, 3), BLKIF_RSP_OKAY);
	assert_page(&x, MIB - 512, 3 * 512, 512);
	assert_int_equal(request(&x, BLKIF_OP_WRITE, SECTORS - 1, 3, 4), BLKIF_RSP_ERROR);
	finish(&x);
}

/* Only whole blocks within it can be thrown away; less is fine, and changes nothing. */
static void discards_of_parts(void **state)
{
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD, .sector = 1, .nr_sectors = 14};
	uint8_t want[4 * 4096], got[4 * 4096];
	struct fixture x;

	start(&x, small);
	host_pattern(want, 0, sizeof want, SEED);
	assert_int_equal(host_request(x.f, &d), BLKIF_RSP_OKAY);
	assert_front(x.f, xenblkfront_read(x.f, 0, got, sizeof got));
	assert_memory_equal(got, want, sizeof got);
	d.nr_sectors = 20; /* to the middle of the third */
	assert_int_equal(host_request(x.f, &d), BLKIF_RSP_OKAY);
	assert_front(x.f, xenblkfront_read(x.f, 0, got, sizeof got));
	memset(want + 4096, 0, 4096);
	assert_memory_equal(got, want, sizeof got);
	finish(&x);
}

/* Four queues write the eight sectors of each of some blocks, two each, all at once: at the end
 * each sector has what was written to it last. */
static void queues_write_parts_of_the_same_blocks(void **state)
{
	enum { BLOCKS = 4, ROUNDS = 150 };
	struct xenblkfront_response rsp[64];
	uint8_t got[BLOCKS * 4096];
	uint32_t refs[32];
	struct fixture x;
	uint8_t *pages;

	start(&x, small);
	front_end(x.f);
	connect(&x, 4);
	assert_front(x.f, xenblkfront_alloc(x.f, 32, true, (void **)&pages, refs));
	for (unsigned round = 0; round < ROUNDS; round++) {
		pid_t worker = host_worker(x.h, ID);
		for (unsigned q = 0; q < 4; q++) {
			assert_front(x.f, xenblkfront_select(x.f, q));
			for (unsigned i = 0; i < 8; i++) {
				unsigned sector = i / 2 * 8 + q * 2 + i % 2;
				memset(pages + sector % 32 * 4096, (int)(round + sector), 4096);
				struct xenblkfront_request w = {.op = BLKIF_OP_WRITE,
				                                .nr_segments = 1,
				                                .sector = sector,
				                                .seg = {{refs[sector], 0, 0}}};
				assert_front(x.f, xenblkfront_queue(x.f, &w, sector));
			}
		}
		for (unsigned q = 0; q < 4; q++) {
			assert_front(x.f, xenblkfront_select(x.f, q));
			assert_front(x.f, xenblkfront_kick(x.f));
		}
		/* Some of the rounds lose the worker in the middle: it is all done again. */
		if (round % 50 == 25)
			kill(worker, SIGKILL);
		for (unsigned q = 0; q < 4; q++) {
			assert_front(x.f, xenblkfront_select(x.f, q));
			for (unsigned n = 0; n < 8;) {
				int r = xenblkfront_reap(x.f, rsp, 64, -1);
				assert_front(x.f, r);
				for (int i = 0; i < r; i++)
					assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
				n += (unsigned)r;
			}
		}
		assert_front(x.f, xenblkfront_read(x.f, 0, got, sizeof got));
		for (unsigned i = 0; i < sizeof got; i++)
			if (got[i] != (uint8_t)(round + i / 512))
				fail_msg("round %u: byte %u is %u, not %u", round, i, got[i],
				         (uint8_t)(round + i / 512));
	}
	finish(&x);
}

/* Disks that share a device do not take turns at the blocks that they write parts of. */
static void small_sectors_of_a_shared_device(void **state)
{
	static const char *const as_it_is[] = {"--sector-size", "4096", NULL};
	struct fixture x;

	attach(&x, small, "w!");
	struct xenblkfront *f = host_front(x.h, 1, "xvda", NULL, 0);
	assert_true(xenblkfront_connect(f) < 0);
	xenblkfront_close(f);
	assert_error(x.h, 1, XVDA, ID, "mode w! shares a device that has blocks of 4096 bytes");
	assert_non_null(strstr(status_text(x.h, ID, "error"),
	                       "set sector-size to 4096, or attach the disk with mode w"));
	host_detach(x.h, 1, XVDA);
	host_teardown((void **)&x.h);
	loop_end(x.dev);
	/* Whole blocks need no turns; and who only reads, or shares with nobody, may have any. */
	attach(&x, as_it_is, "w!");
	connect(&x, 0);
	finish(&x);
	attach(&x, small, "r!");
	connect(&x, 0);
	assert_int_equal(request(&x, BLKIF_OP_READ, 1, 0, 0), BLKIF_RSP_OKAY);
	finish(&x);
}

#define UNITS_PAGES 12 /* more than fit a request that is not indirect */

/* As many blocks, by one indirect request on pages of its own: descriptors, then data. */
static int indirect(struct fixture *x, uint8_t op, uint64_t sector, unsigned last, uint8_t *pages,
                    const uint32_t *refs)
{
	struct blkif_request_segment *d = (void *)pages;
	struct xenblkfront_request r = {.op = BLKIF_OP_INDIRECT,
	                                .inner_op = op,
	                                .nr_segments = UNITS_PAGES,
	                                .sector = sector,
	                                .indirect = {refs[0]}};

	for (unsigned i = 0; i < UNITS_PAGES; i++)
		d[i] =
		    (struct blkif_request_segment){.gref = refs[i + 1], .last_sect = (uint8_t)last};
	return host_request(x->f, &r);
}

/* What the units do to requests that write, and to indirect ones: blocks that are named change, and
 * no other. sector and last: of one block. */
static void writes_in_other_units(struct fixture *x, unsigned sector, unsigned last)
{
	static uint8_t want[MIB], got[MIB];
	uint32_t refs[UNITS_PAGES + 1];
	uint8_t *pages;
	FILE *f;

	assert_front(x->f, xenblkfront_alloc(x->f, UNITS_PAGES + 1, true, (void **)&pages, refs));
	host_pattern(want, 0, MIB, SEED);
	memset(x->page, 0x5a, 4096);
	memset(want + 5 * 4096, 0x5a, 4096);
	assert_int_equal(request(x, BLKIF_OP_WRITE, 5 * sector, 0, last), BLKIF_RSP_OKAY);
	memset(x->page, 0x6b, 4096);
	memset(want + 7 * 4096, 0x6b, 4096);
	assert_int_equal(request(x, BLKIF_OP_WRITE_BARRIER, 7 * sector, 0, last), BLKIF_RSP_OKAY);
	for (unsigned i = 0; i < UNITS_PAGES * 4096; i++)
		want[9 * 4096 + i] = pages[4096 + i] = (uint8_t)(i / 4096 + i % 251);
	assert_int_equal(indirect(x, BLKIF_OP_WRITE, 9 * sector, last, pages, refs),
	                 BLKIF_RSP_OKAY);
	f = fopen(x->path, "r");
	assert_non_null(f);
	assert_int_equal(fread(got, 1, MIB, f), MIB);
	fclose(f);
	assert_memory_equal(got, want, MIB);
	assert_int_equal(indirect(x, BLKIF_OP_READ, 3 * sector, last, pages, refs), BLKIF_RSP_OKAY);
	assert_memory_equal(pages + 4096, want + 3 * 4096, UNITS_PAGES * 4096);
	assert_int_equal(
	    indirect(x, BLKIF_OP_WRITE, (257 - UNITS_PAGES) * sector, last, pages, refs),
	    BLKIF_RSP_ERROR);
	assert_int_equal(indirect(x, BLKIF_OP_WRITE, 0, last ? 8 : 1, pages, refs),
	                 BLKIF_RSP_ERROR);
}

static void write_config(const char *path, const char *text);

/* Front ends that count in other units, on sectors of 4 KiB. */
static void other_units(void **state)
{
	static const struct {
		const char *name, *sectors;
		unsigned sector, last; /* of the second block */
	} rows[] = {
	    {"spec", "2048", 8, 7},
	    {"freebsd", "256", 1, 7},
	    {"windows", "256", 1, 0},
	    {"minios", "256", 8, 7},
	};

	for (unsigned i = 0; i < 4; i++) {
		const char *extra[] = {"--sector-units", rows[i].name, NULL};
		char config[64] = "/tmp/xenblkd-test-config-XXXXXX";
		/* One of them as it is meant to be set: for the disk that needs it. */
		if (!strcmp(rows[i].name, "windows")) {
			int fd = mkstemp(config);
			assert_true(fd >= 0);
			close(fd);
			write_config(config, "[disk 1:xvda]\nsector-units = windows\n");
			extra[0] = "--config";
			extra[1] = config;
		}
		struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD};
		struct fixture x;
		start(&x, extra);
		assert_key(&x, "sector-size", "4096");
		assert_key(&x, "sectors", rows[i].sectors);
		unlink(config);
		for (unsigned restart = 0; restart < 2; restart++) {
			unsigned end = 256 * rows[i].sector;
			assert_int_equal(
			    request(&x, BLKIF_OP_READ, rows[i].sector, 0, rows[i].last),
			    BLKIF_RSP_OKAY);
			assert_page(&x, 4096, 0, 4096);
			assert_int_equal(
			    request(&x, BLKIF_OP_READ, end - rows[i].sector, 0, rows[i].last),
			    BLKIF_RSP_OKAY);
			assert_page(&x, MIB - 4096, 0, 4096);
			assert_int_equal(request(&x, BLKIF_OP_READ, end, 0, rows[i].last),
			                 BLKIF_RSP_ERROR);
			assert_int_equal(
			    request(&x, BLKIF_OP_READ, UINT64_MAX / 8 + 1, 0, rows[i].last),
			    BLKIF_RSP_ERROR);
			assert_int_equal(request(&x, BLKIF_OP_READ, 0, 0, rows[i].last ? 8 : 1),
			                 BLKIF_RSP_ERROR);
			/* A supervisor with another setting leaves the connection as it is. */
			host_daemon_kill(x.h, SIGTERM);
			host_daemon_start(x.h, (const char *const[]){"--sector-size", "512", NULL});
			wait_until(status_is(x.h, ID, "ring_state", "connected"));
		}
		d.sector = 2 * rows[i].sector;
		d.nr_sectors = rows[i].sector;
		assert_int_equal(host_request(x.f, &d), BLKIF_RSP_OKAY);
		request(&x, BLKIF_OP_READ, 2 * rows[i].sector, 0, rows[i].last);
		for (unsigned b = 0; b < 4096; b++)
			assert_int_equal(x.page[b], 0);
		request(&x, BLKIF_OP_READ, 3 * rows[i].sector, 0, rows[i].last);
		assert_page(&x, 3 * 4096, 0, 4096);
		host_fill(x.path, MIB, SEED);
		writes_in_other_units(&x, rows[i].sector, rows[i].last);
		finish(&x);
	}
}

/* Nothing says any more in which units the front end counts, but the settings, which are the same.
 */
static void units_after_a_lost_run_directory(void **state)
{
	const char *extra[] = {"--sector-units", "freebsd", NULL};
	struct fixture x;
	char line[300];

	start(&x, extra);
	assert_int_equal(request(&x, BLKIF_OP_READ, 8, 0, 7), BLKIF_RSP_OKAY);
	assert_page(&x, 8 * 4096, 0, 4096);
	pid_t worker = host_worker(x.h, ID);
	host_daemon_kill(x.h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	snprintf(line, sizeof line, "rm -rf %s/disks", x.h->dir);
	assert_int_equal(system(line), 0);
	host_daemon_start(x.h, extra);
	wait_until(status_is(x.h, ID, "ring_state", "connected"));
	memset(x.page, 0, 4096);
	assert_int_equal(request(&x, BLKIF_OP_READ, 8, 0, 7), BLKIF_RSP_OKAY);
	assert_page(&x, 8 * 4096, 0, 4096);
	assert_key(&x, "sectors", "256");
	finish(&x);
}

static void larger_than_the_file_needs(void **state)
{
	const char *extra[] = {"--sector-size", "4096", NULL};
	struct host h;
	char path[200];

	host_start(&h, extra);
	make_image(&h, "a.img", SEED, path);
	assert_int_equal(truncate(path, MIB + 512), 0); /* the rest is no sector */
	host_attach(&h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(&h, 1, "xvda");
	assert_string_equal(host_read(&h, host_be(1, XVDA), "sector-size"), "4096");
	assert_string_equal(host_read(&h, host_be(1, XVDA), "physical-sector-size"), "4096");
	assert_string_equal(host_read(&h, host_be(1, XVDA), "sectors"), "2048");
	assert_reads(f, 0, SEED);
	front_end(f);
	host_stop(&h);
}

/* ---- the configuration file ---- */

static void write_config(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void settings_of_one_disk(void **state)
{
	char config[64] = "/tmp/xenblkd-test-config-XXXXXX", path[200], text[800];
	int fd = mkstemp(config);
	const char *extra[] = {"--config", config, "--max-queues", "2", NULL};
	struct host h;

	assert_true(fd >= 0);
	close(fd);
	/* The image's name is known only now. */
	write_config(config, "");
	host_start(&h, extra);
	make_image(&h, "a.img", SEED, path);
	host_daemon_kill(&h, SIGKILL); /* its Xen stays */
	snprintf(text, sizeof text,
	         "# comment\n\n[defaults]\nmax-queues = 7\nmax-indirect-segments=20\n"
	         "[disk 1:xvda]\n  max-queues =  3 \n[disk %s]\nsector-size = 4096\n",
	         path);
	write_config(config, text);
	host_daemon_start(&h, extra);
	host_attach(&h, &(struct disk){.params = path}, path);
	host_attach(&h, &(struct disk){.domid = 2}, host_image(&h, "b.img", MIB));
	/* Its own section, the command line, [defaults], in this order. */
	assert_string_equal(host_read(&h, host_be(1, XVDA), "multi-queue-max-queues"), "3");
	assert_string_equal(host_read(&h, host_be(2, XVDA), "multi-queue-max-queues"), "2");
	assert_string_equal(host_read(&h, host_be(2, XVDA), "feature-max-indirect-segments"), "20");
	struct xenblkfront *f = host_front_connected(&h, 1, "xvda");
	assert_string_equal(host_read(&h, host_be(1, XVDA), "sector-size"), "4096");
	front_end(f);
	f = host_front_connected(&h, 2, "xvda");
	assert_string_equal(host_read(&h, host_be(2, XVDA), "sector-size"), "512");
	front_end(f);
	host_stop(&h);
	unlink(config);
}

static void bad_settings(void **state)
{
	static const struct {
		const char *config, *says;
	} rows[] = {
	    {"max-queues = 1\n", "line 1: stands before the first section"},
	    {"[defaults]\nmax-queues = 17\n",
	     "line 2: max-queues \"17\" is not a number from 1 to 16"},
	    {"[defaults]\nmax-queues = \n", "line 2: max-queues \"\" is not a number"},
	    {"[defaults]\n\n\nmax-queue = 1\n", "line 4: there is no setting \"max-queue\""},
	    {"[disk 1:xvda]\nsector-size = 1024\n",
	     "line 2: sector-size \"1024\" is none of: device, 512, 4096"},
	    {"[disk]\n", "line 1: there are sections [defaults] and [disk ID-OR-IMAGE]"},
	    {"[disk 1:xvda\n", "line 1: a section's name ends with ]"},
	    {"[disks]\n", "line 1: there are sections"},
	    {"[defaults]\nfast\n", "line 2: is neither \"name = value\" nor a section"},
	};
	char config[64] = "/tmp/xenblkd-test-config-XXXXXX", line[600], said[600];
	int fd = mkstemp(config);
	struct host h = {{0}};
	const char *build = getenv("XENBLKD_BUILD");

	assert_true(fd >= 0);
	close(fd);
	if (!build) {
		host_start(&h, NULL);
		build = h.build;
	}
	for (unsigned i = 0; i <= sizeof rows / sizeof *rows; i++) {
		const char *says = "cannot open the configuration file /does/not/exist";
		if (i < sizeof rows / sizeof *rows) {
			write_config(config, rows[i].config);
			says = rows[i].says;
		}
		snprintf(line, sizeof line, "%s/xenblkd --embedded /tmp/xb-none --config %s 2>&1",
		         build, i < sizeof rows / sizeof *rows ? config : "/does/not/exist");
		FILE *p = popen(line, "r");
		assert_non_null(p);
		said[0] = '\0';
		assert_true(fgets(said, sizeof said, p) != NULL);
		if (!strstr(said, says))
			fail_msg("'%s' does not say '%s'", said, says);
		int status = pclose(p);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
	unlink(config);
	if (h.daemon)
		host_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_the_device_has_them),
	    cmocka_unit_test(smaller_than_the_device_has),
	    cmocka_unit_test(discards_of_parts),
	    cmocka_unit_test(queues_write_parts_of_the_same_blocks),
	    cmocka_unit_test(small_sectors_of_a_shared_device),
	    cmocka_unit_test(other_units),
	    cmocka_unit_test(units_after_a_lost_run_directory),
	    cmocka_unit_test(larger_than_the_file_needs),
	    cmocka_unit_test(settings_of_one_disk),
	    cmocka_unit_test(bad_settings),
	};

	return cmocka_run_group_tests_name("sectors", tests, NULL, NULL);
}
