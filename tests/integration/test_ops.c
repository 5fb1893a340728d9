/* SPDX-License-Identifier: MIT */
/* Each operation of the protocol, and each way to get it wrong: the status that blkif.h demands. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

#include <xen/io/blkif.h>

#define SIZE (4ull << 20)
#define SECTORS (SIZE / 512)

struct fixture {
	struct host *h;
	struct xenblkfront *f;
	char path[200];
	void *pages;
	uint32_t refs[11];
};

static int setup_mode(void **state, const char *mode)
{
	struct fixture *x = calloc(1, sizeof *x);

	host_setup((void **)&x->h);
	snprintf(x->path, sizeof x->path, "%s", host_image(x->h, "disk.img", SIZE));
	host_fill(x->path, SIZE, 5);
	host_attach(x->h, &(struct disk){.params = x->path, .mode = mode}, x->path);
	x->f = host_front_connected(x->h, 1, "xvda");
	assert_front(x->f, xenblkfront_alloc(x->f, 11, true, &x->pages, x->refs));
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return setup_mode(state, "w");
}

static int setup_readonly(void **state)
{
	return setup_mode(state, "r");
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	assert_front(x->f, xenblkfront_disconnect(x->f));
	xenblkfront_close(x->f);
	host_detach(x->h, 1, XVDA);
	host_teardown((void **)&x->h);
	free(x);
	return 0;
}

static struct xenblkfront_request rw(const struct fixture *x, uint8_t op, uint64_t sector,
                                     unsigned segments)
{
	struct xenblkfront_request req = {
	    .op = op, .sector = sector, .nr_segments = (uint16_t)segments};

	for (unsigned i = 0; i < segments && i < 11; i++)
		req.seg[i] = (struct xenblkfront_seg){x->refs[i], 0, 7};
	return req;
}

static int ask(struct fixture *x, struct xenblkfront_request req)
{
	return host_request(x->f, &req);
}

/* What was refused until now is this, and only this, in the statistics and in `status`: a row
 * for each reason, one of NULL at the end. most: status's words for it. */
struct refusals {
	const char *reason;
	uint64_t number;
};

static void assert_refusals(struct fixture *x, const struct refusals *r, const char *most)
{
	static const char *const reasons[] = {
	    "unknown-op",   "unsupported", "bad-segments", "bad-segment",  "misaligned",
	    "out-of-range", "read-only",   "bad-discard",  "bad-indirect", "bad-grant"};
	json_t *status = host_status(x->h, "1:xvda"), *told = json_object_get(status, "refused");

	assert_true(json_is_object(told));
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		const struct refusals *k = r;
		while (k->reason && strcmp(k->reason, reasons[i]))
			k++;
		assert_int_equal(host_refused(x->h, "1:xvda", reasons[i]), k->number);
		/* A reason that there was not is not there. */
		json_t *n = json_object_get(told, reasons[i]);
		assert_int_equal(json_integer_value(n), k->number);
		assert_int_equal(json_is_integer(n), k->number > 0);
	}
	json_t *text = json_object_get(status, "refused_most");
	if (most)
		assert_string_equal(json_string_value(text), most);
	else
		assert_true(json_is_null(text));
	json_decref(status);
}

/* A good read still works: what came before did no harm. */
static void assert_alive(struct fixture *x)
{
	uint8_t want[4096];

	memset(x->pages, 0xee, 4096);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 16, 1)), BLKIF_RSP_OKAY);
	host_pattern(want, 16 * 512, 4096, 5);
	assert_memory_equal(x->pages, want, 4096);
}

static void flush(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_FLUSH_DISKCACHE}),
	                 BLKIF_RSP_OKAY);
	/* With segments it writes, too. */
	memset(x->pages, 0x5a, 11 * 4096);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_FLUSH_DISKCACHE, 64, 2)), BLKIF_RSP_OKAY);
	memset(x->pages, 0, 11 * 4096);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 64, 2)), BLKIF_RSP_OKAY);
	for (int i = 0; i < 8192; i++)
		assert_int_equal(((uint8_t *)x->pages)[i], 0x5a);
	assert_int_equal(host_stat(x->h, "1:xvda", "f_req"), 2);
	assert_int_equal(host_stat(x->h, "1:xvda", "wr_sect"), 16);
}

/* One ring full: writes, a barrier with data in the middle, writes again, all to one place: the
 * last one before and the first ones after show whether order was kept. */
