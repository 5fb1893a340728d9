/* SPDX-License-Identifier: MIT */
/* Nonsense in every key that we read, of the toolstack's and of the front end's: the daemon lives,
 * other disks go on, and whatever it says of it is one printable line. */
#include "control.h"

#define ID "1:xvda"
#define SEED 41

static const char *const back_keys[] = {
    "frontend",
    "frontend-id",
    "online",
    "state",
    "params",
    "script",
    "mode",
    "removable",
    "discard-enable",
    "physical-device",
    "dev",
    "type",
    "hotplug-status",
    "physical-device-path",
    "device-type",
    "direct-io-safe",
};
static const char *const front_keys[] = {
    "state",     "device-type",        "protocol",      "ring-ref",
    "ring-ref0", "ring-page-order",    "event-channel", "multi-queue-num-queues",
    "ring-ref1", "feature-persistent", "backend",       "virtual-device",
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

struct value {
	const char *text;
	unsigned length;
};
#define VALUES 8
#define LONG 3900 /* with its path it just fits a message of xenstore */

static char long_text[LONG];

static struct value value(unsigned i)
{
	static const char control[] = "a\nb\r\033[31mxenblkd: all is well\t\177\001";
	static const char nul[] = "1\0 2";

	/* The worst first: warnings are limited in number. */
	switch (i) {
	case 0:
		return (struct value){control, sizeof control - 1};
	case 1:
		return (struct value){"\377\376\200", 3};
	case 2:
		return (struct value){nul, sizeof nul - 1};
	case 3:
		return (struct value){long_text, LONG};
	case 4:
		return (struct value){"garbage %s%n %d /../", 20};
	case 5:
		return (struct value){"99999999999999999999", 20};
	case 6:
		return (struct value){"-1", 2};
	}
	return (struct value){"", 0};
}

/* Owned by the test: a connection that writes what store_write would not. */
static struct xs_handle *raw;

static void write_raw(const char *dir, const char *key, struct value v)
{
	char path[STORE_PATH_MAX + 32];

	snprintf(path, sizeof path, "%s/%s", dir, key);
	if (!xs_write(raw, XBT_NULL, path, v.text, v.length))
		fail_msg("cannot write %s", path);
}

static void raw_open(struct host *h)
{
	memset(long_text, 'x', sizeof long_text);
	setenv("XENSTORED_PATH", xen_platform_store_path(h->xen), 1);
	raw = xs_open(0);
	unsetenv("XENSTORED_PATH");
	assert_non_null(raw);
}

/* Everything that is said of the device. */
static void assert_speaks_plainly(struct host *h)
{
	const char *node = error_node(h, 1, XVDA);

	if (!one_printable_line(node))
		fail_msg("error node: %s", node);
	if (!one_printable_line(status_text(h, ID, "error")))
		fail_msg("error: %s", status_text(h, ID, "error"));
	if (!one_printable_line(status_text(h, ID, "warning")))
		fail_msg("warning: %s", status_text(h, ID, "warning"));
}

static bool log_is_printable(struct host *h)
{
	FILE *f = fopen(h->log, "r");
	char line[4096];
	bool ok = true;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		size_t n = strcspn(line, "\n");
		ok = ok && line[n] == '\n'; /* none is longer than that */
		line[n] = 0;
		if (!one_printable_line(line)) {
			print_error("log: %s\n", line);
			ok = false;
		}
	}
	fclose(f);
	return ok;
}

static void remove_all(struct host *h)
{
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, ID);
}

/* The nonsense is there when the device appears. */
static void from_the_start(struct host *h, const char *path, bool front, const char *key,
                           struct value v)
{
	host_disk(h, &(struct disk){.params = path, .no_frontend = true, .online = "1"});
	if (!front)
		write_raw(host_be(1, XVDA), key, v);
	host_write(h, host_be(1, XVDA), "hotplug-status", "connected");
	if (!front)
		write_raw(host_be(1, XVDA), key, v);
	/* A front end that offers what was never granted: it gets as far as it may. */
	const char *fe = host_fe(1, XVDA);
	host_write(h, fe, "ring-ref", "8");
	host_write(h, fe, "event-channel", "3");
	if (front)
		write_raw(fe, key, v);
	if (!front || strcmp(key, "state"))
		host_write(h, fe, "state", "3");
	usleep(3000);
	assert_speaks_plainly(h);
	remove_all(h);
}

static void hostile_from_the_start(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200];

	raw_open(h);
	bystander_start(h, &b);
	make_image(h, "a.img", SEED, path);
	for (unsigned k = 0; k < COUNT(back_keys) + COUNT(front_keys); k++) {
		bool front = k >= COUNT(back_keys);
		const char *key = front ? front_keys[k - COUNT(back_keys)] : back_keys[k];
		for (unsigned i = 0; i < VALUES; i++)
			from_the_start(h, path, front, key, value(i));
		bystander_check(h, &b);
	}
	bystander_stop(h, &b);
	assert_true(log_is_printable(h));
	xs_close(raw);
}

/* The nonsense comes while the disk is in use, all of it, key by key; then the toolstack detaches.
 */
static void hostile_while_connected(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200];

	raw_open(h);
	bystander_start(h, &b);
	make_image(h, "a.img", SEED, path);
	for (unsigned k = 0; k < COUNT(back_keys) + COUNT(front_keys); k++) {
		bool front = k >= COUNT(back_keys);
		const char *key = front ? front_keys[k - COUNT(back_keys)] : back_keys[k];
		host_attach(h, &(struct disk){.params = path}, path);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_reads(f, 0, SEED);
		for (unsigned i = 0; i < VALUES; i++) {
			write_raw(front ? host_fe(1, XVDA) : host_be(1, XVDA), key, value(i));
			usleep(2000);
			assert_speaks_plainly(h);
		}
		bystander_check(h, &b);
		remove_all(h);
		xenblkfront_close(f);
	}
	/* And a good one after all of that. */
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
	bystander_stop(h, &b);
	assert_true(log_is_printable(h));
	xs_close(raw);
}

/* A guest may write its keys as often as it likes: the log does not grow with it. */
static void a_flood_of_changes(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char path[200];

	raw_open(h);
	bystander_start(h, &b);
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	uint64_t start = clock_ns();
	for (unsigned i = 0; i < 3000; i++)
		write_raw(host_fe(1, XVDA), i % 2 ? "state" : "protocol", value(i % VALUES));
	bystander_check(h, &b);
	unsigned seconds = ms_since(start) / 1000 + 1;
	unsigned lines = host_log_count(h, ID);
	print_message("%u lines about it in %u s\n", lines, seconds);
	assert_true(lines <= 40 + 2 * seconds);
	host_offline(h, 1, XVDA);
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	remove_all(h);
	bystander_stop(h, &b);
	xs_close(raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(hostile_from_the_start),
	    case_of(hostile_while_connected),
	    case_of(a_flood_of_changes),
	};

	return cmocka_run_group_tests_name("keys_hostile", tests, NULL, NULL);
}
