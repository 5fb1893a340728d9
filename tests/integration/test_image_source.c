/* SPDX-License-Identifier: MIT */
/* Where the image comes from, and when it may be opened: physical-device, physical-device-path or
 * params, after the script's word or at once if there is no script. */
#include "control.h"
#include "loop_device.h"

#define ID "1:xvda"

static void assert_serves(struct host *h, uint32_t seed)
{
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");

	assert_reads(f, 0, seed);
	front_end(f);
}

static void assert_not_opened(struct host *h)
{
	usleep(QUIET_MS * 1000);
	assert_int_equal(host_state(h, 1, XVDA), XS_INITWAIT);
	assert_string_equal(status_text(h, ID, "image_state"), "none");
	assert_string_equal(status_text(h, ID, "error"), "");
	assert_string_equal(status_text(h, ID, "warning"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	assert_int_equal(host_worker(h, ID), 0);
}

static void physical_device(void **state)
{
	struct host *h = *state;
	char path[200], decoy[200], dev[64], number[32];

	make_image(h, "a.img", 1, path);
	make_image(h, "decoy.img", 2, decoy);
	loop_setup(path, 512, dev, number);
	/* It goes before both others. */
	host_disk(h, &(struct disk){.params = decoy});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "physical-device", "%s", number);
	host_write(h, host_be(1, XVDA), "physical-device-path", "%s", decoy);
	wait_image_open(h, ID);
	loop_end(dev); /* it goes once the worker has closed it, also if this test fails */
	assert_serves(h, 1);
	host_detach(h, 1, XVDA);
}

static void absent_waits_quietly(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_not_opened(h);
	/* Nor does a front end that is ready hurry it. */
	front_state(h, 1, XVDA, XS_INITIALISED);
	assert_not_opened(h);
}

static void malformed_is_fatal(void **state)
{
	static const char *const bad[] = {"7",    "7:",   ":7",   "7:0:1", "0x7:0",        "xyz",
	                                  "7:0 ", " 7:0", "-7:0", "7,0",   "fffffffffff:0"};
	struct host *h = *state;
	char id[32];

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		host_disk(h, &(struct disk){.domid = i + 1});
		host_wait_state(h, i + 1, XVDA, XS_INITWAIT);
		host_write(h, host_be(i + 1, XVDA), "physical-device", "%s", bad[i]);
		snprintf(id, sizeof id, "%u:xvda", i + 1);
		assert_fatal(h, i + 1, XVDA, id, "physical-device");
		host_detach(h, i + 1, XVDA);
	}
}

/* Linux refuses, too: a disk does not change under the guest. */
static void change_is_refused(void **state)
{
	struct host *h = *state;
	char path[200], other[200];

	make_image(h, "a.img", 1, path);
	make_image(h, "b.img", 2, other);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_write(h, host_be(1, XVDA), "physical-device-path", "%s", other);
	wait_until(strlen(status_text(h, ID, "warning")) > 0);
	char warning[1024];
	snprintf(warning, sizeof warning, "%s", status_text(h, ID, "warning"));
	assert_true(one_printable_line(warning));
	wait_until(host_log_has(h, warning));
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, QUIET_MS));
	assert_reads(f, 65536, 1);
	assert_string_equal(status_text(h, ID, "error"), "");
	/* The same warning is not given again and again. */
	host_write(h, host_be(1, XVDA), "physical-device-path", "%s", other);
	usleep(QUIET_MS * 1000);
	assert_int_equal(host_log_count(h, warning), 1);
	/* Malformed while it is set: no reason to take the guest's disk away either. */
	host_write(h, host_be(1, XVDA), "physical-device", "nonsense");
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, QUIET_MS));
	assert_reads(f, 0, 1);
	front_end(f);
}

/* A script writes the number after the path: that of the same device is no change, that of another
 * device of the same driver is one. */
