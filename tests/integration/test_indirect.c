/* SPDX-License-Identifier: MIT */
/* Indirect requests: data in every layout, each way to get one wrong, and the memory they cost. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "control.h"

#define ID "1:xvda"
#define SEED 17
#define SIZE (64 * MIB)
#define SEGS 256u

struct fixture {
	struct host *h;
	struct xenblkfront *f;
	char path[200];
	/* A page of descriptors, then SEGS of data. */
	struct blkif_request_segment *segment;
	uint8_t *data;
	uint32_t refs[SEGS + 1];
};

static void open_front(struct fixture *x, const char *abi)
{
	uint8_t *pages;

	x->f = host_front_with(x->h, &(struct xenblkfront_options){.abi = abi});
	assert_front(x->f, xenblkfront_alloc(x->f, SEGS + 1, true, (void **)&pages, x->refs));
	x->segment = (void *)pages;
	x->data = pages + 4096;
	for (unsigned i = 0; i < SEGS; i++)
		x->segment[i] =
		    (struct blkif_request_segment){.gref = x->refs[i + 1], .last_sect = 7};
}

static int setup_with(void **state, const char *const *extra)
{
	struct fixture *x = calloc(1, sizeof *x);

	x->h = malloc(sizeof *x->h);
	host_start(x->h, extra);
	snprintf(x->path, sizeof x->path, "%s", host_image(x->h, "a.img", SIZE));
	host_fill(x->path, SIZE, SEED);
	host_attach(x->h, &(struct disk){.params = x->path}, x->path);
	open_front(x, NULL);
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, NULL);
}

static int setup_few(void **state)
{
	static const char *const extra[] = {"--max-indirect-segments", "32", NULL};

	return setup_with(state, extra);
}

static int setup_off(void **state)
{
	static const char *const extra[] = {"--max-indirect-segments", "0", NULL};

	return setup_with(state, extra);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	front_end(x->f);
	host_detach(x->h, 1, XVDA);
	host_teardown((void **)&x->h);
	free(x);
	return 0;
}

static struct xenblkfront_request indirect(const struct fixture *x, uint8_t inner, uint64_t sector,
                                           unsigned n)
{
	return (struct xenblkfront_request){.op = BLKIF_OP_INDIRECT,
	                                    .inner_op = inner,
	                                    .sector = sector,
	                                    .nr_segments = (uint16_t)n,
	                                    .indirect = {x->refs[0]}};
}

static int ask(struct fixture *x, uint8_t inner, uint64_t sector, unsigned n)
{
	struct xenblkfront_request r = indirect(x, inner, sector, n);

	return host_request(x->f, &r);
}

static void assert_alive(struct fixture *x)
{
	assert_reads(x->f, 4096, SEED);
}

static void a_megabyte_in_every_layout(void **state)
{
	static const char *const abis[] = {"x86_64", "x86_32", "native", "none"};
	struct fixture *x = *state;
	uint8_t *want = malloc(MIB);

	for (unsigned a = 0; a < 4; a++) {
		front_end(x->f);
		open_front(x, abis[a]);
		uint64_t sector = 8 + 2048 * a;
		assert_int_equal(ask(x, BLKIF_OP_READ, sector, SEGS), BLKIF_RSP_OKAY);
		host_pattern(want, sector * 512, MIB, SEED);
		assert_memory_equal(x->data, want, MIB);
		host_pattern(x->data, sector * 512, MIB, SEED + 1);
		memcpy(want, x->data, MIB);
		assert_int_equal(ask(x, BLKIF_OP_WRITE, sector, SEGS), BLKIF_RSP_OKAY);
		memset(x->data, 0, MIB);
		assert_int_equal(ask(x, BLKIF_OP_READ, sector, SEGS), BLKIF_RSP_OKAY);
		assert_memory_equal(x->data, want, MIB);
	}
	free(want);
}

