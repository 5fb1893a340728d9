/* SPDX-License-Identifier: MIT */
/* The walks of the front ends in use, with their missed, repeated and impossible states. */
#include "control.h"

#define ID "1:xvda"
#define SEED 11

static void attach(struct host *h)
{
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
}

/* A state of the front end, and the one that the back end must answer with. */
static void walk(struct host *h, int theirs, int ours)
{
	front_state(h, 1, XVDA, theirs);
	host_wait_state(h, 1, XVDA, ours);
}

static void assert_connects(struct host *h)
{
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");

	assert_reads(f, 0, SEED);
	front_end(f);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
}

static void normal(void **state)
{
	struct host *h = *state;

	attach(h);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_true(status_is(h, ID, "ring_state", "connected"));
	assert_reads(f, 0, SEED);
	walk(h, XS_CLOSING, XS_CLOSING);
	walk(h, XS_CLOSED, XS_CLOSED);
	assert_true(status_is(h, ID, "ring_state", "idle"));
	xenblkfront_close(f);
	/* online is still 1: the device stays and may be used again. */
	walk(h, XS_INITIALISING, XS_INITWAIT);
	assert_connects(h);
}

/* MiniOS neither waits for InitWait nor uses Initialised: it writes its keys and Connected. */
static void connected_before_us(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_disk(h, &(struct disk){.params = path});
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_set_state(f, XS_CONNECTED));
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_true(host_state_stays(h, 1, XVDA, XS_INITWAIT, 50));
	host_script(h, 1, XVDA, path);
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_reads(f, 0, SEED);
	/* Its way of closing and coming back. */
	walk(h, XS_CLOSING, XS_CLOSING);
	walk(h, XS_CLOSED, XS_CLOSED);
	walk(h, XS_INITIALISING, XS_INITWAIT);
	assert_front(f, xenblkfront_publish_ring(f));
	walk(h, XS_CONNECTED, XS_CONNECTED);
	assert_reads(f, 0, SEED);
	front_end(f);
}

/* Windows closes what an earlier driver may have left before it connects, at every boot. */
static void windows_walk(void **state)
{
	struct host *h = *state;

	attach(h);
	walk(h, XS_CLOSING, XS_CLOSING);
	walk(h, XS_CLOSED, XS_CLOSED);
	walk(h, XS_INITIALISING, XS_INITWAIT);
	assert_connects(h);
	/* Also before the script has run. */
	host_disk(h, &(struct disk){.domid = 2});
	host_wait_state(h, 2, XVDA, XS_INITWAIT);
	front_state(h, 2, XVDA, XS_CLOSING);
	host_wait_state(h, 2, XVDA, XS_CLOSING);
	front_state(h, 2, XVDA, XS_CLOSED);
	host_wait_state(h, 2, XVDA, XS_CLOSED);
	front_state(h, 2, XVDA, XS_INITIALISING);
	host_wait_state(h, 2, XVDA, XS_INITWAIT);
}

/* kexec, or a guest that crashed: the new kernel closes the disk that the old one had connected. */
static void reset_walk(void **state)
{
	struct host *h = *state;

	attach(h);
	for (int i = 0; i < 3; i++) {
		struct xenblkfront *dead = host_front_connected(h, 1, "xvda");
		assert_reads(dead, 0, SEED);
		if (i == 1) /* the old pages are still there while the new kernel boots */
			walk(h, XS_CLOSING, XS_CLOSING);
		xenblkfront_close(dead);
		assert_connects(h);
	}
}

