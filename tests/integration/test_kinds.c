/* SPDX-License-Identifier: MIT */
/* What xl makes of a disk besides a plain vbd: other kinds, another domain, no script; and the
 * script as xl runs it. */
#include "nodes.h"

#define ID "1:xvda"
#define SCRIPT "/etc/xen/scripts/block-xenblkd"

static const char *const all_kinds[] = {"--kinds", "vbd,vbd3,qdisk", NULL};
static const char *const no_hotplug[] = {"--kinds", "vbd,vbd3,qdisk", "--no-hotplug", NULL};

static void tap_with_our_script(void **state)
{
	struct host *h = *state;
	char path[200], params[220], said[1024];

	make_image(h, "a.img", 1, path);
	snprintf(params, sizeof params, "aio:%s", path);
	struct node n = {.kind = "vbd3", .params = params, .script = SCRIPT};
	node_make(h, &n);
	node_wait(h, &n, XS_INITWAIT);
	assert_string_equal(status_text(h, ID, "kind"), "vbd3");
	assert_string_equal(status_text(h, ID, "image_state"), "none");
	if (node_script(h, &n, "add", said, sizeof said))
		fail_msg("%s", said);
	assert_string_equal(said, "");
	assert_string_equal(host_read(h, n.be, "physical-device-path"), path);
	assert_string_equal(host_read(h, n.be, "hotplug-status"), "connected");
	assert_true(status_is(h, ID, "image_state", "open"));
	node_serves(h, 1);
	node_offline(h, &n);
	node_wait(h, &n, XS_CLOSED);
	assert_int_equal(node_script(h, &n, "remove", said, sizeof said), 0);
	/* In domain 0 nobody but the toolstack removes a node. */
	assert_true(host_state_stays(h, 1, XVDA, XS_UNKNOWN, QUIET_MS));
	assert_int_equal(node_state(h, &n), XS_CLOSED);
	node_remove(h, &n);
}

/* xl shows the reason: on stderr, in hotplug-error, and by the exit status. */
static void tap_with_vhd(void **state)
{
	struct host *h = *state;
	char said[1024];
	struct node n = {.kind = "vbd3", .params = "vhd:/srv/x.vhd", .script = SCRIPT};

	node_make(h, &n);
	node_wait(h, &n, XS_INITWAIT);
	assert_int_equal(node_script(h, &n, "add", said, sizeof said), 1);
	assert_non_null(strstr(said, "no engine for vhd; convert the image (qemu-img convert"));
	assert_non_null(strstr(host_read(h, n.be, "hotplug-error"), "no engine for vhd"));
	assert_string_equal(host_read(h, n.be, "hotplug-status"), "error");
	node_detach(h, &n);
}

static void qdisk_at_sight(void **state)
{
	struct host *h = *state;
	char path[200], params[220];

	make_image(h, "a.img", 3, path);
	snprintf(params, sizeof params, "aio:%s", path);
	struct node n = {.kind = "qdisk", .params = params};
	node_make(h, &n);
	wait_image_open(h, ID);
	node_serves(h, 3);
	node_detach(h, &n);
	n.params = "qcow2:/srv/x.qcow2";
	node_make(h, &n);
	host_wait_error(h, ID, "no engine for qcow2; convert the image");
	node_wait(h, &n, XS_CLOSING);
	node_detach(h, &n);
}

/* A guest has one disk of a number: the second node waits until the first is gone. */
static void same_number_in_two_kinds(void **state)
{
	struct host *h = *state;
	char a[200], b[200];

	make_image(h, "a.img", 4, a);
	make_image(h, "b.img", 5, b);
	struct node first = {.kind = "qdisk", .params = a}, second = {.kind = "vbd3", .params = b};
	node_make(h, &first);
	wait_image_open(h, ID);
	pid_t worker = host_worker(h, ID);
	node_make(h, &second);
	wait_until(host_log_has(h, "ignored: 1:xvda is served as kind qdisk already"));
	assert_int_equal(node_state(h, &second), XS_INITIALISING);
	assert_int_equal(host_worker(h, ID), worker);
	node_offline(h, &first);
	node_wait(h, &first, XS_CLOSED);
	store_rm(h->store, XBT_NULL, first.be, NULL);
	wait_image_open(h, ID);
	assert_string_equal(status_text(h, ID, "kind"), "vbd3");
	node_serves(h, 5);
	node_detach(h, &second);
}

