/* SPDX-License-Identifier: MIT */
/* Who else writes the back end's directory: its nodes go at any moment and do not come back, and
 * the toolstack's Closing is never written over. */
#include <pthread.h>
#include <stdatomic.h>

#include "removal.h"

/* Nothing comes back below it for a while; watched, so that not even a moment of it is missed. */
static void stays_away(struct host *h)
{
	char path[STORE_PATH_MAX], token[32], dir[STORE_PATH_MAX];
	uint64_t start = clock_ns();

	snprintf(dir, sizeof dir, "%s", host_be(1, XVDA));
	assert_int_equal(store_watch(h->store, dir, "gone"), 0);
	while (ms_since(start) < 300) {
		while (store_check_watch(h->store, path, sizeof path, token, sizeof token) > 0)
			if (strlen(path) > strlen(dir))
				fail_msg("somebody wrote %s", path);
		assert_false(store_exists(h->store, XBT_NULL, dir, NULL));
		usleep(500);
	}
	store_unwatch(h->store, dir, "gone");
}

static void backend_node_gone(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200];

	bystander_start(h, &b);
	for (enum stage stage = FRESH; stage < STAGES; stage++) {
		struct xenblkfront *f = reach(h, stage, path);
		store_rm(h->store, XBT_NULL, host_be(1, XVDA), NULL);
		stays_away(h);
		host_wait_gone(h, ID);
		wait_until(lock_is_free(path));
		xenblkfront_close(f);
		store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	}
	bystander_stop(h, &b);
	/* And the device may come again. */
	attach(h, path);
	front_end(host_front_connected(h, 1, "xvda"));
}

/* Its node goes between what we read and what we write: with slow answers of xenstore that is most
 * of the time. */
static void backend_node_goes_at_any_moment(void **state)
{
	struct host *h = *state;
	struct error err;
	char path[200];

	srand(2);
	for (unsigned round = 0; round < 60; round++) {
		enum stage stage = round % STAGES;
		struct xenblkfront *f = NULL;
		if (stage >= CLOSING) /* what it has to answer then is the last step */
			f = reach(h, CONNECTED, path);
		assert_int_equal(xen_fault(h->xen, "delay-store 1", &err), 0);
		if (stage < CLOSING)
			f = reach(h, stage, path);
		else
			front_state(h, 1, XVDA, stage == CLOSING ? XS_CLOSING : XS_CLOSED);
		usleep((unsigned)rand() % 15000);
		store_rm(h->store, XBT_NULL, host_be(1, XVDA), NULL);
		assert_int_equal(xen_fault(h->xen, "clear", &err), 0);
		host_wait_gone(h, ID);
		assert_false(store_exists(h->store, XBT_NULL, host_be(1, XVDA), NULL));
		xenblkfront_close(f);
		store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	}
}

/* The last key of the directory is enough: without `state` it is no device. */
static void state_node_gone(void **state)
{
	struct host *h = *state;
	char path[200];

	attach(h, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	store_rm(h->store, XBT_NULL, host_be(1, XVDA), "state");
	host_wait_gone(h, ID);
	usleep(QUIET_MS * 1000);
	assert_string_equal(host_read(h, host_be(1, XVDA), "state"), "");
	xenblkfront_close(f);
}

/* ---- compare and swap ---- */

/* Reads the state as fast as it can, on a connection of its own; owned by the test, except `store`
 * while the thread runs. */
struct observer {
	pthread_t thread;
	struct store *store;
	char be[STORE_PATH_MAX];
	atomic_bool stop, bad;
	atomic_uint armed, looks; /* armed: odd from the toolstack's 5 on: no 2 or 4 from then on */
};

static void *observe(void *arg)
{
	struct observer *o = arg;

	while (!o->stop) {
		/* The state was read between two looks at the same odd number: in that span. */
		unsigned armed = o->armed;
		int s = store_read_state(o->store, XBT_NULL, o->be);
		if (armed % 2 && armed == o->armed && (s == XS_INITWAIT || s == XS_CONNECTED))
			o->bad = true;
		o->looks++;
	}
	return NULL;
}

#define HAMMER_ROUNDS 200

/* A 4 over the toolstack's 5 crashes Linux guests: whenever it comes, it stands. */
static void toolstacks_closing_stands(void **state)
{
	struct host *h = *state;
	struct observer o = {0};
	struct error err;
	unsigned connected = 0, span_us = 20000;
	char path[200];

	make_image(h, "a.img", SEED, path);
	snprintf(o.be, sizeof o.be, "%s", host_be(1, XVDA));
	assert_int_equal(store_open(xen_platform_store_path(h->xen), &o.store, &err), 0);
	assert_int_equal(pthread_create(&o.thread, NULL, observe, &o), 0);
	srand(1);
	for (int round = 0; round < HAMMER_ROUNDS; round++) {
		host_disk(h, &(struct disk){.params = path, .script = "-"});
		struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
		assert_front(f, xenblkfront_publish_ring(f));
		front_state(h, 1, XVDA, XS_INITIALISED);
		if (round < 5) { /* how long does it take here? */
			uint64_t start = clock_ns();
			host_wait_state(h, 1, XVDA, XS_CONNECTED);
			span_us = (unsigned)((clock_ns() - start) / 1000) * 3 / 2;
		} else {
			usleep((unsigned)rand() % (span_us + 1));
		}
		/* The moment moves with the machine's load, and the span with it. */
		if (host_state(h, 1, XVDA) == XS_CONNECTED) {
			connected++;
			span_us -= span_us / 20;
		} else {
			span_us += span_us / 20 + 1;
		}
		host_offline(h, 1, XVDA);
		o.armed++;
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		assert_false(o.bad);
		o.armed++;
		host_remove_nodes(h, 1, XVDA);
		host_wait_gone(h, ID);
		xenblkfront_close(f);
	}
	o.stop = true;
	pthread_join(o.thread, NULL);
	store_close(o.store);
	print_message("offline came in Connected in %u of %d rounds; %u looks\n", connected,
	              HAMMER_ROUNDS, (unsigned)o.looks);
	/* Both sides of the moment were hit. */
	assert_in_range(connected, 6, HAMMER_ROUNDS - 1);
	assert_false(o.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(backend_node_gone),
	    case_of(backend_node_goes_at_any_moment),
	    case_of(state_node_gone),
	    case_of(toolstacks_closing_stands),
	};

	return cmocka_run_group_tests_name("removal_races", tests, NULL, NULL);
}
