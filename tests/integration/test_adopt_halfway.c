/* SPDX-License-Identifier: MIT */
/* A supervisor dies while its worker is half-way (opens, connects, disconnects), or while the
 * worker is stopped: its successor finishes that, or does not wait for ever. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "image_lock.h"
#include "adopt.h"

#include <xen/io/blkif.h>

/* The worker dies, and its successor waits in OPEN until what this returns is closed. */
static int stays_in_open(struct host *h, struct disk_under_test *t)
{
	int late = image_delay_next(h->daemon, t->worker, t->image);

	assert_true(late >= 0);
	wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != t->worker &&
	           status_is(h, "1:xvda", "image_state", "opening"));
	return late;
}

/* Its successor finds the worker in the middle of opening, and waits for the same answer. */
static void dies_in_open(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	int late = stays_in_open(h, &t);
	pid_t opener = host_worker(h, "1:xvda");
	for (int round = 0; round < 2; round++) {
		supervisor_dies(h);
		host_daemon_start(h, NULL);
		wait_until(status_is(h, "1:xvda", "image_state", "opening"));
		assert_int_equal(host_worker(h, "1:xvda"), opener);
	}
	close(late);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(host_worker(h, "1:xvda"), opener);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	disk_end(h, &t);
}

/* A worker that is stopped holds the disk while supervisors come and go: each waits for it a while
 * only. */
static void stopped_worker(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	struct bystander b;

	bystander_start(h, &b);
	disk_start(h, &t);
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	host_daemon_start(h, NULL);
	/* Others do not wait for it. */
	bystander_check(h, &b);
	assert_reads(t.front, 0, SEED);
	assert_false(process_lives(t.worker));
	assert_true(host_log_has(h, "does not answer; killed"));
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	disk_end(h, &t);
	bystander_stop(h, &b);
}

/* The supervisor lives, its worker hangs while it opens the image: a wait for the lock is no hang,
 * a stopped process is. */
static void hung_in_open(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	int late = stays_in_open(h, &t);
	pid_t opener = host_worker(h, "1:xvda");
	/* It is asked after 2 s, and would be killed after 7. */
	wait_until(strstr(status_text(h, "1:xvda", "warning"), "for the last I/O of the"));
	usleep(5500 * 1000);
	assert_int_equal(host_worker(h, "1:xvda"), opener);
	assert_int_equal(kill(opener, SIGSTOP), 0);
	for (int i = 0; i < 2000 && !host_log_has(h, "hangs while it opens its image"); i++)
		usleep(10000);
	assert_true(host_log_has(h, "hangs while it opens its image"));
	close(late);
	assert_reads(t.front, 0, SEED);
	assert_false(process_lives(opener));
	disk_end(h, &t);
}

/* A disk without a front end, whose worker is stopped. */
static void stops_before_connect(struct host *h, struct disk_under_test *t)
{
	make_image(h, "a.img", SEED, t->image);
	host_attach(h, &(struct disk){.params = t->image}, t->image);
	wait_image_open(h, "1:xvda");
	t->worker = host_worker(h, "1:xvda");
	assert_int_equal(kill(t->worker, SIGSTOP), 0);
}

/* The same front end, with the same keys. */
static void comes_again(struct host *h, struct disk_under_test *t)
{
	xenblkfront_close(t->front);
	t->front = host_front_connected(h, 1, "xvda");
	assert_reads(t->front, 0, SEED);
}

/* Whether the worker has a journal, hence a ring. */
static bool has_journal(struct host *h)
{
	uint64_t magic = 0;
	char path[160];

	snprintf(path, sizeof path, "%s/disks/1:xvda/journal-0", h->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &magic, sizeof magic, 0), sizeof magic);
	close(fd);
	return magic;
}

/* Stopped, the worker only gets the message when nobody waits for the answer any more. */
static void dies_in_connect(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	stops_before_connect(h, &t);
	t.front = host_front(h, 1, "xvda", NULL, 0);
	assert_front(t.front, xenblkfront_publish_ring(t.front));
	assert_front(t.front, xenblkfront_set_state(t.front, XS_INITIALISED));
	wait_until(status_is(h, "1:xvda", "ring_state", "connecting"));
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGCONT), 0);
	wait_until(has_journal(h));
	assert_int_equal(host_state(h, 1, XVDA), XS_INITWAIT);
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	assert_front(t.front, xenblkfront_set_state(t.front, XS_CONNECTED));
	front_end(t.front);
	host_detach(h, 1, XVDA);
}

/* Its successor finds an idle worker, and a connection on record: that is over, not broken. The
 * same front end comes again with the same keys. */
static void dies_in_disconnect(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	front_state(h, 1, XVDA, XS_CLOSED);
	wait_until(status_is(h, "1:xvda", "ring_state", "disconnecting"));
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGCONT), 0);
	wait_until(!has_journal(h));
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	comes_again(h, &t);
	disk_end(h, &t);
}

