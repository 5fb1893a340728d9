/* SPDX-License-Identifier: MIT */
/* Who else holds the image when a worker dies: other guests' disks, or the worker itself, stopped
 * and left by a supervisor that is dead. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outage.h"

#include <xen/io/blkif.h>

static void assert_reads(struct xenblkfront *f)
{
	char got[65536], want[65536];

	assert_front(f, xenblkfront_read(f, 0, got, sizeof got));
	host_pattern(want, 0, sizeof want, OUTAGE_OLD);
	assert_memory_equal(got, want, sizeof got);
}

static void kill_worker(struct host *h, const char *id)
{
	pid_t worker = host_worker(h, id);

	assert_true(worker > 0);
	assert_int_equal(kill(worker, SIGKILL), 0);
	for (int i = 0; i < WAIT_MS && host_worker(h, id) == worker; i++)
		usleep(1000);
	assert_int_not_equal(host_worker(h, id), worker);
}

/* A read-only image of several guests: the death of one disk's worker is nothing to the others, and
 * its own fence does not wait for them. */
static void readonly_shared(void **state)
{
	struct crash_host *c = *state;
	struct xenblkfront *f[3];
	char id[16], image[200];

	snprintf(image, sizeof image, "%s", host_image(&c->h, "a.img", OUTAGE_SIZE));
	host_fill(image, OUTAGE_SIZE, OUTAGE_OLD);
	for (unsigned i = 0; i < 3; i++) {
		host_attach(&c->h, &(struct disk){.domid = i + 1, .params = image, .mode = "r"},
		            image);
		f[i] = host_front_connected(&c->h, i + 1, "xvda");
	}
	for (unsigned round = 0; round < 6; round++) {
		snprintf(id, sizeof id, "%u:xvda", round % 3 + 1);
		kill_worker(&c->h, id);
		for (unsigned i = 0; i < 3; i++)
			assert_reads(f[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_front(f[i], xenblkfront_disconnect(f[i]));
		xenblkfront_close(f[i]);
		host_detach(&c->h, i + 1, XVDA);
	}
}

/* Shared for writing: the other disk writes on during the outage and the recovery. */
static void writable_shared(void **state)
{
	struct crash_host *c = *state;
	struct outage o;
	char image[200], buf[4096] = {5};

	snprintf(image, sizeof image, "%s", host_image(&c->h, "a.img", OUTAGE_SIZE));
	host_fill(image, OUTAGE_SIZE, OUTAGE_OLD);
	outage_attach_image(&o, c, image, "w!");
	host_attach(&c->h, &(struct disk){.domid = 2, .params = image, .mode = "w!"}, image);
	struct xenblkfront *other = host_front_connected(&c->h, 2, "xvda");
	assert_reads(other);
	outage_begin(&o, CRASH_TAKE_CONS);
	assert_front(other, xenblkfront_write(other, 1 << 19, buf, sizeof buf));
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, image), OUTAGE_NEW);
	assert_front(other, xenblkfront_write(other, 1 << 19, buf, sizeof buf));
	assert_reads(other);
	assert_front(other, xenblkfront_disconnect(other));
	xenblkfront_close(other);
	host_detach(&c->h, 2, XVDA);
	outage_detach(&o);
}

/* Workers of this host that are processes still. */
static unsigned workers(struct host *h)
{
	DIR *proc = opendir("/proc");
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(proc));) {
		char path[300], text[600];
		snprintf(path, sizeof path, "/proc/%.20s/cmdline", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (len <= 0)
			continue;
		text[len] = '\0';
		for (ssize_t i = 0; i < len - 1; i++)
			if (!text[i])
				text[i] = ' ';
		n += strstr(text, h->dir) && strstr(text, "--name");
	}
	closedir(proc);
	return n;
}

/* A worker was stopped with a write in hand, then its supervisor died. The next supervisor makes it
 * go on or replaces it: the write is done and answered once, by one worker. */
static void stopped_worker(void **state, unsigned cont_after_ms)
{
	struct outage o;
	struct xenblkfront_response rsp;

	outage_attach(&o, *state);
	pid_t worker = host_worker(o.h, "1:xvda"), helper = 0;
	crash_order(o.c, CRASH_TAKE_CONS, 1, CRASH_ANY, SIGSTOP);
	outage_write(&o);
	assert_true(crash_wait(o.c));
	host_daemon_kill(o.h, SIGKILL);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	if (cont_after_ms) {
		helper = fork();
		if (!helper) {
			usleep(cont_after_ms * 1000);
			kill(worker, SIGCONT);
			_exit(0);
		}
	}
	host_daemon_start(o.h, NULL);
	/* If it is there still, and waited for. */
	if (!cont_after_ms)
		kill(worker, SIGCONT);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_NEW);
	assert_int_equal(xenblkfront_reap(o.f, &rsp, 1, 100), -ETIMEDOUT);
	assert_int_equal(workers(o.h), 1);
	if (helper)
		waitpid(helper, NULL, 0);
	assert_int_equal(host_state(o.h, 1, XVDA), XS_CONNECTED);
	outage_detach(&o);
}

static void stopped_for_long(void **state)
{
	stopped_worker(state, 0);
}

static void stopped_for_a_while(void **state)
{
	stopped_worker(state, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(readonly_shared),
	    crash_case(writable_shared),
	    crash_case(stopped_for_long),
	    crash_case(stopped_for_a_while),
	};

	return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
