/* SPDX-License-Identifier: MIT */
/* Storage that fails is told to those who look after the host: log, error node, status, statistics;
 * until it works again. The disk is in use meanwhile. */
#include <errno.h>
#include <signal.h>

#include "control.h"

#define ID "1:xvda"

static const char *const for_tests[] = {"--test-faults", NULL};

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, for_tests);
	*state = h;
	return 0;
}

static struct xenblkfront *attach(struct host *h, const char *faults)
{
	char target[300];

	snprintf(target, sizeof target, "fault:%s:%s", faults, host_image(h, "a.img", 1 << 20));
	host_attach(h, &(struct disk){.params = target}, target);
	return host_front_connected(h, 1, "xvda");
}

static void detach(struct host *h, struct xenblkfront *f)
{
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The same words everywhere, with the number that xenstore's error nodes begin with. */
static void assert_told(struct host *h, int number, const char *text)
{
	char node[400];

	snprintf(node, sizeof node, "%d %s", number, text);
	wait_until(status_is(h, ID, "storage_error", text));
	wait_until(!strcmp(error_node(h, 1, XVDA), node));
	wait_until(host_log_has(h, text));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_string_equal(status_text(h, ID, "error"), "");
}

#define BAD_WRITE                                                                     \
	"the storage fails: write of sector 8: Input/output error (EIO), %u time%s; " \
	"check the image's storage (dmesg)"

static void told_until_it_works(void **state)
{
	struct host *h = *state;
	char once[200], thrice[200], buf[4096] = {1};
	struct xenblkfront *f = attach(h, "bad=8-15");

	snprintf(once, sizeof once, BAD_WRITE, 1, "");
	snprintf(thrice, sizeof thrice, BAD_WRITE, 3, "s");
	assert_front(f, xenblkfront_write(f, 0, buf, sizeof buf));
	assert_string_equal(status_text(h, ID, "storage_error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
	assert_told(h, EIO, once);
	/* The status follows, the others at their pace; what works says nothing of what fails. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
		assert_front(f, xenblkfront_read(f, 0, buf, sizeof buf));
	}
	wait_until(status_is(h, ID, "storage_error", thrice));
	assert_int_equal(host_log_count(h, "error: 1:xvda: the storage fails: "), 1);
	assert_int_equal(host_stat(h, ID, "wr_err"), 3);
	assert_int_equal(host_stat(h, ID, "rd_err"), 0);
	/* Writes go well again, for a while. */
	for (int i = 0; i < WAIT_MS && status_text(h, ID, "storage_error")[0]; i++) {
		assert_front(f, xenblkfront_write(f, 0, buf, sizeof buf));
		usleep(10000);
	}
	assert_string_equal(status_text(h, ID, "storage_error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	wait_until(host_log_has(h, "works again; before, the storage fails: write of sector 8"));
	assert_int_equal(host_stat(h, ID, "wr_err"), 3);
	detach(h, f);
}

static void each_kind(void **state)
{
	struct xenblkfront_request discard = {.op = BLKIF_OP_DISCARD, .nr_sectors = 8};
	struct host *h = *state;
	char buf[4096] = {1};
	struct xenblkfront *f = attach(h, "error=100");

	assert_int_equal(xenblkfront_flush(f), -EIO);
	assert_int_equal(xenblkfront_read(f, 8192, buf, sizeof buf), -EIO);
	discard.sector = 24;
	assert_int_equal(host_request(f, &discard), BLKIF_RSP_ERROR);
	wait_until(status_is(h, ID, "storage_error",
	                     "the storage fails: read of sector 16: Input/output error (EIO), 1 "
	                     "time; flush: Input/output error (EIO), 1 time; discard of sector 24: "
	                     "Input/output error (EIO), 1 time; check the image's storage "
	                     "(dmesg)"));
	assert_int_equal(host_stat(h, ID, "rd_err"), 1);
	assert_int_equal(host_stat(h, ID, "wr_err"), 0);
	assert_int_equal(host_stat(h, ID, "f_err"), 1);
	assert_int_equal(host_stat(h, ID, "ds_err"), 1);
	detach(h, f);
	/* It is the guest's trouble, and gone with it. */
	assert_string_equal(error_node(h, 1, XVDA), "");
}

/* A new supervisor learns it from the worker. */
static void the_next_supervisor(void **state)
{
	struct host *h = *state;
	char text[200], buf[4096] = {1};
	struct xenblkfront *f = attach(h, "bad=8-15");

	snprintf(text, sizeof text, BAD_WRITE, 1, "");
	assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
	assert_told(h, EIO, text);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, for_tests);
	assert_told(h, EIO, text);
	detach(h, f);
	assert_string_equal(error_node(h, 1, XVDA), "");
}

/* A dead worker's trouble is not its successor's. */
static void the_next_worker(void **state)
{
	struct host *h = *state;
	char text[200], buf[4096] = {1};
	struct xenblkfront *f = attach(h, "error@1=1");

	snprintf(text, sizeof text, BAD_WRITE, 1, "");
	assert_int_equal(xenblkfront_write(f, 4096, buf, sizeof buf), -EIO);
	assert_told(h, EIO, text);
	assert_int_equal(kill(host_worker(h, ID), SIGKILL), 0);
	wait_until(status_is(h, ID, "storage_error", ""));
	wait_until(!error_node(h, 1, XVDA)[0]);
	wait_until(status_is(h, ID, "ring_state", "connected"));
	detach(h, f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(told_until_it_works), T(each_kind),
	                                   T(the_next_supervisor), T(the_next_worker)};

	return cmocka_run_group_tests_name("storage_errors", tests, NULL, NULL);
}
