/* SPDX-License-Identifier: MIT */
/* What a flush or barrier promised is on the disk after a power cut, whatever the queue it was
 * written through; on a disk that loses everything else. */
#include "power.h"

#define ID "1:xvda"
#define SIZE (1u << 20)
#define PAGES 8u

static const char *const with_faults[] = {"--test-faults", "--max-queues", "2", NULL};

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, with_faults);
	*state = h;
	return 0;
}

struct guest {
	struct host *h;
	struct xenblkfront *f;
	char image[200];
	uint8_t *pages; /* PAGES */
	uint32_t refs[PAGES];
};

static void guest_start(struct guest *g, struct host *h, const char *faults)
{
	void *pages;

	g->h = h;
	snprintf(g->image, sizeof g->image, "%s", faulty_disk(h, faults, SIZE));
	g->f = host_front_with(h, &(struct xenblkfront_options){.queues = 2});
	assert_front(g->f, xenblkfront_alloc(g->f, PAGES, true, &pages, g->refs));
	g->pages = pages;
}

static void guest_end(struct guest *g)
{
	host_daemon_start(g->h, with_faults);
	wait_until(status_is(g->h, ID, "ring_state", "connected"));
	assert_front(g->f, xenblkfront_disconnect(g->f));
	xenblkfront_close(g->f);
	host_detach(g->h, 1, XVDA);
}

/* Of PAGES pages, all of that byte. With n 0: without data. */
static struct xenblkfront_request request(struct guest *g, uint8_t op, uint64_t page, unsigned n,
                                          uint8_t byte)
{
	struct xenblkfront_request r = {.op = op, .sector = page * 8, .nr_segments = (uint16_t)n};

	for (unsigned i = 0; i < n; i++)
		r.seg[i] = (struct xenblkfront_seg){g->refs[i], 0, 7};
	memset(g->pages, byte, PAGES * 4096);
	return r;
}

/* Through that queue; waits for the answer. */
static void ask(struct guest *g, unsigned queue, uint8_t op, uint64_t page, unsigned n,
                uint8_t byte)
{
	struct xenblkfront_request r = request(g, op, page, n, byte);

	assert_front(g->f, xenblkfront_select(g->f, queue));
	assert_int_equal(host_request(g->f, &r), BLKIF_RSP_OKAY);
}

/* How many sectors of n pages have that byte in the image. */
static unsigned in_image(const struct guest *g, uint64_t page, unsigned n, uint8_t byte)
{
	uint8_t data[PAGES * 4096], want[512];
	int fd = open(g->image, O_RDONLY | O_CLOEXEC);
	unsigned found = 0;

	memset(want, byte, sizeof want);
	assert_int_equal(pread(fd, data, n * 4096, (off_t)page * 4096), n * 4096);
	close(fd);
	for (unsigned i = 0; i < n * 8; i++)
		found += !memcmp(data + i * 512, want, 512);
	return found;
}

static void flush_keeps_what_was_answered(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, 1, 'A');
	ask(&g, 0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	ask(&g, 0, BLKIF_OP_WRITE, 1, 1, 'B');
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 1, 'A'), 8);
	assert_int_equal(in_image(&g, 1, 1, 'B'), 0); /* nobody promised it: this disk forgets */
	guest_end(&g);
}

/* Written through one queue, flushed through another, that has written nothing. */
static void flush_covers_all_queues(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, PAGES, 'A');
	ask(&g, 1, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, PAGES, 'A'), PAGES * 8);
	guest_end(&g);
}

/* A flush may bring data: what was before it is kept. */
static void flush_with_data(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, 1, 'A');
	ask(&g, 0, BLKIF_OP_FLUSH_DISKCACHE, 1, 1, 'B');
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 1, 'A'), 8);
	guest_end(&g);
}

static void barrier_keeps_both_sides(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, 1, 'A');
	ask(&g, 1, BLKIF_OP_WRITE, 1, 1, 'B');
	ask(&g, 0, BLKIF_OP_WRITE_BARRIER, 2, 1, 'C');
	ask(&g, 0, BLKIF_OP_WRITE, 3, 1, 'D');
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 1, 'A'), 8);
	assert_int_equal(in_image(&g, 1, 1, 'B'), 8);
	assert_int_equal(in_image(&g, 2, 1, 'C'), 8);
	assert_int_equal(in_image(&g, 3, 1, 'D'), 0);
	guest_end(&g);
}

static void barrier_without_data(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, 1, 'A');
	ask(&g, 0, BLKIF_OP_WRITE_BARRIER, 0, 0, 0);
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 1, 'A'), 8);
	guest_end(&g);
}

