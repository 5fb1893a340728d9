/* SPDX-License-Identifier: MIT */
/* A host with 1000 disks: 40,000 nodes, 3000 watches, transactions open meanwhile. Cost per change
 * must not grow with the number of watches or devices. */
#include <time.h>

#include "test_xsd.h"

#define DISKS 1000
#define KEYS 20

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void watch(struct client *cl, const char *path, int token)
{
	char p[256];
	size_t n = (size_t)sprintf(p, "%s", path) + 1;

	n += (size_t)sprintf(p + n, "%d", token) + 1;
	ok(cl, XS_WATCH, 0, p, n);
	drain(cl);
	cl->events = 0;
}

static void attach(struct client *tools, struct client *daemon, int i)
{
	char path[128];

	for (int k = 0; k < KEYS; k++) {
		snprintf(path, sizeof path, "/local/domain/0/backend/vbd/%d/51712/key%d", i, k);
		put(tools, 0, path, "value");
		snprintf(path, sizeof path, "/local/domain/%d/device/vbd/51712/key%d", i, k);
		put(tools, 0, path, "value");
		daemon->events = 0;
	}
	for (int k = 0; k < 3; k++) {
		snprintf(path, sizeof path, "/local/domain/%d/device/vbd/51712/key%d", i, k);
		watch(daemon, path, i);
	}
}

static void thousand_disks(void **state)
{
	struct client *tools = client(*state, 0), *daemon = client(*state, 0);
	char path[128], want[160];
	double start = seconds(), set_up, change;
	uint32_t tx;

	watch(daemon, "/local/domain/0/backend", -1);
	for (int i = 1; i <= DISKS; i++) {
		attach(tools, daemon, i);
		drain(daemon);
		daemon->events = 0;
	}
	set_up = seconds() - start;

	/* With a snapshot held by somebody else, so that paths are copied. */
	start = seconds();
	for (int i = 1; i <= DISKS; i++) {
		tx = begin(daemon);
		snprintf(path, sizeof path, "/local/domain/%d/device/vbd/51712/key0", i);
		has(daemon, tx, path, "value");
		put(daemon, tx, path, "4");
		commit(daemon, tx);
		snprintf(want, sizeof want, "%s|%d", path, i);
		events(daemon, want, NULL);
	}
	change = seconds() - start;
	print_message("set up: %.2f s, %.1f us per transaction\n", set_up, change / DISKS * 1e6);
	/* Far from what is needed, far below what a scan per write would take under a sanitizer. */
	assert_true(set_up < 20);
	assert_true(change < 10);

	/* All events of a burst wait at once, each once. */
	for (int round = 0; round < 2; round++) {
		for (int i = 1; i <= DISKS; i++) {
			snprintf(path, sizeof path, "/local/domain/0/backend/vbd/%d/51712/key0", i);
			put(tools, 0, path, "x");
		}
	}
	for (int got = 0;; got++) {
		struct xsd_sockmsg hdr;
		const void *data;

		if (!xsd_output(daemon->c, &data)) {
			assert_int_equal(got, DISKS);
			break;
		}
		memcpy(&hdr, data, sizeof hdr);
		assert_int_equal(hdr.type, XS_WATCH_EVENT);
		xsd_consume(daemon->c, sizeof hdr + hdr.len);
	}
	start = seconds();
	send_only(tools, XS_RM, 0, Z("/local"));
	assert_true(seconds() - start < 5);
	drain(tools);
	assert_string_equal(tools->data, "OK");
	client_free(tools);
	client_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {store_test(thousand_disks)};

	return cmocka_run_group_tests_name("xsd_scale", tests, NULL, NULL);
}
