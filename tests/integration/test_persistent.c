/* SPDX-License-Identifier: MIT */
/* Persistent grants: agreed on by both ends, kept within limits, and gone with the connection. */
#include <errno.h>
#include <signal.h>

#include "control.h"

#define ID "1:xvda"
#define SEED 23

static int setup_with(void **state, const char *const *extra)
{
	struct host *h = malloc(sizeof *h);
	char path[200];

	host_start(h, extra);
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
	*state = h;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, NULL);
}

static int setup_small(void **state)
{
	static const char *const extra[] = {"--max-persistent-grants", "8", NULL};

	return setup_with(state, extra);
}

static int setup_idle(void **state)
{
	static const char *const extra[] = {"--persistent-idle-seconds", "1", NULL};

	return setup_with(state, extra);
}

static int setup_off(void **state)
{
	static const char *const extra[] = {"--persistent", "0", NULL};

	return setup_with(state, extra);
}

static struct xenblkfront *connect(struct host *h, bool persistent)
{
	return host_front_with(h, &(struct xenblkfront_options){.persistent = persistent});
}

static uint32_t maps(struct host *h)
{
	struct xen_usage u;

	assert_int_equal(xen_usage(h->xen, &u), 0);
	return u.maps;
}

static void write_and_read(struct xenblkfront *f, uint8_t value)
{
	static uint8_t buf[MIB / 2], got[MIB / 2];

	memset(buf, value, sizeof buf);
	assert_front(f, xenblkfront_write(f, 4096, buf, sizeof buf));
	memset(got, 0, sizeof got);
	assert_front(f, xenblkfront_read(f, 4096, got, sizeof got));
	assert_memory_equal(got, buf, sizeof got);
}

static void pages_stay_mapped_until_the_end(void **state)
{
	struct host *h = *state;

	front_end(connect(h, true)); /* the image is open from here on */
	uint32_t before = maps(h);
	struct xenblkfront *f = connect(h, true);
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-persistent"), "1");
	assert_int_equal(maps(h), before + 1); /* the ring */
	assert_reads(f, 0, SEED); /* 16 pages, and one of descriptors, which is copied */
	uint32_t mapped = maps(h);
	assert_int_equal(mapped, before + 1 + 16);
	assert_reads(f, 65536, SEED);
	assert_int_equal(maps(h), mapped);
	wait_until(host_stat(h, ID, "persistent") == 16);
	write_and_read(f, 1);
	front_end(f); /* would fail if one were mapped still */
	assert_int_equal(maps(h), before);
}

static void only_if_the_front_end_promises(void **state)
{
	struct host *h = *state;

	front_end(connect(h, false));
	uint32_t before = maps(h);
	struct xenblkfront *f = connect(h, false);
	write_and_read(f, 2);
	assert_int_equal(maps(h), before + 1);
	front_end(f);
}

static void only_if_it_is_offered(void **state)
{
	struct host *h = *state;

	front_end(connect(h, true));
	uint32_t before = maps(h);
	struct xenblkfront *f = connect(h, true);
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-persistent"), "0");
	write_and_read(f, 3);
	assert_int_equal(maps(h), before + 1);
	front_end(f);
}

/* The setting was changed under a connection: the front end goes by what it was told. */
static void not_for_a_front_end_that_was_not_told(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, true);

	write_and_read(f, 4);
	host_daemon_kill(h, SIGTERM);
	host_daemon_start(h, NULL);
	wait_until(status_is(h, ID, "ring_state", "connected"));
	uint32_t before = maps(h);
	write_and_read(f, 5);
	assert_int_equal(maps(h), before);
	front_end(f);
	f = connect(h, true);
	assert_reads(f, 700000 / 512 * 512, SEED);
	assert_true(maps(h) > before);
	front_end(f);
}

static void more_pages_than_the_limit(void **state)
{
	struct host *h = *state;

	front_end(connect(h, true));
	uint32_t before = maps(h);
	struct xenblkfront *f = connect(h, true);
	for (unsigned i = 0; i < 8; i++)
		write_and_read(f, (uint8_t)i);
	assert_int_equal(maps(h), before + 1 + 8);
	front_end(f);
	assert_int_equal(maps(h), before);
}

