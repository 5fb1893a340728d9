/* SPDX-License-Identifier: MIT */
/*
 * A file system that does not answer, as when the server of an NFS or FUSE mount is away, is the
 * trouble of the disks whose images are on it, and of nobody else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "slow_mount.h"

/* 1:xvda is on the file system that falls silent, 9:xvdb is not. */
struct hung {
	struct host *h;
	struct slow_mount m;
	struct bystander b;
	struct xenblkfront *f;
};

static int setup(void **state)
{
	struct hung *s = calloc(1, sizeof *s);

	host_setup((void **)&s->h);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct hung *s = *state;
	void *h = s->h;

	/* First, for nothing that waits for it can be ended. */
	if (s->m.mount[0])
		slow_stop(&s->m);
	host_teardown(&h);
	free(s);
	return 0;
}

static void begin(struct hung *s)
{
	slow_start(&s->m, s->h);
	bystander_start(s->h, &s->b);
}

/* In use by a guest. */
static void connect_disk(struct hung *s)
{
	host_attach(s->h, &(struct disk){.params = s->m.image}, s->m.image);
	s->f = host_front_connected(s->h, 1, "xvda");
}

static void fall_silent(struct hung *s)
{
	slow_silent(&s->m, true);
}

/* Each thing that needs the supervisor, done for disks elsewhere: an answer, a new worker, a new
 * disk. */
static void others_live(struct hung *s)
{
	struct xenblkfront *f;
	char path[200];

	assert_int_equal(kill(s->b.worker, SIGKILL), 0);
	wait_until(host_worker(s->h, "9:xvdb") > 0 && host_worker(s->h, "9:xvdb") != s->b.worker);
	s->b.worker = host_worker(s->h, "9:xvdb");
	bystander_check(s->h, &s->b);
	make_image(s->h, "another.img", 3, path);
	host_attach(s->h, &(struct disk){.domid = 5, .params = path}, path);
	f = host_front_connected(s->h, 5, "xvda");
	assert_reads(f, 0, 3);
	front_end(f);
	host_detach(s->h, 5, XVDA);
}

/* Answered again, the disk goes on by itself. */
static void end(struct hung *s)
{
	char got[4096];

	slow_silent(&s->m, false);
	wait_image_open(s->h, "1:xvda");
	if (!s->f)
		s->f = host_front_connected(s->h, 1, "xvda");
	assert_front(s->f, xenblkfront_read(s->f, 0, got, sizeof got));
	front_end(s->f);
	host_detach(s->h, 1, XVDA);
	bystander_stop(s->h, &s->b);
}

static bool list_says(struct host *h, const char *text)
{
	char line[400];

	snprintf(line, sizeof line, "%s/xenblkctl --run-dir %s list | grep -q '%s'", h->build,
	         h->dir, text);
	return !system(line);
}

static void attach_silent(struct hung *s)
{
	fall_silent(s);
	host_disk(s->h, &(struct disk){.params = s->m.image});
	host_wait_state(s->h, 1, XVDA, XS_INITWAIT);
	host_script(s->h, 1, XVDA, s->m.image);
	wait_until(s->m.fs->asked);
}

static void attach(void **state)
{
	struct hung *s = *state;

	begin(s);
	attach_silent(s);
	others_live(s);
	assert_true(status_is(s->h, "1:xvda", "image_state", "opening"));
	wait_until(strstr(status_text(s->h, "1:xvda", "warning"), "for its file system to answer"));
	wait_until(host_log_has(s->h, "for its file system to answer"));
	assert_true(list_says(s->h, "1:xvda: still opening"));
	end(s);
}

static void worker_dies(void **state)
{
	struct hung *s = *state;

	begin(s);
	connect_disk(s);
	fall_silent(s);
	assert_int_equal(kill(host_worker(s->h, "1:xvda"), SIGKILL), 0);
	wait_until(s->m.fs->asked);
	others_live(s);
	end(s);
}

static void restart(struct hung *s, int sig)
{
	begin(s);
	connect_disk(s);
	fall_silent(s);
	host_daemon_kill(s->h, sig);
	host_daemon_start(s->h, NULL);
	/* A supervisor that ends in order ends its workers, too. */
	wait_until(host_worker(s->h, "9:xvdb") > 0);
	s->b.worker = host_worker(s->h, "9:xvdb");
	others_live(s);
	end(s);
}

static void supervisor_dies(void **state)
{
	restart(*state, SIGKILL);
}

/* In order: the disk's worker is told to end, and cannot. */
static void supervisor_stops(void **state)
{
	restart(*state, SIGTERM);
}

static void upgrade(void **state)
{
	struct hung *s = *state;

	begin(s);
	connect_disk(s);
	fall_silent(s);
	json_t *answer = host_control(s->h, "upgrade", NULL);
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	others_live(s);
	end(s);
}

/* The toolstack takes it away meanwhile: its Closed comes when nothing can reach the image any
 * more, which nobody knows before the file system answers. */
static void detached(struct hung *s)
{
	host_offline(s->h, 1, XVDA);
	others_live(s);
	assert_int_not_equal(host_state(s->h, 1, XVDA), XS_CLOSED);
	slow_silent(&s->m, false);
	host_wait_state(s->h, 1, XVDA, XS_CLOSED);
	host_remove_nodes(s->h, 1, XVDA);
	host_wait_gone(s->h, "1:xvda");
	bystander_stop(s->h, &s->b);
}

static void detach(void **state)
{
	struct hung *s = *state;

	begin(s);
	connect_disk(s);
	fall_silent(s);
	assert_int_equal(kill(host_worker(s->h, "1:xvda"), SIGKILL), 0);
	wait_until(s->m.fs->asked);
	detached(s);
	xenblkfront_close(s->f);
}

static void detach_while_opening(void **state)
{
	struct hung *s = *state;

	begin(s);
	attach_silent(s);
	detached(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(attach),  T(worker_dies),          T(supervisor_dies), T(supervisor_stops),
	    T(upgrade), T(detach_while_opening), T(detach)};

	return cmocka_run_group_tests_name("hung_storage", tests, NULL, NULL);
}