/* Its own data may reach the disk at any time once it is written: all before it must be there by
 * then. Half of the sectors are written back early, and the write's end is told late, which leaves
 * time to cut the power in between. */
static void barrier_is_behind_what_was_before(void **state)
{
	struct guest g;

	guest_start(&g, *state, "cache=50,late=100/1000000,seed=5");
	ask(&g, 0, BLKIF_OP_WRITE, 0, PAGES, 'A');
	assert_true(in_image(&g, 0, PAGES, 'A') < PAGES * 8);
	struct xenblkfront_request b = request(&g, BLKIF_OP_WRITE_BARRIER, PAGES, PAGES, 'B');
	assert_front(g.f, xenblkfront_queue(g.f, &b, 1));
	assert_front(g.f, xenblkfront_kick(g.f));
	wait_until(in_image(&g, PAGES, PAGES, 'B') > 0);
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, PAGES, 'A'), PAGES * 8);
	guest_end(&g);
}

/* A worker that is killed leaves the request to the next one, whose flush counts. */
static void flush_done_again(void **state)
{
	struct xenblkfront_response rsp;
	struct guest g;

	guest_start(&g, *state, "cache=0,late=100/1000000,seed=5");
	pid_t worker = host_worker(g.h, ID);
	struct xenblkfront_request b = request(&g, BLKIF_OP_WRITE_BARRIER, 0, 1, 'A');
	assert_front(g.f, xenblkfront_queue(g.f, &b, 1));
	assert_front(g.f, xenblkfront_kick(g.f));
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_front(g.f, xenblkfront_reap(g.f, &rsp, 1, -1));
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	wait_until(host_worker(g.h, ID) > 0);
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 1, 'A'), 8);
	guest_end(&g);
}

/* A discard is a write of zeros: a flush after its answer covers it. */
static void flush_covers_discards(void **state)
{
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD, .nr_sectors = 8};
	struct guest g;

	guest_start(&g, *state, "cache=0");
	ask(&g, 0, BLKIF_OP_WRITE, 0, 2, 'A');
	ask(&g, 0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	assert_int_equal(host_request(g.f, &d), BLKIF_RSP_OKAY);
	ask(&g, 1, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	power_off(g.h, ID, g.image);
	assert_int_equal(in_image(&g, 0, 2, 'A'), 8);
	assert_int_equal(in_image(&g, 0, 1, 0), 8);
	guest_end(&g);
}

/* The device says that it cannot: the guest is told so, in the answer and in the keys, and what
 * needs no flush goes on. */
static void flush_withdrawn(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_WRITE_BARRIER};
	struct guest g;

	guest_start(&g, *state, "noflush=2");
	assert_string_equal(host_read(g.h, host_be(1, XVDA), "feature-flush-cache"), "1");
	assert_string_equal(host_read(g.h, host_be(1, XVDA), "feature-barrier"), "1");
	ask(&g, 0, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct xenblkfront_request r = {.op = ops[i / 2]};
		assert_front(g.f, xenblkfront_select(g.f, i % 2));
		assert_int_equal(host_request(g.f, &r), BLKIF_RSP_EOPNOTSUPP);
	}
	wait_until(!strcmp(host_read(g.h, host_be(1, XVDA), "feature-flush-cache"), "0"));
	assert_string_equal(host_read(g.h, host_be(1, XVDA), "feature-barrier"), "0");
	assert_int_equal(host_log_count(g.h, "withdrawn: flush"), 1);
	assert_int_equal(host_state(g.h, 1, XVDA), XS_CONNECTED);
	ask(&g, 0, BLKIF_OP_WRITE, 0, 1, 'A');
	assert_front(g.f, xenblkfront_disconnect(g.f));
	/* Nor is it offered to the next one. */
	assert_front(g.f, xenblkfront_connect(g.f));
	assert_string_equal(host_read(g.h, host_be(1, XVDA), "feature-flush-cache"), "0");
	assert_string_equal(host_read(g.h, host_be(1, XVDA), "feature-barrier"), "0");
	assert_front(g.f, xenblkfront_disconnect(g.f));
	xenblkfront_close(g.f);
	host_detach(g.h, 1, XVDA);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(flush_keeps_what_was_answered),
	    T(flush_covers_all_queues),
	    T(flush_with_data),
	    T(barrier_keeps_both_sides),
	    T(barrier_without_data),
	    T(barrier_is_behind_what_was_before),
	    T(flush_done_again),
	    T(flush_covers_discards),
	    T(flush_withdrawn),
	};

	return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