static void idle_pages_are_let_go(void **state)
{
	struct host *h = *state;

	front_end(connect(h, true));
	uint32_t before = maps(h);
	struct xenblkfront *f = connect(h, true);
	write_and_read(f, 6);
	assert_true(maps(h) > before + 1);
	wait_until(maps(h) == before + 1);
	wait_until(host_stat(h, ID, "persistent") == 0);
	write_and_read(f, 7);
	front_end(f);
}

static void a_killed_worker_leaves_nothing_mapped(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, true);
	uint32_t ring = maps(h);

	for (unsigned i = 0; i < 3; i++) {
		write_and_read(f, (uint8_t)i);
		uint32_t mapped = maps(h);
		pid_t worker = host_worker(h, ID);
		kill(worker, SIGKILL);
		wait_until(host_worker(h, ID) > 0 && host_worker(h, ID) != worker &&
		           status_is(h, ID, "ring_state", "connected"));
		assert_int_equal(maps(h), ring);
		write_and_read(f, (uint8_t)(i + 100));
		assert_int_equal(maps(h), mapped);
	}
	front_end(f);
}

/* One request with a single page, of that reference. */
static int one(struct xenblkfront *f, uint8_t op, uint32_t ref)
{
	struct xenblkfront_request r = {.op = op, .nr_segments = 1, .seg = {{ref, 0, 7}}};

	return host_request(f, &r);
}

/* Contrary to its promise the front end takes a page back: Xen keeps it mapped until we let go. */
static void a_grant_revoked_while_it_is_mapped(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, true);
	uint32_t refs[2];
	void *pages;

	assert_front(f, xenblkfront_alloc(f, 2, true, &pages, refs));
	assert_int_equal(one(f, BLKIF_OP_READ, refs[0]), BLKIF_RSP_OKAY);
	pid_t worker = host_worker(h, ID);
	assert_front(f, xenblkfront_revoke(f, refs, 2));
	int mapped = one(f, BLKIF_OP_READ, refs[0]);
	assert_true(mapped == BLKIF_RSP_OKAY || mapped == BLKIF_RSP_ERROR);
	/* Never mapped: an error, and nothing else. */
	assert_int_equal(one(f, BLKIF_OP_READ, refs[1]), BLKIF_RSP_ERROR);
	assert_int_equal(one(f, BLKIF_OP_WRITE, refs[1]), BLKIF_RSP_ERROR);
	assert_reads(f, 0, SEED);
	assert_int_equal(host_worker(h, ID), worker);
	front_end(f);
}

/* Data can be taken from a page granted for reading, and not be put there. */
static void read_only_grants(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = connect(h, true);
	uint32_t ref;
	void *page;

	assert_front(f, xenblkfront_alloc(f, 1, false, &page, &ref));
	memset(page, 0x3c, 4096);
	assert_int_equal(one(f, BLKIF_OP_WRITE, ref), BLKIF_RSP_OKAY);
	assert_int_equal(one(f, BLKIF_OP_READ, ref), BLKIF_RSP_ERROR);
	uint8_t got[4096];
	assert_front(f, xenblkfront_read(f, 0, got, sizeof got));
	assert_memory_equal(got, page, 4096);
	front_end(f);
}

#define with(name, setup) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    with(pages_stay_mapped_until_the_end, setup),
	    with(only_if_the_front_end_promises, setup),
	    with(only_if_it_is_offered, setup_off),
	    with(not_for_a_front_end_that_was_not_told, setup_off),
	    with(more_pages_than_the_limit, setup_small),
	    with(idle_pages_are_let_go, setup_idle),
	    with(a_killed_worker_leaves_nothing_mapped, setup),
	    with(a_grant_revoked_while_it_is_mapped, setup),
	    with(read_only_grants, setup),
	};

	return cmocka_run_group_tests_name("persistent", tests, NULL, NULL);
}