/* Pieces of every length at every place in their pages: the data has no gaps on the disk. */
static void odd_segments(void **state)
{
	struct fixture *x = *state;
	uint8_t want[SEGS * 4096], *at = want;
	uint64_t sectors = 0;

	for (unsigned i = 0; i < SEGS; i++) {
		x->segment[i].first_sect = (uint8_t)(i % 8);
		x->segment[i].last_sect = (uint8_t)(i % 8 + i / 8 % (8 - i % 8));
		sectors += x->segment[i].last_sect - x->segment[i].first_sect + 1u;
	}
	memset(x->data, 0xee, SEGS * 4096);
	assert_int_equal(ask(x, BLKIF_OP_READ, 77, SEGS), BLKIF_RSP_OKAY);
	host_pattern(want, 77 * 512, sectors * 512, SEED);
	for (unsigned i = 0; i < SEGS; i++) {
		unsigned from = x->segment[i].first_sect * 512u;
		unsigned n = (x->segment[i].last_sect + 1u) * 512 - from;
		assert_memory_equal(x->data + i * 4096 + from, at, n);
		if (from)
			assert_int_equal(x->data[i * 4096 + from - 1], 0xee);
		if (from + n < 4096)
			assert_int_equal(x->data[i * 4096 + from + n], 0xee);
		at += n;
	}
	assert_int_equal(host_stat(x->h, ID, "rd_sect"), sectors);
}

static void malformed(void **state)
{
	struct fixture *x = *state;
	struct xenblkfront_request r;

	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 0), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_WRITE, 0, 0), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, SEGS + 1), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 65535), BLKIF_RSP_ERROR);
	for (unsigned inner = 2; inner < 256; inner++)
		assert_int_equal(ask(x, (uint8_t)inner, 0, 1), BLKIF_RSP_ERROR);
	/* Taken, if not done; an operation that is none of ours is in no count. */
	assert_int_equal(host_stat(x->h, ID, "rd_req"), 3);
	assert_int_equal(host_stat(x->h, ID, "wr_req"), 1);
	assert_int_equal(host_stat(x->h, ID, "rd_sect"), 0);
	assert_int_equal(ask(x, BLKIF_OP_READ, SIZE / 512 - 2047, SEGS), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_READ, UINT64_MAX - 7, SEGS), BLKIF_RSP_ERROR);
	x->segment[255].last_sect = 8;
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, SEGS), BLKIF_RSP_ERROR);
	x->segment[255].first_sect = 2;
	x->segment[255].last_sect = 1;
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, SEGS), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, SEGS - 1), BLKIF_RSP_OKAY);
	/* A page of descriptors, or of data, that is not granted. */
	r = indirect(x, BLKIF_OP_READ, 0, 20);
	r.indirect[0] = 60000;
	assert_int_equal(host_request(x->f, &r), BLKIF_RSP_ERROR);
	x->segment[19].gref = 60000;
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 20), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_WRITE, 0, 20), BLKIF_RSP_ERROR);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 19), BLKIF_RSP_OKAY);
	assert_int_equal(host_stat(x->h, ID, "errors"), 3);
	assert_int_equal(host_refused(x->h, ID, "bad-grant"), 3);
	assert_int_equal(host_refused(x->h, ID, "bad-segments"), 4);
	assert_int_equal(host_refused(x->h, ID, "bad-indirect"), 254);
	assert_int_equal(host_refused(x->h, ID, "out-of-range"), 2);
	assert_int_equal(host_refused(x->h, ID, "bad-segment"), 2);
	assert_alive(x);
}

static void within_the_limit_that_was_offered(void **state)
{
	struct fixture *x = *state;

	assert_string_equal(host_read(x->h, host_be(1, XVDA), "feature-max-indirect-segments"),
	                    "32");
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 32), BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 33), BLKIF_RSP_ERROR);
	/* Another setting does not take away from a connection what it was promised. */
	host_daemon_kill(x->h, SIGTERM);
	host_daemon_start(x->h, (const char *const[]){"--max-indirect-segments", "0", NULL});
	wait_until(status_is(x->h, ID, "ring_state", "connected"));
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 32), BLKIF_RSP_OKAY);
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 33), BLKIF_RSP_ERROR);
	assert_alive(x);
}