/* And it has come again before the successor does: our state has not left Connected, its ring is
 * the one on record, and of that the journal is not lost, but done with. */
static void comes_before_the_successor(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	front_state(h, 1, XVDA, XS_CLOSED);
	wait_until(status_is(h, "1:xvda", "ring_state", "disconnecting"));
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGCONT), 0);
	wait_until(!has_journal(h));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	front_state(h, 1, XVDA, XS_CONNECTED);
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	disk_end(h, &t);
}

/* A worker that hangs is not waited for: connecting takes no time, and a drain not for ever. */
static void hung_in_connect(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	stops_before_connect(h, &t);
	struct xenblkfront_options opt = {
	    .run_dir = h->dir, .domid = 1, .vdev = "xvda", .timeout_ms = 60000};
	assert_int_equal(xenblkfront_open(&opt, &t.front), 0);
	assert_front(t.front, xenblkfront_connect(t.front));
	assert_true(host_log_has(h, "hangs while it connects the ring"));
	assert_reads(t.front, 0, SEED);
	assert_false(process_lives(t.worker));
	disk_end(h, &t);
}

static void hung_in_disconnect(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	front_state(h, 1, XVDA, XS_CLOSED);
	for (int i = 0; i < 60000 && host_state(h, 1, XVDA) != XS_CLOSED; i++)
		usleep(1000);
	assert_int_equal(host_state(h, 1, XVDA), XS_CLOSED);
	assert_false(process_lives(t.worker));
	comes_again(h, &t);
	disk_end(h, &t);
}

/* Whether a process waits for a lock of the image. */
static bool somebody_waits(const char *image)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[200], inode[32];
	bool found = false;
	struct stat st;

	assert_non_null(f);
	assert_int_equal(stat(image, &st), 0);
	snprintf(inode, sizeof inode, ":%llu ", (unsigned long long)st.st_ino);
	while (fgets(line, sizeof line, f))
		found |= strstr(line, " -> ") && strstr(line, inode);
	fclose(f);
	return found;
}

/* A process that is first in line for the image's fence, so that the next worker waits in OPEN: for
 * a worker that ends of itself. Ends when `go` is closed. */
static pid_t lock_in_line(const char *image, int *go)
{
	int ready[2], pipes[2];
	char byte;

	/* Nor may a daemon that is started meanwhile hold an end. */
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid) {
		int fd = open(image, O_RDWR | O_CLOEXEC);
		close(pipes[1]);
		if (write(ready[1], "r", 1) != 1 || !image_delay(fd))
			_exit(1);
		_exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	wait_until(somebody_waits(image));
	close(ready[0]);
	close(ready[1]);
	close(pipes[0]);
	*go = pipes[1];
	return pid;
}

/* The guest has another ring, with a request in it, and the old one is let go of: nothing of that
 * one is left to be lost. */
static void dies_between_two_rings(void **state)
{
	struct xenblkfront_response rsp;
	struct host *h = *state;
	struct disk_under_test t;
	uint32_t ref;
	void *page;
	int go;

	disk_start(h, &t);
	pid_t late = lock_in_line(t.image, &go);
	struct xenblkfront *another = host_front(h, 1, "xvda", NULL, 0);
	assert_front(another, xenblkfront_publish_ring(another));
	assert_front(another, xenblkfront_set_state(another, XS_INITIALISED));
	wait_until(host_worker(h, "1:xvda") != t.worker &&
	           status_is(h, "1:xvda", "image_state", "opening"));
	supervisor_dies(h);
	assert_front(another, xenblkfront_alloc(another, 1, true, &page, &ref));
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_READ, .nr_segments = 1, .seg = {{ref, 0, 7}}};
	assert_front(another, xenblkfront_queue(another, &req, 77));
	assert_front(another, xenblkfront_kick(another));
	host_daemon_start(h, NULL);
	close(go);
	assert_int_equal(waitpid(late, NULL, 0), late);
	assert_int_equal(xenblkfront_reap(another, &rsp, 1, -1), 1);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	xenblkfront_close(t.front);
	t.front = another;
	assert_front(t.front, xenblkfront_set_state(t.front, XS_CONNECTED));
	assert_reads(t.front, 0, SEED);
	disk_end(h, &t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(dies_in_open),
	    case_of(stopped_worker),
	    case_of(hung_in_open),
	    case_of(dies_in_connect),
	    case_of(dies_in_disconnect),
	    case_of(hung_in_connect),
	    case_of(hung_in_disconnect),
	    case_of(dies_between_two_rings),
	    case_of(comes_before_the_successor),
	};

	return cmocka_run_group_tests_name("adopt_halfway", tests, NULL, NULL);
}
