/* SPDX-License-Identifier: MIT */
/* Sectors of 4 KiB, and smaller ones than the device has: sizes told, units, neighbours that must
 * not change, and the configuration file that says so for one disk. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "sectors.h"
#include "../lib/scratch.h"

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

static void settings_of_one_disk(void **state)
{
	char config[100], path[200], text[800];
	int fd = mkstemp(scratch_path(config, sizeof config, "config-XXXXXX"));
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
	char config[100], line[600], said[600];
	int fd = mkstemp(scratch_path(config, sizeof config, "config-XXXXXX"));
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
	    cmocka_unit_test(larger_than_the_file_needs),
	    cmocka_unit_test(settings_of_one_disk),
	    cmocka_unit_test(bad_settings),
	};

	return cmocka_run_group_tests_name("sectors", tests, NULL, NULL);
}