static void barrier_orders(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_response rsp[32];

	assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_WRITE_BARRIER}),
	                 BLKIF_RSP_OKAY);
	for (int round = 0; round < 50; round++) {
		unsigned answered_before = 0, barrier_at = 99, n = 0;
		for (unsigned i = 0; i < 9; i++) {
			struct xenblkfront_request req =
			    rw(x, i == 4 ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_WRITE, 8 * i, 1);
			assert_front(x->f, xenblkfront_queue(x->f, &req, i));
		}
		assert_front(x->f, xenblkfront_kick(x->f));
		while (n < 9) {
			int got = xenblkfront_reap(x->f, rsp, 32, -1);
			assert_true(got > 0);
			for (int k = 0; k < got; k++, n++) {
				assert_int_equal(rsp[k].status, BLKIF_RSP_OKAY);
				if (rsp[k].id == 4)
					barrier_at = n;
				else if (rsp[k].id < 4)
					answered_before++;
				else
					assert_true(barrier_at < n); /* none overtook it */
				if (rsp[k].id == 4)
					assert_int_equal(answered_before, 4);
			}
		}
	}
}

static uint64_t blocks(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void discard(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_info info;
	uint8_t zeros[4096] = {0};

	assert_front(x->f, xenblkfront_get_info(x->f, &info));
	assert_true(info.discard);
	assert_int_equal(info.discard_granularity, 4096);
	assert_int_equal(info.discard_alignment, 0);
	assert_false(info.discard_secure);
	uint64_t before = blocks(x->path);
	assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_DISCARD,
	                                                     .sector = 2048,
	                                                     .nr_sectors = 2048}),
	                 BLKIF_RSP_OKAY);
	assert_int_equal(before - blocks(x->path), 2048);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 2048, 1)), BLKIF_RSP_OKAY);
	assert_memory_equal(x->pages, zeros, 4096);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 2040, 1)), BLKIF_RSP_OKAY);
	assert_memory_not_equal(x->pages, zeros, 4096);
	static const struct {
		uint64_t sector, count;
		uint8_t flag;
		int status;
	} cases[] = {
	    {0, 0, 0, BLKIF_RSP_ERROR},
	    {SECTORS, 8, 0, BLKIF_RSP_ERROR},
	    {SECTORS - 8, 16, 0, BLKIF_RSP_ERROR},
	    {8, UINT64_MAX - 7, 0, BLKIF_RSP_ERROR},
	    {UINT64_MAX - 7, 8, 0, BLKIF_RSP_ERROR},
	};
	before = blocks(x->path);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_DISCARD,
		                                                     .sector = cases[i].sector,
		                                                     .nr_sectors = cases[i].count,
		                                                     .flag = cases[i].flag}),
		                 cases[i].status);
	assert_int_equal(blocks(x->path), before);
	/* The granularity is advice: a smaller one is fine, and touches nothing around it. */
	assert_int_equal(
	    ask(x,
	        (struct xenblkfront_request){.op = BLKIF_OP_DISCARD, .sector = 1, .nr_sectors = 7}),
	    BLKIF_RSP_OKAY);
	/* Not offered, the secure flag is ignored (blkif.h). */
	assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_DISCARD,
	                                                     .sector = 8,
	                                                     .nr_sectors = 8,
	                                                     .flag = BLKIF_DISCARD_SECURE}),
	                 BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 0, 1)), BLKIF_RSP_OKAY);
	host_pattern(zeros, 0, 512, 5);
	assert_memory_equal(x->pages, zeros, 512);
	assert_int_equal(host_stat(x->h, "1:xvda", "ds_req"), 8); /* three done, five refused */
	assert_refusals(x, (struct refusals[]){{"out-of-range", 4}, {"bad-discard", 1}, {NULL, 0}},
	                "4 of 5 refused requests: it reaches beyond the end of the disk "
	                "(out-of-range)");
	assert_alive(x);
}

static void unknown_operations(void **state)
{
	struct fixture *x = *state;

	for (unsigned op = 0; op < 256; op++) {
		if (op <= BLKIF_OP_FLUSH_DISKCACHE || op == BLKIF_OP_DISCARD ||
		    op == BLKIF_OP_INDIRECT)
			continue;
		assert_int_equal(ask(x, rw(x, (uint8_t)op, 0, 1)), BLKIF_RSP_EOPNOTSUPP);
	}
	assert_refusals(x, (struct refusals[]){{"unknown-op", 250}, {NULL, 0}},
	                "250 of 250 refused requests: there is no such operation (unknown-op)");
	assert_alive(x);
}

static void malformed(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_request r;

	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 0, 0)), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_WRITE, 0, 0)), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 0, 12)), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, 0, 255)), BLKIF_RSP_ERROR);
	r = rw(x, BLKIF_OP_READ, 0, 1);
	r.seg[0].last = 8;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	r.seg[0].last = 255;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	r.seg[0].first = 4;
	r.seg[0].last = 3;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	assert_alive(x);
	/* No delay, no flood in the log: 20,000 bad requests. */
	unsigned lines = host_log_count(x->h, "");
	struct xenblkfront_response rsp[32];
	r = rw(x, BLKIF_OP_READ, SECTORS, 1);
	for (unsigned sent = 0, got = 0; got < 20000;) {
		while (sent < 20000 && !xenblkfront_queue(x->f, &r, sent))
			sent++;
		assert_front(x->f, xenblkfront_kick(x->f));
		int n = xenblkfront_reap(x->f, rsp, 32, -1);
		assert_true(n > 0);
		for (int k = 0; k < n; k++)
			assert_int_equal(rsp[k].status, BLKIF_RSP_ERROR);
		got += (unsigned)n;
	}
	assert_true(host_log_count(x->h, "") - lines < 5);
	assert_refusals(
	    x,
	    (struct refusals[]){
	        {"bad-segments", 4}, {"bad-segment", 3}, {"out-of-range", 20000}, {NULL, 0}},
	    "20000 of 20007 refused requests: it reaches beyond the end of the disk "
	    "(out-of-range)");
	assert_alive(x);
}

