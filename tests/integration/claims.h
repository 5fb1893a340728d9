/* SPDX-License-Identifier: MIT */
/* What the tests of claims share: disk 1:xvda, which is refused an image or gets it, and 2:xvda,
 * which has it. */
#ifndef TESTS_INTEGRATION_CLAIMS_H
#define TESTS_INTEGRATION_CLAIMS_H

#include "image_lock.h"
#include "loop_device.h"
#include "storage/claim.h"

#define ID "1:xvda"

static inline bool sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline bool sh(const char *fmt, ...)
{
	char command[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	return !system(command);
}

static inline void needs_root(void)
{
	if (!geteuid())
		return;
	print_message("skipped: block devices need root\n");
	skip();
}

/* Disk 1:xvda cannot be attached; the error says all of these, the last one NULL. */
static inline void refused(struct host *h, const char *path, const char *mode, const char *says)
{
	host_attach(h, &(struct disk){.mode = mode}, path);
	host_wait_error(h, ID, "is in use: ");
	if (!strstr(status_text(h, ID, "error"), says))
		fail_msg("no '%s' in: %s", says, status_text(h, ID, "error"));
	assert_non_null(
	    strstr(status_text(h, ID, "error"), "; end that first, or share the image"));
	host_detach(h, 1, XVDA);
}

static inline void attached(struct host *h, const char *path, const char *mode)
{
	host_attach(h, &(struct disk){.mode = mode}, path);
	wait_image_open(h, ID);
}

static inline void can_be_attached(struct host *h, const char *path)
{
	attached(h, path, "w");
	host_detach(h, 1, XVDA);
}

/* Disk 2:xvda has it. */
static inline void other_has(struct host *h, const char *path, const char *mode)
{
	host_attach(h, &(struct disk){.domid = 2, .mode = mode}, path);
	wait_image_open(h, "2:xvda");
}

static inline void other_lets_go(struct host *h)
{
	host_detach(h, 2, XVDA);
}

static inline void device(struct host *h, const char *name, char path[200], char dev[64])
{
	char number[32];

	needs_root();
	snprintf(path, 200, "%s", host_image(h, name, 16 * MIB));
	loop_setup(path, 512, dev, number);
}

/* Each takes some loop devices. */
static inline int teardown(void **state)
{
	int rc = host_teardown(state);

	loop_end_all();
	return rc;
}

#define owner_case(name) cmocka_unit_test_setup_teardown(name, host_setup, teardown)

#endif
