/* SPDX-License-Identifier: MIT */
/* An outage held open. */
#include "outage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/blkif.h>

void outage_attach(struct outage *o, struct crash_host *c)
{
	const char *image = host_image(&c->h, "a.img", OUTAGE_SIZE);

	host_fill(image, OUTAGE_SIZE, OUTAGE_OLD);
	outage_attach_image(o, c, image, "w");
}

void outage_attach_image(struct outage *o, struct crash_host *c, const char *image,
                         const char *mode)
{
	memset(o, 0, sizeof *o);
	o->c = c;
	o->h = &c->h;
	crash_clear(c);
	snprintf(o->image, sizeof o->image, "%s", image);
	snprintf(o->folder, sizeof o->folder, "%s/disks/1:xvda", o->h->dir);
	snprintf(o->journal, sizeof o->journal, "%s/journal-0", o->folder);
	host_attach(o->h, &(struct disk){.params = o->image, .mode = mode}, o->image);
	o->f = host_front_connected(o->h, 1, "xvda");
	assert_front(o->f, xenblkfront_alloc(o->f, 1, true, &o->page, &o->ref));
	host_pattern(o->page, OUTAGE_SECTOR * 512, 4096, OUTAGE_NEW);
}

void outage_write(struct outage *o)
{
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_WRITE,
	    .sector = OUTAGE_SECTOR,
	    .nr_segments = 1,
	    .seg = {{o->ref, 0, 7}},
	};

	assert_front(o->f, xenblkfront_queue(o->f, &req, 1));
	assert_front(o->f, xenblkfront_kick(o->f));
}

void outage_begin(struct outage *o, enum crash_step step)
{
	pid_t worker = host_worker(o->h, "1:xvda");
	char path[40];

	assert_true(worker > 0);
	/* Before the death: it would start another one at once. */
	assert_int_equal(kill(o->h->daemon, SIGSTOP), 0);
	crash_order(o->c, step, 1, CRASH_ANY, SIGKILL);
	outage_write(o);
	assert_true(crash_wait(o->c));
	/* Its threads are gone with it once it waits to be reaped. */
	snprintf(path, sizeof path, "/proc/%d/stat", (int)worker);
	for (int i = 0; i < WAIT_MS; i++) {
		char stat[200] = "";
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, stat, sizeof stat - 1);
		close(fd);
		if (n <= 0 || strstr(stat, ") Z "))
			return;
		usleep(1000);
	}
	fail_msg("worker %d does not end", (int)worker);
}

void outage_taken(struct outage *o, struct crash_host *c)
{
	outage_attach(o, c);
	outage_begin(o, CRASH_TAKE_CONS);
}

void outage_end(struct outage *o)
{
	assert_int_equal(kill(o->h->daemon, SIGCONT), 0);
}

int outage_answer(struct outage *o)
{
	struct xenblkfront_response rsp;

	assert_front(o->f, xenblkfront_reap(o->f, &rsp, 1, -1));
	assert_int_equal(rsp.id, 1);
	return rsp.status;
}

int outage_content(const struct outage *o, const char *image)
{
	char got[4096], want[4096];
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, got, sizeof got, OUTAGE_SECTOR * 512), sizeof got);
	close(fd);
	for (int seed = OUTAGE_OLD; seed <= OUTAGE_NEW; seed++) {
		host_pattern(want, OUTAGE_SECTOR * 512, sizeof want, (uint32_t)seed);
		if (!memcmp(got, want, sizeof got))
			return seed;
	}
	return 0;
}

void outage_failed(struct outage *o, const char *text)
{
	char buf[4096];

	host_wait_error(o->h, "1:xvda", text);
	/* One line of it. */
	assert_int_equal(host_log_count(o->h, text), 1);
	assert_int_equal(outage_content(o, o->image), OUTAGE_OLD);
	host_wait_error(o->h, "1:xvda", "; the guest waits: ");
	assert_int_equal(host_state(o->h, 1, XVDA), XS_CONNECTED);
	xenblkfront_close(o->f);
	o->f = host_front_connected(o->h, 1, "xvda");
	assert_front(o->f, xenblkfront_read(o->f, OUTAGE_SECTOR * 512, buf, sizeof buf));
}

void outage_detach(struct outage *o)
{
	assert_front(o->f, xenblkfront_disconnect(o->f));
	xenblkfront_close(o->f);
	host_detach(o->h, 1, XVDA);
}