static void beyond_the_end(void **state)
{
	struct fixture *x = *state;
	static const uint64_t bad[] = {SECTORS - 7, SECTORS,        SECTORS + 1, 1ull << 55,
	                               1ull << 63,  UINT64_MAX - 7, UINT64_MAX};

	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, SECTORS - 8, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, SECTORS - 8, 2)), BLKIF_RSP_ERROR);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(ask(x, rw(x, BLKIF_OP_READ, bad[i], 1)), BLKIF_RSP_ERROR);
		assert_int_equal(ask(x, rw(x, BLKIF_OP_WRITE, bad[i], 1)), BLKIF_RSP_ERROR);
	}
	struct stat st;
	assert_int_equal(stat(x->path, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(host_refused(x->h, "1:xvda", "out-of-range"), 15);
	assert_alive(x);
}

static void bad_grants(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_request r = rw(x, BLKIF_OP_WRITE, 0, 3);
	uint8_t before[12288], after[12288];
	int fd = open(x->path, O_RDONLY);

	assert_int_equal(pread(fd, before, sizeof before, 0), sizeof before);
	r.seg[1].gref = 0;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	r.seg[1].gref = UINT32_MAX;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	r.op = BLKIF_OP_READ;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	/* A page granted read-only cannot be read into. */
	void *page;
	uint32_t ref;
	assert_front(x->f, xenblkfront_alloc(x->f, 1, false, &page, &ref));
	memset(page, 0x77, 4096);
	r = rw(x, BLKIF_OP_READ, 0, 1);
	r.seg[0].gref = ref;
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	assert_int_equal(*(uint8_t *)page, 0x77);
	r = rw(x, BLKIF_OP_WRITE, 800, 1);
	r.seg[0].gref = ref;
	assert_int_equal(ask(x, r), BLKIF_RSP_OKAY);
	/* Revoked. */
	assert_front(x->f, xenblkfront_revoke(x->f, &ref, 1));
	assert_int_equal(ask(x, r), BLKIF_RSP_ERROR);
	/* A write with one bad segment wrote nothing. */
	assert_int_equal(pread(fd, after, sizeof after, 0), sizeof after);
	assert_memory_equal(before, after, sizeof after);
	close(fd);
	assert_refusals(x, (struct refusals[]){{"bad-grant", 5}, {NULL, 0}},
	                "5 of 5 refused requests: a page of it is not granted, or read-only where "
	                "it must be written (bad-grant)");
	assert_alive(x);
}

/* A disk on which nothing was refused says so, and a page of numbers that a worker spoilt is none.
 */
static void nothing_refused(void **state)
{
	struct fixture *x = *state;
	char path[200];

	assert_refusals(x, (struct refusals[]){{NULL, 0}}, NULL);
	/* Nor is a pipe in its place waited for. */
	snprintf(path, sizeof path, "%s/disks/1:xvda/stats", x->h->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refusals(x, (struct refusals[]){{NULL, 0}}, NULL);
	assert_alive(x);
}

static void readonly_disk(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_info info;

	assert_front(x->f, xenblkfront_get_info(x->f, &info));
	assert_int_equal(info.info, VDISK_READONLY);
	assert_false(info.discard);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_WRITE, 0, 1)), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_FLUSH_DISKCACHE, 0, 1)), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, rw(x, BLKIF_OP_WRITE_BARRIER, 0, 1)), BLKIF_RSP_ERROR);
	int status = ask(x, (struct xenblkfront_request){.op = BLKIF_OP_DISCARD, .nr_sectors = 8});
	assert_true(status == BLKIF_RSP_EOPNOTSUPP || status == BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, (struct xenblkfront_request){.op = BLKIF_OP_FLUSH_DISKCACHE}),
	                 BLKIF_RSP_OKAY);
	assert_refusals(x, (struct refusals[]){{"unsupported", 1}, {"read-only", 3}, {NULL, 0}},
	                "3 of 4 refused requests: it writes, and the disk is read-only "
	                "(read-only)");
	assert_alive(x);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(flush),
	    T(barrier_orders),
	    T(discard),
	    T(unknown_operations),
	    T(malformed),
	    T(beyond_the_end),
	    T(bad_grants),
	    T(nothing_refused),
	    cmocka_unit_test_setup_teardown(readonly_disk, setup_readonly, teardown),
	};

	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
