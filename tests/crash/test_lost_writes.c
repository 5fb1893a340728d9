/* SPDX-License-Identifier: MIT */
/*
 * The kernel told a worker that the page cache lost what the dead one had written; it tells nobody
 * else. Each queue of the guest learns it by one flush that fails, whoever is killed meanwhile.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "crash_host.h"
#include "disk/files.h"

#include <xen/io/blkif.h>

#define SIZE (1u << 20)
#define QUEUES 2

struct loss {
	struct crash_host *c;
	struct xenblkfront *f;
	char note[120];
	unsigned reconnected;
};

static void wait_reconnected(struct loss *l)
{
	l->reconnected++;
	for (int i = 0; i < WAIT_MS; i++) {
		if (host_log_count(&l->c->h, "connected again") >= l->reconnected)
			return;
		usleep(1000);
	}
	fail_msg("the disk does not come back");
}

static void kill_worker(struct loss *l)
{
	assert_int_equal(kill(host_worker(&l->c->h, "1:xvda"), SIGKILL), 0);
	wait_reconnected(l);
}

/* Whether a queue is to be told. */
static bool noted(const struct loss *l)
{
	uint64_t word[LOST_QUEUES];
	bool any = false;
	int fd = open(l->note, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, word, sizeof word, 0), sizeof word);
	close(fd);
	for (unsigned q = 0; q < LOST_QUEUES; q++)
		any |= word[q] == UINT64_MAX;
	return any;
}

/* A disk whose first worker has died, and whose second one was told of the loss. */
static void begin(struct loss *l, struct crash_host *c)
{
	const char *image = host_image(&c->h, "a.img", SIZE);
	struct xenblkfront_options o = {.queues = QUEUES};
	char buf[4096] = {1};

	*l = (struct loss){.c = c, .reconnected = host_log_count(&c->h, "connected again")};
	crash_clear(c);
	snprintf(l->note, sizeof l->note, "%s/disks/1:xvda/" FILES_LOST, c->h.dir);
	host_attach(&c->h, &(struct disk){.params = image}, image);
	l->f = host_front_with(&c->h, &o);
	assert_front(l->f, xenblkfront_write(l->f, 0, buf, sizeof buf));
	assert_false(noted(l));
	__atomic_store_n(&c->page->lost, 1, __ATOMIC_RELEASE);
	kill_worker(l);
	assert_true(noted(l));
}

static void end(struct loss *l)
{
	assert_front(l->f, xenblkfront_disconnect(l->f));
	xenblkfront_close(l->f);
	assert_false(noted(l));
	host_detach(&l->c->h, 1, XVDA);
}

static int flush(struct loss *l, unsigned queue)
{
	struct xenblkfront_request r = {.op = BLKIF_OP_FLUSH_DISKCACHE};

	assert_front(l->f, xenblkfront_select(l->f, queue));
	return host_request(l->f, &r);
}

static void told_once(struct loss *l, unsigned queue)
{
	assert_int_equal(flush(l, queue), BLKIF_RSP_ERROR);
	assert_int_equal(flush(l, queue), BLKIF_RSP_OKAY);
}

static void nobody_else_dies(void **state)
{
	struct loss l;

	begin(&l, *state);
	for (unsigned q = 0; q < QUEUES; q++)
		told_once(&l, q);
	end(&l);
}

static void the_successor_dies_first(void **state)
{
	struct loss l;

	begin(&l, *state);
	kill_worker(&l);
	for (unsigned q = 0; q < QUEUES; q++)
		told_once(&l, q);
	end(&l);
}

/* What one queue was told it is not told again; the other one is. */
static void the_successor_dies_between_the_queues(void **state)
{
	struct loss l;

	begin(&l, *state);
	told_once(&l, 1);
	kill_worker(&l);
	assert_int_equal(flush(&l, 1), BLKIF_RSP_OKAY);
	told_once(&l, 0);
	kill_worker(&l);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_int_equal(flush(&l, q), BLKIF_RSP_OKAY);
	end(&l);
}

static void all_die(void **state)
{
	struct loss l;

	begin(&l, *state);
	pid_t worker = host_worker(&l.c->h, "1:xvda");
	host_daemon_kill(&l.c->h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	host_daemon_start(&l.c->h, NULL);
	wait_reconnected(&l);
	for (unsigned q = 0; q < QUEUES; q++)
		told_once(&l, q);
	end(&l);
}

/* At each step of the flush that tells: answered once, and with the error. */
static void killed_while_it_tells(void **state)
{
	static const enum crash_step steps[] = {
	    CRASH_TAKE_RAW,    CRASH_TAKE_CONS,    CRASH_START,          CRASH_ANSWER_DONE,
	    CRASH_ANSWER_RING, CRASH_ANSWER_RSP,   CRASH_ANSWER_STATE,   CRASH_PUBLISH_RING,
	    CRASH_PUBLISH_RSP, CRASH_PUBLISH_FREE, CRASH_PUBLISH_NOTIFY, CRASH_PUBLISH_END,
	};
	struct loss l;

	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		begin(&l, *state);
		crash_order(l.c, steps[i], 1, CRASH_ANY, SIGKILL);
		int status = flush(&l, 0);
		assert_true(crash_wait(l.c));
		wait_reconnected(&l);
		if (status != BLKIF_RSP_ERROR)
			fail_msg("killed at %s: status %d", crash_step_name(steps[i]), status);
		status = flush(&l, 0);
		if (status != BLKIF_RSP_OKAY)
			fail_msg("killed at %s: told twice, status %d", crash_step_name(steps[i]),
			         status);
		told_once(&l, 1);
		end(&l);
	}
}

/* Who connects later was promised nothing. */
static void the_next_front_end(void **state)
{
	struct loss l;

	begin(&l, *state);
	kill_worker(&l);
	assert_front(l.f, xenblkfront_disconnect(l.f));
	xenblkfront_close(l.f);
	l.f = host_front_connected(&l.c->h, 1, "xvda");
	assert_int_equal(flush(&l, 0), BLKIF_RSP_OKAY);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(nobody_else_dies),
	    crash_case(the_successor_dies_first),
	    crash_case(the_successor_dies_between_the_queues),
	    crash_case(all_die),
	    crash_case(killed_while_it_tells),
	    crash_case(the_next_front_end),
	};

	return cmocka_run_group_tests_name("lost_writes", tests, NULL, NULL);
}
