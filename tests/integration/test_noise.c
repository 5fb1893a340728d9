/* SPDX-License-Identifier: MIT */
/* A guest that writes below its front end all the time: what that costs the supervisor, in round
 * trips to xenstored, is bounded, and all that it does in earnest is still noticed. */
#include <signal.h>
#include <sys/wait.h>

#include "control.h"

#define SEED 5
#define QUEUES 16
#define ORDER 4
/* A look at the ring keys of that many queues, each with its pages and its event channel. */
#define LOOK (QUEUES * ((1 << ORDER) + 1) + 40)
/* As discovery.c has them. */
#define LOOKS 4
#define LOOK_MS 1000
#define UPDATES 40
#define UPDATE_MS 50
#define UPDATE 20 /* what one may cost without a look */

static int setup(void **state)
{
	static const char *const extra[] = {"--max-queues", "16", NULL};
	struct host *h = calloc(1, sizeof *h);

	host_start(h, extra);
	*state = h;
	return 0;
}

static struct xenblkfront *connected(struct host *h)
{
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_with(
	    h, &(struct xenblkfront_options){.queues = QUEUES, .ring_order = ORDER});
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_reads(f, 0, SEED);
	return f;
}

static int64_t calls(struct host *h)
{
	json_t *a = host_control(h, "version", NULL);
	int64_t n =
	    json_integer_value(json_object_get(json_object_get(a, "result"), "xenstore_calls"));

	json_decref(a);
	assert_true(n > 0);
	return n;
}

/* When nothing is asked any more. */
static int64_t calls_at_rest(struct host *h)
{
	int64_t before, n = calls(h);

	do {
		before = n;
		usleep(QUIET_MS * 1000);
		n = calls(h);
	} while (n != before);
	return n;
}

static void end(struct host *h, struct xenblkfront *f)
{
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* Keys that nobody reads. */
static void other_keys(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connected(h);
	int64_t before = calls_at_rest(h);

	for (int i = 0; i < 300; i++)
		host_write(h, host_fe(1, XVDA), "noise", "%d", i);
	assert_int_equal(calls_at_rest(h), before);
	end(h, f);
}

/* A key of the ring, and the state, written again and again. */
static void hammers(struct host *h, const char *key)
{
	struct xenblkfront *f = connected(h);
	int64_t before = calls_at_rest(h), most;
	char value[64];
	uint64_t start = clock_ns();

	snprintf(value, sizeof value, "%s", host_read(h, host_fe(1, XVDA), key));
	assert_true(*value);
	for (int i = 0; i < 300; i++, usleep(2000))
		host_write(h, host_fe(1, XVDA), key, "%s", value);
	int64_t used = calls(h) - before, ms = ms_since(start);
	most = (LOOKS + ms / LOOK_MS + 1) * LOOK + (UPDATES + ms / UPDATE_MS + 1) * UPDATE;
	print_message("%s: %lld calls in %lld ms\n", key, (long long)used, (long long)ms);
	assert_in_range(used, 1, most);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_reads(f, 0, SEED);
	end(h, f);
}

static void ring_key(void **state)
{
	hammers(*state, "queue-3/event-channel");
}

static void frontend_state(void **state)
{
	hammers(*state, "state");
}

/* What it does in earnest, in the midst of it. */
static void is_heard(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connected(h);
	pid_t pid = fork();

	if (!pid) {
		struct store *s;
		if (store_open(xen_platform_store_path(h->xen), &s, NULL))
			_exit(1);
		for (unsigned i = 0;; i++, usleep(1000))
			store_write(s, XBT_NULL, host_fe(1, XVDA), "queue-0/noise", "%u", i);
	}
	usleep(QUIET_MS * 1000);
	assert_front(f, xenblkfront_disconnect(f));
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	xenblkfront_close(f);
	f = host_front_with(h, &(struct xenblkfront_options){.queues = 2});
	assert_reads(f, 0, SEED);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	end(h, f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(other_keys), T(ring_key), T(frontend_state),
	                                   T(is_heard)};

	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
