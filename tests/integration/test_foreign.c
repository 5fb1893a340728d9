/* SPDX-License-Identifier: MIT */
/* Another driver has our device, or takes it: said, left alone, and taken back once it lets go. The
 * kernel's part is played with a directory like /sys. */
#include <fcntl.h>
#include <sys/stat.h>

#include "nodes.h"

#define ID "1:xvda"
#define SCRIPT "/etc/xen/scripts/block-xenblkd"
#define OWNED "xen_blkback owns this device; blacklist it or use backendtype=tap"

static void sysfs_path(struct host *h, char *path, size_t cap, const char *name)
{
	snprintf(path, cap, "%s/sys/%s", h->dir, name);
}

static void sysfs_make(struct host *h, const char *name)
{
	char command[300], path[200];

	sysfs_path(h, path, sizeof path, name);
	snprintf(command, sizeof command, "mkdir -p %s", path);
	assert_int_equal(system(command), 0);
}

#define DEVICE "bus/xen-backend/devices/vbd-1-51712"

static void bind_driver(struct host *h)
{
	char path[200];

	sysfs_make(h, DEVICE);
	sysfs_path(h, path, sizeof path, DEVICE "/driver");
	assert_int_equal(symlink("../../drivers/vbd", path), 0);
}

static void unbind_driver(struct host *h)
{
	char path[200];

	sysfs_path(h, path, sizeof path, DEVICE "/driver");
	assert_int_equal(unlink(path), 0);
}

static void start(struct host *h)
{
	char sys[100];

	snprintf(sys, sizeof sys, "%s/sys", h->dir);
	restart_as(h, 0, (const char *[]){"--sysfs", sys, NULL});
}

static void loaded_module(void **state)
{
	struct host *h = *state;

	start(h);
	assert_false(host_log_has(h, "xen_blkback"));
	sysfs_make(h, "module/xen_blkback");
	start(h);
	assert_int_equal(host_log_count(h, "xen_blkback is loaded"), 1);
	assert_true(host_log_has(h, "modprobe.d-xenblkd.conf"));
	assert_true(host_log_has(h, "backendtype=tap"));
}

/* What it promised the front end is not promised by us. */
static void owned_from_the_start(void **state)
{
	static const char *const theirs[] = {"multi-queue-max-queues",
	                                     "feature-max-indirect-segments", "feature-persistent"};
	struct host *h = *state;
	char path[200], said[1024];

	make_image(h, "a.img", 1, path);
	start(h);
	bind_driver(h);
	struct node n = {.kind = "vbd", .params = path, .script = SCRIPT};
	node_make(h, &n);
	host_wait_error(h, ID, OWNED);
	wait_until(strstr(error_node(h, 1, XVDA), OWNED));
	assert_true(host_log_has(h, OWNED));
	assert_true(host_state_stays(h, 1, XVDA, XS_INITIALISING, QUIET_MS));
	/* The driver's own words. */
	for (unsigned i = 0; i < 3; i++)
		host_write(h, n.be, theirs[i], "99");
	host_write(h, n.be, "state", "2");
	assert_int_equal(node_script(h, &n, "add", said, sizeof said), 1);
	assert_non_null(strstr(said, OWNED));
	assert_non_null(strstr(host_read(h, n.be, "hotplug-error"), OWNED));
	assert_true(host_state_stays(h, 1, XVDA, XS_INITWAIT, QUIET_MS));
	assert_int_equal(host_worker(h, ID), 0);
	/* It lets go: no event tells of that. */
	unbind_driver(h);
	wait_until(status_is(h, ID, "error", ""));
	for (unsigned i = 0; i < 3; i++)
		wait_until(strcmp(host_read(h, n.be, theirs[i]), "99"));
	assert_string_equal(host_read(h, n.be, "feature-max-indirect-segments"), "256");
	assert_string_equal(host_read(h, n.be, "feature-persistent"), "");
	assert_string_equal(host_read(h, n.be, "max-ring-page-order"), "4");
	assert_string_equal(error_node(h, 1, XVDA), "");
	if (node_script(h, &n, "add", said, sizeof said))
		fail_msg("%s", said);
	node_serves(h, 1);
	node_detach(h, &n);
}

