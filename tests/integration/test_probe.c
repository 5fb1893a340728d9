/* SPDX-License-Identifier: MIT */
/* Discovery: which nodes are devices, in whatever order they appear, and InitWait whatever else is
 * missing. */
#include <signal.h>

#include "control.h"

#define ATTACHES 20
#define BARE                                                                             \
	{                                                                                \
		.params = "-", .script = "-", .mode = "-", .type = "-", .removable = "-" \
	}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *v, unsigned n)
{
	double sorted[64];

	assert_true(n <= 64);
	memcpy(sorted, v, n * sizeof *v);
	qsort(sorted, n, sizeof *sorted, by_value);
	return sorted[n / 2];
}

/* Milliseconds from the commit of the nodes to InitWait. */
static double attach_ms(struct host *h, const struct disk *d)
{
	host_disk(h, d);
	uint64_t start = clock_ns();
	while (host_state(h, d->domid, d->devid) != XS_INITWAIT) {
		if (ms_since(start) > WAIT_MS)
			fail_msg("%u/%u does not reach InitWait", d->domid, d->devid);
		usleep(100);
	}
	return (double)(clock_ns() - start) / NS_PER_MS;
}

/* Neither image nor mode nor a script's word is there, nor any hope of them. */
static void initwait_needs_nothing(void **state)
{
	struct host *h = *state;
	double ms[ATTACHES];

	for (unsigned i = 0; i < ATTACHES; i++) {
		struct disk d = BARE;
		d.domid = i + 1;
		d.devid = XVDA;
		d.no_frontend = i % 2;
		ms[i] = attach_ms(h, &d);
		assert_string_equal(host_read(h, host_be(d.domid, XVDA), "max-ring-page-order"),
		                    "4");
	}
	double m = median(ms, ATTACHES);
	print_message("InitWait after %.2f ms (median of %d; libxl waits for 10 s)\n", m, ATTACHES);
	assert_true(m < 500);
	assert_string_equal(status_text(h, "3:xvda", "error"), "");
	assert_int_equal(host_worker(h, "3:xvda"), 0);
}

struct step {
	const char *key, *value;
};

/* Writes the keys one by one in that order; only the last one makes it a device. */
static void appear(struct host *h, unsigned domid, const char *const *order)
{
	const char *be = host_be(domid, XVDA);
	char dir[STORE_PATH_MAX];

	snprintf(dir, sizeof dir, "%s", be);
	for (; *order; order++) {
		int now = host_state(h, domid, XVDA);
		assert_true(now == XS_UNKNOWN || now == XS_INITIALISING);
		if (!order[1])
			assert_true(host_state_stays(h, domid, XVDA, now, 30));
		if (!strcmp(*order, "frontend"))
			host_write(h, dir, "frontend", "%s", host_fe(domid, XVDA));
		else if (!strcmp(*order, "frontend-id"))
			host_write(h, dir, "frontend-id", "%u", domid);
		else
			host_write(h, dir, *order, "1");
	}
	host_wait_state(h, domid, XVDA, XS_INITWAIT);
}

static void keys_in_any_order(void **state)
{
	static const char *const orders[][4] = {
	    {"state", "frontend-id", "frontend"}, {"frontend-id", "state", "frontend"},
	    {"frontend", "frontend-id", "state"}, {"frontend-id", "frontend", "state"},
	    {"frontend", "state", "frontend-id"}, {"state", "frontend", "frontend-id"},
	};
	struct host *h = *state;

	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(xen_domain_create(h->xen, (uint16_t)(i + 1), NULL), 0);
		appear(h, i + 1, orders[i]);
	}
}

/* The front end's directory may come after InitWait, and all goes on as usual. */
static void front_end_appears_last(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	host_disk(h, &(struct disk){.no_frontend = true});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_true(host_state_stays(h, 1, XVDA, XS_INITWAIT, 50));
	assert_int_equal(store_mkdir(h->store, XBT_NULL, host_fe(1, XVDA)), 0);
	assert_int_equal(store_set_perms(h->store, XBT_NULL, host_fe(1, XVDA), 1, 0), 0);
	host_write(h, host_fe(1, XVDA), "backend", "%s", host_be(1, XVDA));
	host_write(h, host_fe(1, XVDA), "backend-id", "0");
	host_write(h, host_fe(1, XVDA), "state", "1");
	host_script(h, 1, XVDA, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 3);
	front_end(f);
}

static void node(struct host *h, const char *dir, const char *frontend, const char *frontend_id)
{
	host_write(h, dir, "frontend", "%s", frontend);
	host_write(h, dir, "frontend-id", "%s", frontend_id);
	host_write(h, dir, "online", "1");
	host_write(h, dir, "state", "1");
}