static void driver_domain_with_script(void **state)
{
	struct host *h = *state;
	char path[200], said[1024];

	restart_as(h, 5, all_kinds);
	make_image(h, "a.img", 6, path);
	struct node n = {.own = 5, .kind = "vbd", .params = path, .script = SCRIPT};
	node_make(h, &n);
	node_wait(h, &n, XS_INITWAIT);
	if (node_script(h, &n, "add", said, sizeof said))
		fail_msg("%s", said);
	assert_string_equal(host_read(h, n.be, "hotplug-status"), "connected");
	node_serves(h, 6);
	node_offline(h, &n);
	node_wait(h, &n, XS_CLOSED);
	assert_int_equal(node_script(h, &n, "remove", said, sizeof said), 0);
	/* There is a script, so somebody runs it, and removes the node after it. */
	usleep(QUIET_MS * 1000);
	assert_int_equal(node_state(h, &n), XS_CLOSED);
	node_remove(h, &n);
	/* Errors are written there, too. */
	n.params = "/nonexistent";
	n.script = NULL;
	node_make(h, &n);
	host_wait_error(h, ID, "/nonexistent");
	wait_until(strstr(host_read(h, "/local/domain/5/error/backend/vbd/1/51712", "error"),
	                  "/nonexistent"));
	node_detach(h, &n);
}

/* Its own leaf goes, and nothing above it. */
static void assert_removes_itself(struct host *h, const struct node *n)
{
	char up[STORE_PATH_MAX];

	snprintf(up, sizeof up, "%s", n->be);
	*strrchr(up, '/') = '\0';
	node_offline(h, n);
	wait_until(!store_exists(h->store, XBT_NULL, n->be, NULL));
	host_wait_gone(h, ID);
	assert_true(store_exists(h->store, XBT_NULL, up, NULL));
	assert_true(store_exists(h->store, XBT_NULL, host_fe(1, XVDA), NULL));
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
}

static void driver_domain_without_devd(void **state)
{
	static const char *const kinds[] = {"vbd", "vbd3", "qdisk"};
	struct host *h = *state;
	char path[200];

	restart_as(h, 5, no_hotplug);
	make_image(h, "a.img", 7, path);
	for (unsigned i = 0; i < 3; i++) {
		struct node n = {.own = 5, .kind = kinds[i], .params = path, .script = SCRIPT};
		node_make(h, &n);
		wait_image_open(h, ID);
		node_serves(h, 7);
		/* Closed by the front end alone, it stays: the guest may come back. */
		node_wait(h, &n, XS_CLOSED);
		usleep(QUIET_MS * 1000);
		assert_true(store_exists(h->store, XBT_NULL, n.be, "state"));
		assert_removes_itself(h, &n);
	}
}

static void qdisk_in_a_driver_domain(void **state)
{
	struct host *h = *state;
	char path[200];

	restart_as(h, 5, all_kinds);
	make_image(h, "a.img", 8, path);
	struct node n = {.own = 5, .kind = "qdisk", .params = path};
	node_make(h, &n);
	wait_image_open(h, ID);
	assert_removes_itself(h, &n);
}

static void no_hotplug_in_domain_0(void **state)
{
	struct host *h = *state;
	char path[200];

	restart_as(h, 0, no_hotplug);
	make_image(h, "a.img", 9, path);
	struct node n = {.kind = "vbd", .params = path, .script = SCRIPT};
	node_make(h, &n);
	wait_image_open(h, ID);
	node_serves(h, 9);
	node_offline(h, &n);
	node_wait(h, &n, XS_CLOSED);
	usleep(QUIET_MS * 1000);
	assert_int_equal(node_state(h, &n), XS_CLOSED);
	node_remove(h, &n);
}

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, all_kinds);
	*state = h;
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(tap_with_our_script),
	    T(tap_with_vhd),
	    T(qdisk_at_sight),
	    T(same_number_in_two_kinds),
	    T(driver_domain_with_script),
	    T(driver_domain_without_devd),
	    T(qdisk_in_a_driver_domain),
	    T(no_hotplug_in_domain_0),
	};
	return cmocka_run_group_tests_name("kinds", tests, NULL, NULL);
}