/* States that follow each other faster than they are read. */
static void missed_states(void **state)
{
	struct host *h = *state;

	attach(h);
	/* Closing is missed. */
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	front_state(h, 1, XVDA, XS_CLOSING);
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	xenblkfront_close(f);
	/* Linux without an opener goes from Connected straight to Closed. */
	walk(h, XS_INITIALISING, XS_INITWAIT);
	f = host_front_connected(h, 1, "xvda");
	walk(h, XS_CLOSED, XS_CLOSED);
	xenblkfront_close(f);
	/* Closed is missed, or never was. */
	walk(h, XS_INITIALISING, XS_INITWAIT);
	f = host_front_connected(h, 1, "xvda");
	walk(h, XS_CLOSING, XS_CLOSING);
	walk(h, XS_INITIALISING, XS_INITWAIT);
	xenblkfront_close(f);
	assert_connects(h);
	/* Closing and Closed are missed, or only one of them: what was read shows in where it ends.
	 * If both were, the new ring's keys tell that it is another connection. */
	walk(h, XS_INITIALISING, XS_INITWAIT);
	for (int round = 0; round < 20; round++) {
		f = host_front_connected(h, 1, "xvda");
		assert_reads(f, 0, SEED);
		front_state(h, 1, XVDA, XS_CLOSING);
		front_state(h, 1, XVDA, XS_CLOSED);
		front_state(h, 1, XVDA, XS_INITIALISING);
		usleep(20 * 1000);
		wait_until(host_state(h, 1, XVDA) == XS_INITWAIT ||
		           host_state(h, 1, XVDA) == XS_CONNECTED);
		struct xenblkfront *next = host_front(h, 1, "xvda", NULL, 0);
		assert_front(next, xenblkfront_publish_ring(next));
		front_state(h, 1, XVDA, XS_INITIALISED);
		assert_reads(next, 65536, SEED);
		host_wait_state(h, 1, XVDA, XS_CONNECTED);
		front_state(h, 1, XVDA, XS_CONNECTED);
		xenblkfront_close(f);
		assert_reads(next, 0, SEED);
		walk(h, XS_CLOSED, XS_CLOSED);
		xenblkfront_close(next);
		walk(h, XS_INITIALISING, XS_INITWAIT);
	}
}

/* A repeated state is no new connection: nothing in flight is lost, the worker stays. */
static void repeated_states(void **state)
{
	struct host *h = *state;

	attach(h);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	front_state(h, 1, XVDA, XS_INITIALISED);
	front_state(h, 1, XVDA, XS_INITIALISED);
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	front_state(h, 1, XVDA, XS_INITIALISED);
	assert_reads(f, 0, SEED);
	pid_t worker = host_worker(h, ID);
	for (int i = 0; i < 20; i++) {
		front_state(h, 1, XVDA, XS_CONNECTED);
		host_write(h, host_be(1, XVDA), "state", "4"); /* somebody's resize protocol */
		assert_reads(f, 65536, SEED);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	}
	assert_int_equal(host_worker(h, ID), worker);
	assert_string_equal(status_text(h, ID, "error"), "");
	assert_int_equal(host_log_count(h, ID ": connected: \""), 1);
	walk(h, XS_CLOSING, XS_CLOSING);
	front_state(h, 1, XVDA, XS_CLOSING);
	walk(h, XS_CLOSED, XS_CLOSED);
	front_state(h, 1, XVDA, XS_CLOSED);
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSED, 50));
	xenblkfront_close(f);
	walk(h, XS_INITIALISING, XS_INITWAIT);
}

static void unexpected_states(void **state)
{
	static const int bad[] = {XS_INITWAIT, XS_RECONFIGURING, XS_RECONFIGURED};
	struct host *h = *state;
	struct bystander b;
	char path[200];

	bystander_start(h, &b);
	make_image(h, "a.img", SEED, path);
	for (unsigned i = 0; i < 6; i++) {
		host_attach(h, &(struct disk){.params = path}, path);
		struct xenblkfront *f = NULL;
		if (i % 2) { /* also out of a good connection */
			f = host_front_connected(h, 1, "xvda");
			assert_reads(f, 0, SEED);
		}
		front_state(h, 1, XVDA, bad[i / 2]);
		assert_fatal(h, 1, XVDA, ID, xenbus_state_name(bad[i / 2]));
		xenblkfront_close(f);
		/* The front end may close it and begin anew: the error is history. */
		walk(h, XS_CLOSED, XS_CLOSED);
		walk(h, XS_INITIALISING, XS_INITWAIT);
		assert_connects(h);
		assert_string_equal(status_text(h, ID, "error"), "");
		assert_string_equal(error_node(h, 1, XVDA), "");
		host_detach(h, 1, XVDA);
	}
	bystander_stop(h, &b);
}

/* What online says when Closed comes decides, not what it said before. */
static void online_is_read_again(void **state)
{
	struct host *h = *state;

	attach(h);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	walk(h, XS_CLOSING, XS_CLOSING);
	host_write(h, host_be(1, XVDA), "online", "0");
	walk(h, XS_CLOSED, XS_CLOSED);
	wait_until(host_worker(h, ID) == 0);
	xenblkfront_close(f);
	/* It goes away: no way back for the front end. */
	front_state(h, 1, XVDA, XS_INITIALISING);
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSED, QUIET_MS));
	/* The other way round: it was going to leave, and stays. */
	host_write(h, host_be(1, XVDA), "online", "1");
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_connects(h);
}

