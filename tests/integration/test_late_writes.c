/* SPDX-License-Identifier: MIT */
/*
 * The fence. A killed worker's writes may still be on their way to the storage; the next worker
 * must not start before they have arrived, or they land on what was written and acknowledged after
 * them. On a file system whose writes arrive when the test says so.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "slow_mount.h"

#include <xen/io/blkif.h>

#define AT (64u << 10)
#define SILENCE_MS 1000 /* nothing may happen meanwhile; were it shorter, less would be seen */

struct slow {
	struct host *h;
	struct slow_mount m;
	void *page[2];
	uint32_t ref[2];
	struct xenblkfront *f;
};

static void queue_write(struct slow *s, unsigned which, uint64_t id)
{
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_WRITE,
	    .sector = AT / 512,
	    .nr_segments = 1,
	    .seg = {{s->ref[which], 0, 7}},
	};

	assert_front(s->f, xenblkfront_queue(s->f, &req, id));
	assert_front(s->f, xenblkfront_kick(s->f));
}

static void await(const uint32_t *field, uint32_t value)
{
	for (int i = 0; i < WAIT_MS; i++) {
		if (__atomic_load_n(field, __ATOMIC_ACQUIRE) >= value)
			return;
		usleep(1000);
	}
	fail_msg("the write does not reach its file system");
}

static void begin(struct slow *s, const char *mode)
{
	char buf[4096];

	host_attach(s->h, &(struct disk){.params = s->m.image, .mode = mode}, s->m.image);
	s->f = host_front_connected(s->h, 1, "xvda");
	for (int i = 0; i < 2; i++) {
		assert_front(s->f, xenblkfront_alloc(s->f, 1, true, &s->page[i], &s->ref[i]));
		memset(s->page[i], 'A' + i, 4096);
	}
	assert_front(s->f, xenblkfront_read(s->f, AT, buf, sizeof buf));
}

/* A first write hangs, its worker is killed. Whatever is acknowledged from then on counts. */
static void late_write(struct slow *s)
{
	struct xenblkfront_response rsp;
	char got[4096];

	__atomic_store_n(&s->m.fs->hold, 1, __ATOMIC_RELEASE);
	queue_write(s, 0, 1);
	await(&s->m.fs->held, 1);
	pid_t worker = host_worker(s->h, "1:xvda");
	assert_int_equal(kill(worker, SIGKILL), 0);
	/* The same write, done again by the next worker, would not hang. */
	bool early = xenblkfront_reap(s->f, &rsp, 1, SILENCE_MS) == 1;
	if (early) {
		/* Then this is the damage: a later write is acknowledged, and overwritten. */
		queue_write(s, 1, 2);
		assert_front(s->f, xenblkfront_reap(s->f, &rsp, 1, -1));
	}
	/* It was another worker than the dead one that did, or did not do, that. */
	wait_until(host_worker(s->h, "1:xvda") != worker);
	assert_int_equal(s->m.fs->done, 0);
	__atomic_store_n(&s->m.fs->release, 1, __ATOMIC_RELEASE);
	await(&s->m.fs->done, 1);
	if (!early) {
		assert_front(s->f, xenblkfront_reap(s->f, &rsp, 1, -1));
		assert_int_equal(rsp.id, 1);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
		queue_write(s, 1, 2);
		assert_front(s->f, xenblkfront_reap(s->f, &rsp, 1, -1));
	}
	assert_int_equal(rsp.id, 2);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_front(s->f, xenblkfront_read(s->f, AT, got, sizeof got));
	assert_memory_equal(got, s->page[1], sizeof got);
	assert_false(early);
}

static void run(void **state, const char *mode)
{
	struct slow s = {.h = *state};

	slow_start(&s.m, s.h);
	begin(&s, mode);
	late_write(&s);
	assert_front(s.f, xenblkfront_disconnect(s.f));
	xenblkfront_close(s.f);
	host_detach(s.h, 1, XVDA);
	slow_stop(&s.m);
}

/* The image's lock is the fence. */
static void exclusive(void **state)
{
	run(state, "w");
}

/* An image that disks share: each has a lock of its own on it. */
static void shared(void **state)
{
	run(state, "w!");
}

static uint32_t changes(const struct slow *s)
{
	return __atomic_load_n(&s->m.fs->changes, __ATOMIC_ACQUIRE);
}

/* Whatever is done to the disk, only its guest changes the image. What the file system cannot do is
 * known when the guest wants it: not before, at the image's expense. */
static void untouched(void **state)
{
	struct xenblkfront_request req = {.op = BLKIF_OP_DISCARD, .nr_sectors = 8};
	struct slow s = {.h = *state};

	slow_start(&s.m, s.h);
	begin(&s, "w");
	for (int i = 0; i < 3; i++) {
		char line[400], buf[4096];
		pid_t worker = host_worker(s.h, "1:xvda");
		assert_int_equal(kill(worker, SIGKILL), 0);
		assert_front(s.f, xenblkfront_read(s.f, AT, buf, sizeof buf));
		assert_int_not_equal(host_worker(s.h, "1:xvda"), worker);
		snprintf(line, sizeof line, "%s/xenblkctl --run-dir %s resize 1:xvda >/dev/null",
		         s.h->build, s.h->dir);
		assert_int_equal(system(line), 0);
	}
	assert_int_equal(changes(&s), 0);
	assert_string_equal(host_read(s.h, host_be(1, XVDA), "feature-discard"), "1");
	assert_int_equal(host_request(s.f, &req), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(changes(&s), 1);
	wait_until(!strcmp(host_read(s.h, host_be(1, XVDA), "feature-discard"), "0"));
	assert_front(s.f, xenblkfront_disconnect(s.f));
	xenblkfront_close(s.f);
	host_detach(s.h, 1, XVDA);
	assert_int_equal(changes(&s), 1);
	slow_stop(&s.m);
}

#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(exclusive), T(shared), T(untouched)};

	return cmocka_run_group_tests_name("late_writes", tests, NULL, NULL);
}