static void number_of_another_device(void **state)
{
	struct host *h = *state;
	char path[200], other[200], dev[64], dev2[64], number[32], number2[32];

	make_image(h, "a.img", 1, path);
	make_image(h, "b.img", 2, other);
	loop_setup(path, 512, dev, number);
	loop_setup(other, 512, dev2, number2);
	host_attach(h, &(struct disk){.params = dev}, dev);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_write(h, host_be(1, XVDA), "physical-device", "%s", number);
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, QUIET_MS));
	assert_string_equal(status_text(h, ID, "warning"), "");
	host_write(h, host_be(1, XVDA), "physical-device", "%s", number2);
	wait_until(strlen(status_text(h, ID, "warning")) > 0);
	assert_reads(f, 65536, 1);
	front_end(f);
}

static void physical_device_path(void **state)
{
	struct host *h = *state;
	char path[200], decoy[200];

	make_image(h, "a.img", 1, path);
	make_image(h, "decoy.img", 2, decoy);
	host_disk(h, &(struct disk){.params = decoy});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "physical-device-path", "%s", path);
	wait_image_open(h, ID);
	assert_true(strstr(status_text(h, ID, "target"), path));
	assert_serves(h, 1);
}

static void params_after_the_script(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_not_opened(h);
	host_write(h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(h, ID);
	assert_serves(h, 1);
}

static void no_script_opens_at_once(void **state)
{
	struct host *h = *state;
	char path[200], params[220];

	make_image(h, "a.img", 1, path);
	host_disk(h, &(struct disk){.params = path, .script = "-"});
	wait_image_open(h, ID);
	assert_serves(h, 1);
	host_detach(h, 1, XVDA);

	/* libxl's prefix of raw images */
	snprintf(params, sizeof params, "aio:%s", path);
	host_disk(h, &(struct disk){.params = params, .script = "-"});
	wait_image_open(h, ID);
	assert_serves(h, 1);
	host_detach(h, 1, XVDA);

	/* params may come later than the rest */
	host_disk(h, &(struct disk){.params = "-", .script = "-"});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_not_opened(h);
	host_write(h, host_be(1, XVDA), "params", "%s", path);
	wait_image_open(h, ID);
	assert_serves(h, 1);
}

static void scripts_error_opens_nothing(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "hotplug-status", "error");
	host_write(h, host_be(1, XVDA), "physical-device-path", "%s", path);
	assert_not_opened(h);
	host_detach(h, 1, XVDA);
}

/* The script writes while its keys are being read: the path that it names never loses to params. */
static void keys_that_are_being_written(void **state)
{
	struct host *h = *state;
	char path[200], decoy[200];

	make_image(h, "a.img", 1, path);
	make_image(h, "decoy.img", 2, decoy);
	for (unsigned domid = 1; domid <= 40; domid++) {
		char id[32];
		host_disk(h, &(struct disk){.domid = domid, .params = decoy, .mode = "r"});
		if (domid % 2)
			host_wait_state(h, domid, XVDA, XS_INITWAIT);
		host_script(h, domid, XVDA, path);
		snprintf(id, sizeof id, "%u:xvda", domid);
		wait_image_open(h, id);
		assert_string_equal(status_text(h, id, "target"), path);
		host_detach(h, domid, XVDA);
	}
}

/* Ready front end first, image second: the second event connects. */
static void front_end_before_the_image(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	host_disk(h, &(struct disk){.params = path});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	assert_true(host_state_stays(h, 1, XVDA, XS_INITWAIT, 100));
	host_script(h, 1, XVDA, path);
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_front(f, xenblkfront_set_state(f, XS_CONNECTED));
	assert_reads(f, 0, 1);
	front_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(physical_device),
	    case_of(absent_waits_quietly),
	    case_of(malformed_is_fatal),
	    case_of(change_is_refused),
	    case_of(number_of_another_device),
	    case_of(physical_device_path),
	    case_of(params_after_the_script),
	    case_of(no_script_opens_at_once),
	    case_of(scripts_error_opens_nothing),
	    case_of(front_end_before_the_image),
	    case_of(keys_that_are_being_written),
	};

	return cmocka_run_group_tests_name("image_source", tests, NULL, NULL);
}