/* As it comes with udev: right after our InitWait. */
static void taken_before_the_script(void **state)
{
	struct host *h = *state;
	char path[200], said[1024];

	make_image(h, "a.img", 2, path);
	start(h);
	struct node n = {.kind = "vbd", .params = path, .script = SCRIPT};
	node_make(h, &n);
	node_wait(h, &n, XS_INITWAIT);
	bind_driver(h);
	host_write(h, n.be, "state", "2");
	assert_int_equal(node_script(h, &n, "add", said, sizeof said), 1);
	assert_non_null(strstr(said, OWNED));
	assert_int_equal(host_worker(h, ID), 0);
	node_offline(h, &n);
	/* The driver answers, not we: it may still hold the image. */
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, QUIET_MS));
	unbind_driver(h);
	node_wait(h, &n, XS_CLOSED);
	node_remove(h, &n);
}

/* A driver that never answers does not keep the toolstack waiting. */
static void taken_and_stuck(void **state)
{
	struct host *h = *state;

	start(h);
	bind_driver(h);
	struct node n = {.kind = "vbd", .params = "/nonexistent", .script = SCRIPT};
	node_make(h, &n);
	host_wait_error(h, ID, OWNED);
	uint64_t begin = clock_ns();
	node_offline(h, &n);
	node_wait(h, &n, XS_CLOSED);
	assert_in_range(ms_since(begin), 5000, 10000); /* libxl waits no longer */
	node_remove(h, &n);
}

static void taken_when_connected(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	start(h);
	struct node n = {.kind = "vbd", .params = path};
	node_make(h, &n);
	wait_image_open(h, ID);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	bind_driver(h);
	host_write(h, n.be, "mode", "w");
	host_wait_error(h, ID, OWNED);
	/* Said; but the guest's disk works until the driver breaks it. */
	assert_reads(f, 0, 3);
	assert_int_equal(node_state(h, &n), XS_CONNECTED);
	host_write(h, n.be, "state", "5");
	wait_until(host_log_has(h, "another driver has bound: neither xenblkd nor the toolstack "
	                           "wrote state Closing"));
	wait_until(!host_worker(h, ID));
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, QUIET_MS));
	xenblkfront_close(f);
	unbind_driver(h);
	front_state(h, 1, XVDA, XS_CLOSED);
	node_detach(h, &n);
	assert_int_equal(host_log_count(h, "another driver has bound"), 1);
}

/* Removal and reconnects write states, too: none of them is a stranger's. */
static void nobody_is_accused_wrongly(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 4, path);
	struct node n = {.kind = "vbd", .params = path};
	node_make(h, &n);
	for (int i = 0; i < 3; i++) {
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_reads(f, 0, 4);
		front_end(f);
		node_wait(h, &n, XS_CLOSED);
		host_write(h, host_fe(1, XVDA), "state", "1");
		node_wait(h, &n, XS_INITWAIT);
	}
	node_detach(h, &n);
	assert_false(host_log_has(h, "another driver"));
}

/* So that systemd starts it again; the workers go on meanwhile. */
static void exit_status_without_xenstored(void **state)
{
	struct host *h = *state;
	char path[100];
	int xen = 0, status;

	snprintf(path, sizeof path, "%s/xen.pid", h->dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &xen), 1);
	fclose(f);
	assert_int_equal(kill(xen, SIGKILL), 0);
	assert_int_equal(waitpid(h->daemon, &status, 0), h->daemon);
	h->daemon = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 75);
	assert_true(host_log_has(h, "lost the connection to xenstored"));
	assert_true(host_log_has(h, "start xenblkd again when it is back"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(loaded_module),
	    case_of(owned_from_the_start),
	    case_of(taken_before_the_script),
	    case_of(taken_and_stuck),
	    case_of(taken_when_connected),
	    case_of(nobody_is_accused_wrongly),
	    case_of(exit_status_without_xenstored),
	};
	return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