#define RECONNECTS 50

static void reconnects(void **state)
{
	struct host *h = *state;
	char block[4096], got[4096];

	attach(h);
	for (unsigned i = 0; i < RECONNECTS; i++) {
		struct xenblkfront *f =
		    host_front(h, 1, "xvda", i % 2 ? "x86_32" : "x86_64", i % 5);
		assert_front(f, xenblkfront_connect(f));
		if (i) {
			assert_front(f, xenblkfront_read(f, 4096 * (i - 1), got, sizeof got));
			assert_memory_equal(got, block, sizeof got);
		}
		host_pattern(block, 4096 * i, sizeof block, 1000 + i);
		assert_front(f, xenblkfront_write(f, 4096 * i, block, sizeof block));
		if (i % 3)
			front_end(f);
		else
			xenblkfront_close(f); /* as a guest that crashed */
	}
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (unsigned i = 0; i < RECONNECTS; i++) {
		assert_front(f, xenblkfront_read(f, 4096 * i, got, sizeof got));
		host_pattern(block, 4096 * i, sizeof block, 1000 + i);
		assert_memory_equal(got, block, sizeof got);
	}
	front_end(f);
	struct xen_usage u;
	assert_int_equal(xen_usage(h->xen, &u), 0);
	assert_int_equal(u.maps, 0);
	assert_int_equal(u.interdomain, 0);
}

/* Fills the ring with reads of one page each; the pages are granted as refs. */
static void fill_ring(struct xenblkfront *f, void **pages, uint32_t refs[32])
{
	assert_front(f, xenblkfront_alloc(f, 32, true, pages, refs));
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request req = {.op = BLKIF_OP_READ, .nr_segments = 1};
		req.sector = 8 * i;
		req.seg[0] = (struct xenblkfront_seg){.gref = refs[i], .first = 0, .last = 7};
		assert_front(f, xenblkfront_queue(f, &req, i));
	}
	assert_front(f, xenblkfront_kick(f));
}

/* What was asked before Closing is still answered, once each, with its data. */
static void closing_with_requests_in_flight(void **state)
{
	struct host *h = *state;
	struct xenblkfront_response rsp[32];
	uint32_t refs[32], seen = 0;
	void *pages;
	char want[4096];

	attach(h);
	for (int round = 0; round < 10; round++) {
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		fill_ring(f, &pages, refs);
		assert_front(f, xenblkfront_set_state(f, XS_CLOSING));
		seen = 0;
		for (unsigned n = 0; n < 32;) {
			int got = xenblkfront_reap(f, rsp, 32, -1);
			assert_front(f, got);
			for (int i = 0; i < got; i++) {
				assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
				assert_true(rsp[i].id < 32 && !(seen & 1u << rsp[i].id));
				seen |= 1u << rsp[i].id;
			}
			n += (unsigned)got;
		}
		for (unsigned i = 0; i < 32; i++) {
			host_pattern(want, 4096 * i, sizeof want, SEED);
			assert_memory_equal((char *)pages + 4096 * i, want, sizeof want);
		}
		front_end(f);
	}
	assert_connects(h);
}

/* Closed, or nothing at all, with requests in flight: nobody waits for their answers. */
static void vanishing_with_requests_in_flight(void **state)
{
	struct host *h = *state;
	struct bystander b;
	uint32_t refs[32];
	void *pages;

	bystander_start(h, &b);
	attach(h);
	for (int round = 0; round < 10; round++) {
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		fill_ring(f, &pages, refs);
		if (round % 2)
			walk(h, XS_CLOSED, XS_CLOSED);
		xenblkfront_close(f); /* its memory goes with it */
		bystander_check(h, &b);
	}
	assert_connects(h);
	bystander_stop(h, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(normal),
	    case_of(connected_before_us),
	    case_of(windows_walk),
	    case_of(reset_walk),
	    case_of(missed_states),
	    case_of(repeated_states),
	    case_of(unexpected_states),
	    case_of(online_is_read_again),
	    case_of(reconnects),
	    case_of(closing_with_requests_in_flight),
	    case_of(vanishing_with_requests_in_flight),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
