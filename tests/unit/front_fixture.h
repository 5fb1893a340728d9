/* SPDX-License-Identifier: MIT */
/* What the front end's tests share: an embedded Xen per program, opening handles, assertions. */
#ifndef TESTS_FRONT_FIXTURE_H
#define TESTS_FRONT_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "front_fake.h"
#include "xenblkfront.h"

static struct xen_process xen;
static struct xen_platform *toolstack;
static struct store *store;

static inline struct xenblkfront *front_open(const struct xenblkfront_options *more)
{
	struct xenblkfront_options o = *more;
	struct xenblkfront *f;

	o.run_dir = xen.dir;
	o.domid = GUEST;
	o.vdev = "xvda";
	o.timeout_ms = o.timeout_ms ?: 5000;
	assert_int_equal(xenblkfront_open(&o, &f), 0);
	return f;
}

#define OPEN(...) front_open(&(struct xenblkfront_options){__VA_ARGS__})

static inline void must(struct xenblkfront *f, int rc)
{
	if (rc)
		print_error("%s\n", xenblkfront_error(f));
	assert_int_equal(rc, 0);
}

static inline void assert_error(struct xenblkfront *f, const char *part)
{
	if (!strstr(xenblkfront_error(f), part))
		fail_msg("'%s' does not say '%s'", xenblkfront_error(f), part);
	assert_null(strchr(xenblkfront_error(f), '\n'));
}

static inline char *node(const char *key, char *buf)
{
	int rc = store_read(store, XBT_NULL, FRONT, key, buf, 64);

	if (rc < 0)
		strcpy(buf, rc == -ENOENT ? "absent" : "unreadable");
	return buf;
}

static inline struct xen_usage usage(void)
{
	struct xen_usage u;

	assert_int_equal(xen_usage(toolstack, &u), 0);
	return u;
}

/* Compares and, for a moment, has both in hand: the array belongs to the fake's thread, which
 * rests. */
static inline void read_all(struct xenblkfront *f, struct fake *b)
{
	uint8_t *buf = malloc(DISK_BYTES);

	must(f, xenblkfront_read(f, 0, buf, DISK_BYTES));
	assert_memory_equal(buf, b->disk, DISK_BYTES);
	free(buf);
}

static inline int start_xen(void **state)
{
	struct error err = {""};
	int rc = xen_process_start(&xen);

	rc = rc ?: xen_platform_open(xen.dir, 0, &toolstack, &err);
	return rc ?: store_open(xen_platform_store_path(toolstack), &store, &err);
}

static inline int stop_xen(void **state)
{
	store_close(store);
	xen_platform_close(toolstack);
	xen_process_stop(&xen);
	return 0;
}

#endif
