/* SPDX-License-Identifier: MIT */
/* What the tests of the control plane share: waiting, the places where an error stands, and another
 * disk that must not notice anything of it. */
#ifndef TESTS_INTEGRATION_CONTROL_H
#define TESTS_INTEGRATION_CONTROL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h> /* needs the integer types before it */

#define MIB (1ull << 20)
#define QUIET_MS 200 /* so long nothing may happen where nothing must happen */

#define wait_until(cond)                                                   \
	do {                                                               \
		uint64_t end_ = clock_ns() + WAIT_MS * NS_PER_MS;          \
		while (!(cond)) {                                          \
			if (clock_ns() > end_)                             \
				fail_msg("waited in vain for: %s", #cond); \
			usleep(500);                                       \
		}                                                          \
	} while (0)

static inline unsigned ms_since(uint64_t start_ns)
{
	return (unsigned)((clock_ns() - start_ns) / NS_PER_MS);
}

/* ---- status ---- */

/* Text of a key; "" if it is null, absent, or the device is unknown. Static buffer. */
static inline const char *status_text(struct host *h, const char *id, const char *key)
{
	static char text[1024];
	json_t *s = host_status(h, id);
	const char *v = s ? json_string_value(json_object_get(s, key)) : NULL;

	snprintf(text, sizeof text, "%s", v ? v : "");
	json_decref(s);
	return text;
}

static inline bool status_is(struct host *h, const char *id, const char *key, const char *want)
{
	return !strcmp(status_text(h, id, key), want);
}

static inline int64_t status_number(struct host *h, const char *id, const char *key)
{
	json_t *s = host_status(h, id);
	json_t *v = s ? json_object_get(s, key) : NULL;
	int64_t n = json_is_boolean(v) ? json_is_true(v) : (int64_t)json_integer_value(v);

	json_decref(s);
	return n;
}

static inline void wait_image_open(struct host *h, const char *id)
{
	wait_until(status_is(h, id, "image_state", "open"));
}

/* ---- errors ---- */

/* The back end's error node: "" or its text. Static buffer of host_read. */
static inline const char *error_node(struct host *h, unsigned domid, unsigned devid)
{
	char dir[128];

	snprintf(dir, sizeof dir, "/local/domain/0/error/backend/vbd/%u/%u", domid, devid);
	return host_read(h, dir, "error");
}

/* No control character, and valid UTF-8, of which json_string takes no other. */
static inline bool one_printable_line(const char *text)
{
	json_t *j = json_string(text);
	bool ok = j;

	json_decref(j);
	for (; *text; text++)
		ok = ok && (unsigned char)*text >= 0x20 && *text != 0x7f;
	return ok;
}

/* The device has an error with that word in it, the same in status, xenstore and log. */
static inline void assert_error(struct host *h, unsigned domid, unsigned devid, const char *id,
                                const char *word)
{
	char text[1024];

	host_wait_error(h, id, word);
	snprintf(text, sizeof text, "%s", status_text(h, id, "error"));
	assert_true(one_printable_line(text));
	assert_true(strlen(text) > 0);
	wait_until(strstr(error_node(h, domid, devid), text));
	assert_true(one_printable_line(error_node(h, domid, devid)));
	wait_until(host_log_has(h, text));
}

/* … and for it the device is in Closing. */
static inline void assert_fatal(struct host *h, unsigned domid, unsigned devid, const char *id,
                                const char *word)
{
	assert_error(h, domid, devid, id, word);
	host_wait_state(h, domid, devid, XS_CLOSING);
}

/* … and for it the device is held: still Connected, and whoever looks at it is told what to do. */
static inline void assert_held(struct host *h, unsigned domid, unsigned devid, const char *id,
                               const char *word)
{
	char remedy[64];

	snprintf(remedy, sizeof remedy, "then `xenblkctl recover %s`", id);
	assert_error(h, domid, devid, id, word);
	assert_non_null(strstr(status_text(h, id, "error"), remedy));
	assert_string_equal(status_text(h, id, "image_state"), "failed");
	assert_true(host_state_stays(h, domid, devid, XS_CONNECTED, QUIET_MS));
}

/* ---- the other disk: 9:xvdb ---- */

struct bystander {
	struct xenblkfront *front;
	pid_t worker;
};

#define BYSTANDER_SEED 77

static inline void bystander_start(struct host *h, struct bystander *b)
{
	char path[200];

	snprintf(path, sizeof path, "%s", host_image(h, "bystander.img", MIB));
	host_fill(path, MIB, BYSTANDER_SEED);
	host_attach(h, &(struct disk){.domid = 9, .devid = XVDB, .params = path}, path);
	b->front = host_front_connected(h, 9, "xvdb");
	b->worker = host_worker(h, "9:xvdb");
	assert_true(b->worker > 0);
}

/* It still moves data, in the same worker, and nobody spoke ill of it. */
static inline void bystander_check(struct host *h, struct bystander *b)
{
	char got[8192], want[8192];

	assert_front(b->front, xenblkfront_read(b->front, 65536, got, sizeof got));
	host_pattern(want, 65536, sizeof want, BYSTANDER_SEED);
	assert_memory_equal(got, want, sizeof got);
	assert_front(b->front, xenblkfront_write(b->front, 65536, want, sizeof want));
	assert_int_equal(host_worker(h, "9:xvdb"), b->worker);
	assert_string_equal(status_text(h, "9:xvdb", "error"), "");
}

static inline void bystander_stop(struct host *h, struct bystander *b)
{
	bystander_check(h, b);
	assert_front(b->front, xenblkfront_disconnect(b->front));
	xenblkfront_close(b->front);
	host_detach(h, 9, XVDB);
}

/* ---- front ends ---- */

/* Reads 64 KiB and compares them with the pattern. */
static inline void assert_reads(struct xenblkfront *f, uint64_t offset, uint32_t seed)
{
	size_t n = 65536;
	char *got = malloc(n), *want = malloc(n);

	assert_front(f, xenblkfront_read(f, offset, got, n));
	host_pattern(want, offset, n, seed);
	assert_memory_equal(got, want, n);
	free(got);
	free(want);
}

static inline void front_end(struct xenblkfront *f)
{
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
}

static inline void front_state(struct host *h, unsigned domid, unsigned devid, int state)
{
	host_write(h, host_fe(domid, devid), "state", "%d", state);
}

/* A 1 MiB image with the pattern, its path in a buffer of the caller's. */
static inline void make_image(struct host *h, const char *name, uint32_t seed, char path[200])
{
	snprintf(path, 200, "%s", host_image(h, name, MIB));
	host_fill(path, MIB, seed);
}

#define case_of(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

#endif
