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

static void attach(void **state)
{
	struct hung *s = *state;

	begin(s);
	fall_silent(s);
	host_disk(s->h, &(struct disk){.params = s->m.image});
	host_wait_state(s->h, 1, XVDA, XS_INITWAIT);
	host_script(s->h, 1, XVDA, s->m.image);
	wait_until(s->m.fs->asked);
	others_live(s);
	assert_true(status_is(s->h, "1:xvda", "image_state", "opening"));
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
	others_live(s);
	end(s);
}

static void supervisor_dies(void **state)
{
	restart(*state, SIGKILL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(attach), T(worker_dies), T(supervisor_dies)};

	return cmocka_run_group_tests_name("hung_storage", tests, NULL, NULL);
}