/* Not touched, not listed, and no burden for those that are devices. */
static void nodes_that_are_no_device(void **state)
{
	static const char *const names[] = {
	    "x/51712", "1/xvda", "007/51712", "1/007",         "70000/768",
	    "-1/768",  "1/-1",   "1",         "1/99999999999", "1/51712/nested/768"};
	static const char *const fronts[] = {
	    "/local/domain/2/device/vbd/51712", /* of another domain */
	    "/local/domain/10/device/vbd/1",    /* whose number begins alike */
	    "device/vbd/51712",
	    "/local/domain/1/device/vbd/../../../2/device/vbd/1",
	    "/local/domain/1/device//51712",
	    "/local/domain/1",
	    "/",
	    "",
	    "nonsense with spaces",
	};
	struct host *h = *state;
	char dir[STORE_PATH_MAX];

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(dir, sizeof dir, "/local/domain/0/backend/vbd/%s", names[i]);
		node(h, dir, host_fe(1, XVDA), "1");
	}
	for (unsigned i = 0; i < sizeof fronts / sizeof *fronts; i++)
		node(h, host_be(1, 1000 + i), fronts[i], "1");
	/* The number in the path and the one in the key disagree; or it is none. */
	node(h, host_be(1, 2000), host_fe(1, 2000), "2");
	node(h, host_be(1, 2001), host_fe(1, 2001), "one");
	/* One that is a device, after all of these: the daemon has seen them. */
	host_disk(h, &(struct disk){.domid = 3});
	host_wait_state(h, 3, XVDA, XS_INITWAIT);
	usleep(QUIET_MS * 1000);

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(dir, sizeof dir, "/local/domain/0/backend/vbd/%s", names[i]);
		assert_string_equal(host_read(h, dir, "state"), "1");
		assert_string_equal(host_read(h, dir, "max-ring-page-order"), "");
	}
	for (unsigned i = 0; i < sizeof fronts / sizeof *fronts; i++)
		if (host_state(h, 1, 1000 + i) != 1)
			fail_msg("frontend \"%s\" was accepted", fronts[i]);
	assert_int_equal(host_state(h, 1, 2000), 1);
	assert_int_equal(host_state(h, 1, 2001), 1);
	json_t *list = host_control(h, "list", NULL);
	assert_int_equal(json_array_size(json_object_get(list, "result")), 1);
	json_decref(list);
}

/* A front end that waits for InitWait reads max-ring-page-order at that very moment. */
static void ring_order_before_initwait(void **state)
{
	struct host *h = *state;

	for (unsigned domid = 1; domid <= 10; domid++) {
		host_disk(h, &(struct disk){.domid = domid});
		while (host_state(h, domid, XVDA) != XS_INITWAIT)
			;
		assert_string_equal(host_read(h, host_be(domid, XVDA), "max-ring-page-order"), "4");
	}
}

static void devices_before_the_daemon(void **state)
{
	struct host *h = *state;

	host_daemon_kill(h, SIGKILL);
	for (unsigned domid = 1; domid <= 5; domid++)
		host_disk(h, &(struct disk){.domid = domid});
	assert_true(host_state_stays(h, 5, XVDA, XS_INITIALISING, 20));
	host_daemon_start(h, NULL);
	for (unsigned domid = 1; domid <= 5; domid++)
		host_wait_state(h, domid, XVDA, XS_INITWAIT);
}

#define DOMAINS 20
#define PER_DOMAIN 50
#define DEVICES (DOMAINS * PER_DOMAIN)

static unsigned devid_of(unsigned i)
{
	return 1u << 28 | (i % PER_DOMAIN) << 8;
}

/* No scan of the tree per event: the thousandth takes about as long as the first. */
static void a_thousand_devices(void **state)
{
	struct host *h = *state;
	double ms[DEVICES];

	for (unsigned i = 0; i < DEVICES; i++) {
		struct disk d = BARE;
		d.domid = 1 + i / PER_DOMAIN;
		d.devid = devid_of(i);
		ms[i] = attach_ms(h, &d);
	}
	double first = median(ms, 50), last = median(ms + DEVICES - 50, 50);
	print_message("InitWait of the first 50: %.2f ms, of the last 50 of %d: %.2f ms\n", first,
	              DEVICES, last);
	/* Below half a millisecond it is the wait's own grain that is measured. */
	assert_true(last <= 5 * (first > 0.5 ? first : 0.5));
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(host_state(h, 1 + i / PER_DOMAIN, devid_of(i)), XS_INITWAIT);
	json_t *list = host_control(h, "list", NULL);
	assert_int_equal(json_array_size(json_object_get(list, "result")), DEVICES);
	json_decref(list);

	host_offline(h, 10, devid_of(7));
	host_wait_state(h, 10, devid_of(7), XS_CLOSED);
	host_remove_nodes(h, 10, devid_of(7));
	wait_until(({
		list = host_control(h, "list", NULL);
		size_t n = json_array_size(json_object_get(list, "result"));
		json_decref(list);
		n == DEVICES - 1;
	}));
	assert_int_equal(host_state(h, 10, devid_of(8)), XS_INITWAIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(initwait_needs_nothing),     case_of(keys_in_any_order),
	    case_of(front_end_appears_last),     case_of(nodes_that_are_no_device),
	    case_of(ring_order_before_initwait), case_of(devices_before_the_daemon),
	    case_of(a_thousand_devices),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