static void not_offered(void **state)
{
	struct fixture *x = *state;

	assert_string_equal(host_read(x->h, host_be(1, XVDA), "feature-max-indirect-segments"), "");
	assert_int_equal(ask(x, BLKIF_OP_READ, 0, 1), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(ask(x, 77, 0, 0), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(host_refused(x->h, ID, "unsupported"), 2);
	assert_alive(x);
}

/* ---- in flight ---- */

static void queue_ring_full(struct fixture *x, uint8_t inner)
{
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = indirect(x, inner, i * 2048, SEGS);
		assert_front(x->f, xenblkfront_queue(x->f, &r, i));
	}
	assert_front(x->f, xenblkfront_kick(x->f));
}

/* How many of the 32 were answered OKAY; the others must be ERROR. */
static unsigned reap_ring(struct fixture *x)
{
	struct xenblkfront_response rsp[32];
	unsigned okay = 0;
	uint32_t seen = 0;

	while (seen != UINT32_MAX) {
		int n = xenblkfront_reap(x->f, rsp, 32, -1);
		assert_front(x->f, n);
		for (int i = 0; i < n; i++) {
			assert_in_range(rsp[i].id, 0, 31);
			assert_false(seen & 1u << rsp[i].id);
			seen |= 1u << rsp[i].id;
			assert_true(rsp[i].status == BLKIF_RSP_OKAY ||
			            rsp[i].status == BLKIF_RSP_ERROR);
			okay += rsp[i].status == BLKIF_RSP_OKAY;
		}
	}
	return okay;
}

static unsigned long pss_kib(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		sscanf(line, "Pss: %lu", &kib);
	fclose(f);
	assert_true(kib > 0);
	return kib;
}

/* Twice as much at once as there is memory for: it is done in turn, and then the memory goes. */
static void more_than_there_is_memory_for(void **state)
{
	struct fixture *x = *state;
	uint8_t *got = malloc(MIB), *want = malloc(MIB);

	for (unsigned round = 0; round < 3; round++) {
		queue_ring_full(x, BLKIF_OP_READ);
		assert_int_equal(reap_ring(x), 32);
		host_pattern(x->data, 0, MIB, SEED + round);
		queue_ring_full(x, BLKIF_OP_WRITE);
		assert_int_equal(reap_ring(x), 32);
		host_pattern(want, 0, MIB, SEED + round);
		for (unsigned i = 0; i < 32; i++) {
			assert_front(x->f, xenblkfront_read(x->f, i * MIB, got, MIB));
			assert_memory_equal(got, want, MIB);
		}
	}
	free(got);
	free(want);
#ifndef __SANITIZE_ADDRESS__
	wait_until(pss_kib(host_worker(x->h, ID)) < 4096);
#endif
}

/* The front end takes back what requests in flight refer to, and the worker is killed: the next one
 * reads the descriptors again, finds what it finds, and answers all. */
static void revoked_in_flight(void **state)
{
	struct fixture *x = *state;

	for (unsigned round = 0; round < 6; round++) {
		pid_t worker = host_worker(x->h, ID);
		unsigned which = round % 3 ? 1 + round : 0;
		queue_ring_full(x, BLKIF_OP_READ);
		if (round % 2)
			usleep(300 * round);
		kill(worker, SIGSTOP);
		assert_front(x->f, xenblkfront_revoke(x->f, &x->refs[which], 1));
		kill(worker, round % 2 ? SIGKILL : SIGCONT);
		reap_ring(x);
		assert_int_equal(ask(x, BLKIF_OP_READ, 0, SEGS), BLKIF_RSP_ERROR);
		assert_alive(x);
		front_end(x->f);
		open_front(x, NULL);
	}
}

/* ---- descriptors that change while they are looked at ---- */

struct flipper {
	pthread_t thread;
	struct blkif_request_segment *segment;
	struct blkif_request_segment value[3]; /* in turn; the first one is good */
	bool stop;
};

static void *flip(void *arg)
{
	struct flipper *p = arg;

	for (unsigned i = 0; !__atomic_load_n(&p->stop, __ATOMIC_RELAXED); i++) {
		__atomic_store_n(&p->segment->gref, p->value[i % 3].gref, __ATOMIC_RELAXED);
		__atomic_store_n(&p->segment->last_sect, p->value[i % 3].last_sect,
		                 __ATOMIC_RELAXED);
		/* Long enough that requests see either, short enough to change in the middle. */
		for (volatile unsigned k = 0; k < i % 4096; k++) {
		}
	}
	return NULL;
}

static void flipper_start(struct flipper *p)
{
	p->stop = false;
	assert_int_equal(pthread_create(&p->thread, NULL, flip, p), 0);
}

static void flipper_stop(struct flipper *p)
{
	__atomic_store_n(&p->stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	*p->segment = p->value[0];
}

/* Rings full of reads while one descriptor changes, until some were answered either way. How many
 * were refused. */
static uint64_t full_rings_while_it_changes(struct fixture *x, struct flipper *p)
{
	uint64_t asked = 0, okay = 0;

	flipper_start(p);
	for (unsigned round = 0; round < 1000; round++) {
		queue_ring_full(x, BLKIF_OP_READ);
		okay += reap_ring(x);
		asked += 32;
		if (round >= 20 && okay && okay < asked)
			break;
	}
	flipper_stop(p);
	assert_in_range(okay, 1, asked - 1);
	return asked - okay;
}

/* One after the other: what is answered OKAY is all of what the good descriptor asks for. */
static void single_ones_while_it_changes(struct fixture *x, struct flipper *p)
{
	uint8_t *want = malloc(MIB), *got = malloc(MIB);
	unsigned read = 0, written = 0;

	flipper_start(p);
	for (unsigned i = 0; i < 1000 && (i < 20 || !read || !written); i++) {
		memset(x->data, 0xee, MIB);
		if (ask(x, BLKIF_OP_READ, i % 8, SEGS) == BLKIF_RSP_OKAY) {
			host_pattern(want, i % 8 * 512, MIB, SEED);
			assert_memory_equal(x->data, want, MIB);
			read++;
		}
		host_pattern(x->data, i * 512, MIB, SEED + 1);
		if (ask(x, BLKIF_OP_WRITE, 8192, SEGS) == BLKIF_RSP_OKAY) {
			assert_front(x->f, xenblkfront_read(x->f, 8192 * 512, got, MIB));
			assert_memory_equal(got, x->data, MIB);
			written++;
		}
	}
	flipper_stop(p);
	assert_true(read && written);
	/* And nothing was written beside it. */
	for (unsigned side = 0; side < 2; side++) {
		uint64_t at = side ? 8192 * 512 + MIB : 8192 * 512 - MIB;
		assert_front(x->f, xenblkfront_read(x->f, at, got, MIB));
		host_pattern(want, at, MIB, SEED);
		assert_memory_equal(got, want, MIB);
	}
	free(want);
	free(got);
}

/* A copy is checked, and used. So a range that is none is refused by the check each time, and never
 * gets as far as Xen, which would refuse it, too. */
static void ranges_change_in_flight(void **state)
{
	struct fixture *x = *state;
	struct flipper p = {.segment = &x->segment[128]};

	p.value[0] = p.value[1] = p.value[2] = *p.segment;
	p.value[1].last_sect = 255;
	p.value[2].last_sect = 8;
	uint64_t refused = full_rings_while_it_changes(x, &p);
	assert_int_equal(host_refused(x->h, ID, "bad-segment"), refused);
	single_ones_while_it_changes(x, &p);
	assert_int_equal(host_stat(x->h, ID, "errors"), 0);
	assert_alive(x);
}

/* A page that is granted now and not then: an error or the data, whatever was copied. */
static void references_change_in_flight(void **state)
{
	struct fixture *x = *state;
	struct flipper p = {.segment = &x->segment[128]};

	p.value[0] = p.value[1] = p.value[2] = *p.segment;
	p.value[1].gref = 60000;
	p.value[2].gref = UINT32_MAX;
	uint64_t refused = full_rings_while_it_changes(x, &p);
	assert_int_equal(host_stat(x->h, ID, "errors"), refused);
	assert_int_equal(host_refused(x->h, ID, "bad-grant"), refused);
	assert_int_equal(host_refused(x->h, ID, "bad-segment"), 0);
	single_ones_while_it_changes(x, &p);
	assert_alive(x);
}

#define with(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    with(a_megabyte_in_every_layout, setup),
	    with(odd_segments, setup),
	    with(malformed, setup),
	    with(within_the_limit_that_was_offered, setup_few),
	    with(not_offered, setup_off),
	    with(more_than_there_is_memory_for, setup),
	    with(revoked_in_flight, setup),
	    with(ranges_change_in_flight, setup),
	    with(references_change_in_flight, setup),
	};

	return cmocka_run_group_tests_name("indirect", tests, NULL, NULL);
}
