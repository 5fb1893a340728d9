/* SPDX-License-Identifier: MIT */
/* How devices go: asked by the toolstack in whatever state, with force, or because the front end's
 * directory is gone. */
#include <signal.h>

#include "removal.h"

/* Below our own deadline of 7 s for a front end that stays: that is not what ended it. */
#define PROMPT_MS 6000

/* After offline: Closed in time, and the image is let go. */
static void closes_promptly(struct host *h, const char *path)
{
	uint64_t start = clock_ns();

	host_wait_state(h, 1, XVDA, XS_CLOSED);
	if (ms_since(start) > PROMPT_MS)
		fail_msg("Closed came only after %u ms", ms_since(start));
	wait_until(lock_is_free(path));
	assert_true(ms_since(start) < PROMPT_MS);
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, ID);
	assert_string_equal(host_read(h, host_be(1, XVDA), "state"), "");
}

/* Not a moment later than Closed: that is what a script or the next domain waits for. */
static void image_is_free_with_closed(void **state)
{
	struct host *h = *state;
	char path[200];

	for (int round = 0; round < 10; round++) {
		attach(h, path);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_false(lock_is_free(path));
		host_offline(h, 1, XVDA);
		front_state(h, 1, XVDA, XS_CLOSED);
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		assert_true(lock_is_free(path));
		closes_promptly(h, path);
		xenblkfront_close(f);
	}
}

/* The front end never came, or got as far as that state. */
static void offline_in_early_states(void **state)
{
	struct host *h = *state;
	char path[200];

	for (int theirs = XS_INITIALISING; theirs <= XS_INITWAIT; theirs++) {
		attach(h, path);
		wait_image_open(h, ID);
		front_state(h, 1, XVDA, theirs);
		host_offline(h, 1, XVDA);
		closes_promptly(h, path);
	}
	/* Initialised, but there is no image yet. */
	make_image(h, "a.img", SEED, path);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	front_state(h, 1, XVDA, XS_INITIALISED);
	host_offline(h, 1, XVDA);
	closes_promptly(h, path);
	/* Not even InitWait yet: as if it had never been. */
	host_disk(h, &(struct disk){.params = path});
	host_offline(h, 1, XVDA);
	closes_promptly(h, path);
}

/* We are Connected, the front end has not noticed yet. */
static void offline_in_initialised(void **state)
{
	struct host *h = *state;
	char path[200];

	attach(h, path);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	host_offline(h, 1, XVDA);
	closes_promptly(h, path);
	xenblkfront_close(f);
}

/* A front end that answers: with Closing and Closed, or straight with Closed. */
static void offline_in_connected(void **state)
{
	struct host *h = *state;
	char path[200];

	for (int by_closing = 0; by_closing <= 1; by_closing++) {
		attach(h, path);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		host_offline(h, 1, XVDA);
		/* It still has something to write, and may. */
		assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, 50));
		if (by_closing)
			front_state(h, 1, XVDA, XS_CLOSING);
		front_state(h, 1, XVDA, XS_CLOSED);
		closes_promptly(h, path);
		xenblkfront_close(f);
	}
}

static void offline_in_closing_and_closed(void **state)
{
	struct host *h = *state;
	char path[200];

	attach(h, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	front_state(h, 1, XVDA, XS_CLOSING);
	host_wait_state(h, 1, XVDA, XS_CLOSING);
	host_offline(h, 1, XVDA);
	front_state(h, 1, XVDA, XS_CLOSED);
	closes_promptly(h, path);
	xenblkfront_close(f);

	attach(h, path);
	f = host_front_connected(h, 1, "xvda");
	front_end(f);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	host_offline(h, 1, XVDA); /* the state stays Closed then */
	closes_promptly(h, path);
}

/* The whole domain goes: its directory first. */
static void front_directory_gone(void **state)
{
	struct host *h = *state;
	char path[200];

	for (int connected = 0; connected <= 1; connected++) {
		struct xenblkfront *f = NULL;
		attach(h, path);
		wait_image_open(h, ID);
		if (connected)
			f = host_front_connected(h, 1, "xvda");
		store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		xenblkfront_close(f);
		host_offline(h, 1, XVDA);
		closes_promptly(h, path);
	}
	/* Directory and request at once, as `xl destroy` does. */
	attach(h, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_offline(h, 1, XVDA);
	closes_promptly(h, path);
	xenblkfront_close(f);
}

/* `xl block-detach --force`, `xl destroy`: front end first, and then nothing is waited for long. */
static void forced(void **state)
{
	struct host *h = *state;
	char path[200];

	for (enum stage stage = FRESH; stage < STAGES; stage++) {
		struct xenblkfront *f = reach(h, stage, path);
		store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
		host_offline(h, 1, XVDA);
		closes_promptly(h, path);
		xenblkfront_close(f);
	}
}

/* Both stay as they are, front end and toolstack: libxl gives up after 10 s, so we do before. */
static void a_front_end_that_stays(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200], second[200];
	uint64_t start;

	bystander_start(h, &b);
	attach(h, path);
	make_image(h, "b.img", SEED, second);
	host_attach(h, &(struct disk){.domid = 2}, second);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct xenblkfront *g = host_front_connected(h, 2, "xvda");
	front_state(h, 2, XVDA, XS_CLOSING); /* … and never Closed */
	host_wait_state(h, 2, XVDA, XS_CLOSING);
	host_offline(h, 1, XVDA);
	host_offline(h, 2, XVDA);
	start = clock_ns();
	/* Until then its requests are served. */
	while (ms_since(start) < 5000) {
		assert_int_equal(host_state(h, 1, XVDA), XS_CLOSING);
		usleep(100 * 1000);
	}
	bystander_check(h, &b);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 2, XVDA, XS_CLOSED);
	print_message("Closed after %u ms\n", ms_since(start));
	assert_true(ms_since(start) < 10000);
	wait_until(lock_is_free(path) && lock_is_free(second));
	xenblkfront_close(f);
	xenblkfront_close(g);
	host_remove_nodes(h, 1, XVDA);
	host_remove_nodes(h, 2, XVDA);
	host_wait_gone(h, ID);
	bystander_stop(h, &b);
}

/* ---- left behind ---- */

/* An earlier detach failed because nobody answered: the next daemon does. */
static void left_closing_before_the_start(void **state)
{
	struct host *h = *state;

	host_daemon_kill(h, SIGKILL);
	host_disk(h, &(struct disk){.domid = 1});
	host_offline(h, 1, XVDA);
	host_disk(h, &(struct disk){.domid = 2});
	front_state(h, 2, XVDA, XS_CLOSED);
	host_offline(h, 2, XVDA);
	host_disk(h, &(struct disk){.domid = 3});
	store_rm(h->store, XBT_NULL, host_fe(3, XVDA), NULL);
	host_offline(h, 3, XVDA);
	host_daemon_start(h, NULL);
	for (unsigned domid = 1; domid <= 3; domid++) {
		host_wait_state(h, domid, XVDA, XS_CLOSED);
		host_remove_nodes(h, domid, XVDA);
	}
	host_wait_gone(h, "1:xvda");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(image_is_free_with_closed),
	    case_of(offline_in_early_states),
	    case_of(offline_in_initialised),
	    case_of(offline_in_connected),
	    case_of(offline_in_closing_and_closed),
	    case_of(front_directory_gone),
	    case_of(forced),
	    case_of(left_closing_before_the_start),
	    case_of(a_front_end_that_stays),
	};

	return cmocka_run_group_tests_name("removal", tests, NULL, NULL);
}
