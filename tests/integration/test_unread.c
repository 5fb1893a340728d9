/* SPDX-License-Identifier: MIT */
/* A key that cannot be read for a while is not a key that is gone: what was known of it stays, and
 * the disk goes on. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#define SIZE (4ull << 20)
#define FOR_EVER 1000000

static void cannot_read(struct host *h, int error, const char *path, unsigned count)
{
	char text[128];

	snprintf(text, sizeof text, "read %d %s %u", error, path, count);
	assert_int_equal(xen_fault(h->xen, text, NULL), 0);
}

/* The front end's state and a key of its ring are written once more: xenblkd reads all. */
static void wake(struct host *h, const char *port)
{
	host_write(h, host_fe(1, XVDA), "event-channel", "%s", port);
	host_write(h, host_fe(1, XVDA), "state", "%d", XS_CONNECTED);
}

static void again(struct host *h)
{
	assert_int_equal(xen_fault(h->xen, "clear", NULL), 0);
}

static void assert_reads(struct xenblkfront *f)
{
	char got[65536], want[65536];

	assert_front(f, xenblkfront_read(f, 1 << 20, got, sizeof got));
	host_pattern(want, 1 << 20, sizeof want, 7);
	assert_memory_equal(got, want, sizeof got);
}

static const char *make_image(struct host *h)
{
	const char *image = host_image(h, "a.img", SIZE);

	host_fill(image, SIZE, 7);
	return image;
}

static void wait_warning(struct host *h, const char *text)
{
	char have[ERROR_TEXT_MAX] = "";

	for (int i = 0; i < WAIT_MS / 10; i++, usleep(10000)) {
		json_t *s = host_status(h, "1:xvda");
		const char *w = json_string_value(json_object_get(s, "warning"));
		snprintf(have, sizeof have, "%s", w ?: "");
		json_decref(s);
		if (*text ? strstr(have, text) != NULL : !*have)
			return;
	}
	fail_msg("warning is \"%s\", not \"%s\"", have, text);
}

/* Every key of a running disk that xenblkd reads, with every error that a busy or broken xenstored
 * gives: the disk stays connected, by the same worker; and a worker that dies meanwhile is
 * replaced when the key can be read again. */
static void running(void **state)
{
	static const char *const keys[] = {"/device/vbd/51712/state",
	                                   "/vbd/1/51712/state",
	                                   "/vbd/1/51712/online",
	                                   "/vbd/1/51712/frontend",
	                                   "/vbd/1/51712/params",
	                                   "/vbd/1/51712/mode",
	                                   "/51712/ring-ref",
	                                   "/51712/event-channel",
	                                   "/vbd/1/51712/multi-queue-max-queues",
	                                   "/vbd/1/51712/feature-max-indirect-segments",
	                                   "/vbd/1/51712/feature-persistent",
	                                   "/vbd/1/51712/sector-size",
	                                   "/51712/protocol",
	                                   "/domain/1/name",
	                                   "/domain/1/vm",
	                                   "/51712/device-type",
	                                   "/vbd/1/51712/discard-enable"};
	static const int errors[] = {EIO, EBUSY, EAGAIN, ENOMEM};
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	char port[64];
	snprintf(port, sizeof port, "%s", host_read(h, host_fe(1, XVDA), "event-channel"));
	assert_reads(f);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		pid_t worker = host_worker(h, "1:xvda");
		cannot_read(h, errors[i % 4], keys[i], FOR_EVER);
		host_write(h, host_be(1, XVDA), "hotplug-note", "%zu", i);
		wake(h, port);
		usleep(100000);
		assert_int_equal(host_worker(h, "1:xvda"), worker);
		if (i % 2)
			kill(worker, SIGKILL);
		usleep(150000);
		again(h);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
		assert_reads(f);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
		assert_true((host_worker(h, "1:xvda") == worker) == !(i % 2));
	}
	wait_warning(h, "");
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The reason is in status, and gone with the trouble. */
static void said(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	char port[64];
	snprintf(port, sizeof port, "%s", host_read(h, host_fe(1, XVDA), "event-channel"));
	cannot_read(h, EIO, "/device/vbd/51712/state", FOR_EVER);
	wake(h, port);
	wait_warning(h, "cannot read the front end's state: Input/output error");
	again(h);
	wait_warning(h, "");
	assert_reads(f);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A disk whose node cannot be read when it comes is found later. */
static void found_later(void **state)
{
	static const char *const keys[] = {"/51712/state", "/51712/frontend", "/51712/frontend-id",
	                                   "/backend/vbd/1", "/backend/vbd"};
	struct host *h = *state;
	const char *image = make_image(h);

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		cannot_read(h, EIO, keys[i], FOR_EVER);
		host_disk(h, &(struct disk){.params = image});
		usleep(300000);
		again(h);
		host_wait_state(h, 1, XVDA, XS_INITWAIT);
		host_script(h, 1, XVDA, image);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_reads(f);
		assert_front(f, xenblkfront_disconnect(f));
		xenblkfront_close(f);
		host_detach(h, 1, XVDA);
	}
}

/* Nor is it taken for one that went, by a supervisor that starts: its worker serves on. */
static void adopted_later(void **state)
{
	static const char *const keys[] = {"/vbd/1/51712/state", "/51712/frontend",
	                                   "/backend/vbd/1", "/backend/vbd", "/domain/1/vm"};
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		host_daemon_kill(h, SIGKILL);
		cannot_read(h, EIO, keys[i], FOR_EVER);
		host_daemon_start(h, NULL);
		usleep(300000);
		assert_reads(f);
		again(h);
		for (int n = 0; n < WAIT_MS / 10 && host_worker(h, "1:xvda") != worker; n++)
			usleep(10000);
		assert_int_equal(host_worker(h, "1:xvda"), worker);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
		assert_reads(f);
	}
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A removal ends in time, also while the front end's state cannot be read. */
static void removed(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	cannot_read(h, EIO, "/device/vbd/51712/state", FOR_EVER);
	host_offline(h, 1, XVDA);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	again(h);
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, "1:xvda");
	xenblkfront_close(f);
}

/* A guest that takes the right to read its state away (which a back end outside domain 0 feels) has
 * taken the state away: its own disk closes, and can be removed. */
static void revoked(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	char port[64];
	snprintf(port, sizeof port, "%s", host_read(h, host_fe(1, XVDA), "event-channel"));
	cannot_read(h, EACCES, "/device/vbd/51712/state", FOR_EVER);
	wake(h, port);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	host_detach(h, 1, XVDA);
	again(h);
	xenblkfront_close(f);
}

/* The front end cannot be watched, for want of quota in a driver domain: the disk works, slowly,
 * and says why. */
static void unwatched(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	cannot_read(h, ENOSPC, "watch:/device/vbd/51712", FOR_EVER);
	host_attach(h, &(struct disk){.params = image}, image);
	wait_warning(h, "cannot watch the front end, /local/domain/1/device/vbd/51712: No space");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	/* Tried again. */
	again(h);
	wait_warning(h, "");
	f = host_front_connected(h, 1, "xvda");
	assert_reads(f);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(running, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(said, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(found_later, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(adopted_later, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(removed, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(revoked, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(unwatched, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("unread", tests, NULL, NULL);
}
