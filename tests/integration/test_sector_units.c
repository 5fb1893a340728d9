/* SPDX-License-Identifier: MIT */
/* Front ends that count sectors in other units than the specification says, on a device with
 * sectors of 4 KiB. */
#include <signal.h>

#include "sectors.h"
#include "../lib/scratch.h"

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
		char config[100];
		/* One of them as it is meant to be set: for the disk that needs it. */
		if (!strcmp(rows[i].name, "windows")) {
			int fd = mkstemp(scratch_path(config, sizeof config, "config-XXXXXX"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(other_units),
	    cmocka_unit_test(units_after_a_lost_run_directory),
	};

	return cmocka_run_group_tests_name("sector_units", tests, NULL, NULL);
}
