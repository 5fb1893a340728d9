/* SPDX-License-Identifier: MIT */
/* Trouble under a running disk: each costs only what it must, and the disk works again afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image_lock.h"
#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h>
#include "needs.h"

#define SIZE (4ull << 20)

static const char *attach(struct host *h, unsigned domid, unsigned devid, const char *name)
{
	const char *image = host_image(h, name, SIZE);

	host_fill(image, SIZE, devid);
	host_attach(h, &(struct disk){.domid = domid, .devid = devid, .params = image}, image);
	return image;
}

static void assert_reads(struct xenblkfront *f, unsigned devid)
{
	char got[65536], want[65536];

	assert_front(f, xenblkfront_read(f, 1 << 20, got, sizeof got));
	host_pattern(want, 1 << 20, sizeof want, devid);
	assert_memory_equal(got, want, sizeof got);
}

/* Milliseconds of CPU that a process has used. */
static long cpu_ms(pid_t pid)
{
	char path[64];
	long user = 0, sys = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(
	    fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &sys),
	    2);
	fclose(f);
	return (user + sys) * 1000 / sysconf(_SC_CLK_TCK);
}

/* Soon, for what it had to do comes first: half a second in which it hardly runs. */
static void assert_sleeps(pid_t pid)
{
	long used = 500;

	for (int i = 0; i < 2 * WAIT_MS / 1000 && used > 50; i++) {
		long before = cpu_ms(pid);
		usleep(500 * 1000);
		used = cpu_ms(pid) - before;
	}
	assert_true(used <= 50);
}

/* req_prod beyond the ring: this ring is stopped, said in status, log and error node; the other
 * disk goes on; a reconnect heals. */
static void ring_overrun(void **state)
{
	struct host *h = *state;

	attach(h, 1, XVDA, "a.img");
	attach(h, 1, XVDB, "b.img");
	struct xenblkfront *a = host_front_connected(h, 1, "xvda");
	struct xenblkfront *b = host_front_connected(h, 1, "xvdb");
	assert_reads(a, XVDA);
	xenblkfront_poke_req_prod(a, 1u << 31);
	host_wait_error(h, "1:xvda", "the front end's req_prod overran the ring");
	char node[STORE_PATH_MAX];
	snprintf(node, sizeof node, "/local/domain/0/error/backend/vbd/1/%u", XVDA);
	assert_non_null(strstr(host_read(h, node, "error"), "req_prod overran the ring"));
	assert_true(host_log_has(h, "req_prod overran the ring"));
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	/* The worker sleeps, whatever the index says. */
	assert_sleeps(host_worker(h, "1:xvda"));
	assert_reads(b, XVDB);
	xenblkfront_close(a);
	a = host_front_connected(h, 1, "xvda");
	assert_reads(a, XVDA);
	json_t *s = host_status(h, "1:xvda");
	assert_true(json_is_null(json_object_get(s, "error")));
	json_decref(s);
	assert_front(a, xenblkfront_disconnect(a));
	assert_front(b, xenblkfront_disconnect(b));
	xenblkfront_close(a);
	xenblkfront_close(b);
	host_detach(h, 1, XVDA);
	host_detach(h, 1, XVDB);
}

/* The guest is gone at once, its ring full of requests, reads and writes. */
static void front_end_vanishes(void **state)
{
	struct host *h = *state;
	struct xen_usage before, after;

	attach(h, 2, XVDB, "b.img");
	struct xenblkfront *b = host_front_connected(h, 2, "xvdb");
	for (int round = 0; round < 10; round++) {
		attach(h, 1, XVDA, "a.img");
		if (round == 1)
			assert_int_equal(xen_usage(h->xen, &before), 0);
		pid_t pid = fork();
		if (!pid) {
			struct xenblkfront *f = host_front_connected(h, 1, "xvda");
			void *pages;
			uint32_t refs[32];
			xenblkfront_alloc(f, 32, true, &pages, refs);
			for (unsigned i = 0; i < 32; i++) {
				struct xenblkfront_request req = {
				    .op = i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE,
				    .nr_segments = 1,
				    .sector = i * 8,
				    .seg = {{refs[i], 0, 7}},
				};
				xenblkfront_queue(f, &req, i);
			}
			xenblkfront_kick(f);
			kill(getpid(), SIGKILL);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_reads(b, XVDB);
		/* libxl, destroying the domain: the front end's directory goes first. */
		store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
		host_offline(h, 1, XVDA);
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		host_remove_nodes(h, 1, XVDA);
		host_wait_gone(h, "1:xvda");
	}
	attach(h, 1, XVDA, "a.img");
	assert_int_equal(xen_usage(h->xen, &after), 0);
	assert_int_equal(after.maps, before.maps);
	assert_int_equal(after.ports, before.ports);
	assert_int_equal(after.grants, before.grants);
	assert_int_equal(after.clients, before.clients);
	host_detach(h, 1, XVDA);
	assert_front(b, xenblkfront_disconnect(b));
	xenblkfront_close(b);
	host_detach(h, 2, XVDB);
}

static void image_truncated_and_removed(void **state)
{
	struct host *h = *state;
	char path[200], buf[4096];

	snprintf(path, sizeof path, "%s", attach(h, 1, XVDA, "a.img"));
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_int_equal(truncate(path, 1 << 20), 0);
	assert_int_equal(xenblkfront_read(f, 2 << 20, buf, sizeof buf), -EIO);
	assert_front(f, xenblkfront_read(f, 0, buf, sizeof buf));
	/* It is whole again: noticed within a second. */
	assert_int_equal(truncate(path, SIZE), 0);
	uint64_t end = clock_ns() + WAIT_MS * NS_PER_MS;
	while (xenblkfront_read(f, 2 << 20, buf, sizeof buf) && clock_ns() < end)
		usleep(10000);
	assert_front(f, xenblkfront_read(f, 2 << 20, buf, sizeof buf));
	assert_int_equal(unlink(path), 0);
	memset(buf, 0x42, sizeof buf);
	assert_front(f, xenblkfront_write(f, 4096, buf, sizeof buf));
	memset(buf, 0, sizeof buf);
	assert_front(f, xenblkfront_read(f, 4096, buf, sizeof buf));
	assert_int_equal(buf[4095], 0x42);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A sparse image on a file system that fills up: ERROR, and fine again once there is room. */
static void no_space(void **state)
{
	struct host *h = *state;
	char dir[80], path[120], filler[120];
	static char data[1 << 20];

	snprintf(dir, sizeof dir, "%s/small", h->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	needs(lacks_admin());
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=3m"), 0);
	snprintf(path, sizeof path, "%s/a.img", dir);
	snprintf(filler, sizeof filler, "%s/filler", dir);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	fd = open(filler, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, data, sizeof data), sizeof data);
	assert_int_equal(write(fd, data, sizeof data), sizeof data);
	close(fd);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_pattern(data, 0, sizeof data, 3);
	int rc = 0;
	for (int i = 0; i < 3 && !rc; i++)
		rc = xenblkfront_write(f, (uint64_t)i << 20, data, sizeof data);
	assert_int_equal(rc, -EIO);
	assert_int_equal(unlink(filler), 0);
	for (int i = 0; i < 2; i++)
		assert_front(f, xenblkfront_write(f, (uint64_t)i << 20, data, sizeof data));
	static char back[1 << 20];
	assert_front(f, xenblkfront_read(f, 1 << 20, back, sizeof back));
	assert_memory_equal(back, data, sizeof back);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* Lost and spurious events: a lost one delays until the next, a spurious one does nothing. */
static void events(void **state)
{
	struct host *h = *state;
	struct error err;
	char line[64];

	attach(h, 1, XVDA, "a.img");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	char port[32];
	snprintf(port, sizeof port, "%s", host_read(h, host_fe(1, XVDA), "event-channel"));
	snprintf(line, sizeof line, "spurious-event 1 %s", port);
	for (int i = 0; i < 100; i++)
		assert_int_equal(xen_fault(h->xen, line, &err), 0);
	assert_reads(f, XVDA);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* Xen itself is gone (its end is the host's end; here it is a process): nobody spins. */
static void xen_gone(void **state)
{
	struct host *h = *state;
	char path[96];
	int xen = 0;

	attach(h, 1, XVDA, "a.img");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	snprintf(path, sizeof path, "%s/xen.pid", h->dir);
	FILE *pid = fopen(path, "r");
	assert_non_null(pid);
	assert_int_equal(fscanf(pid, "%d", &xen), 1);
	fclose(pid);
	assert_int_equal(kill(xen, SIGKILL), 0);
	assert_sleeps(worker);
	assert_sleeps(h->daemon);
	xenblkfront_close(f);
}

/* An idle disk costs no wake-up and no CPU. */
static void idle(void **state)
{
	struct host *h = *state;

	attach(h, 1, XVDA, "a.img");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, XVDA);
	pid_t worker = host_worker(h, "1:xvda");
	uint64_t wakeups, later = 0;
	long before, used = 0;
	/* Not at once: there are the statistics' last second, and that of the buffers. */
	for (int i = 0; i < WAIT_MS / 1000 && (!i || later != wakeups || used > 10); i++) {
		wakeups = host_stat(h, "1:xvda", "wakeups");
		before = cpu_ms(worker);
		usleep(1000 * 1000);
		later = host_stat(h, "1:xvda", "wakeups");
		used = cpu_ms(worker) - before;
	}
	assert_int_equal(later, wakeups);
	assert_true(used <= 10);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A worker that is killed is replaced and answers what the dead one had taken. */
static void worker_killed(void **state)
{
	struct host *h = *state;
	static char data[1 << 20], back[1 << 20];

	attach(h, 1, XVDA, "a.img");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (int round = 0; round < 3; round++) {
		pid_t worker = host_worker(h, "1:xvda");
		assert_true(worker > 0);
		host_pattern(data, 0, sizeof data, 100 + (uint32_t)round);
		pid_t killer = fork();
		if (!killer) {
			usleep(2000);
			kill(worker, SIGKILL);
			_exit(0);
		}
		for (int i = 0; i < 8; i++)
			assert_front(f, xenblkfront_write(f, 0, data, sizeof data));
		assert_int_equal(waitpid(killer, NULL, 0), killer);
		assert_front(f, xenblkfront_read(f, 0, back, sizeof back));
		assert_memory_equal(back, data, sizeof back);
		for (int i = 0;
		     i < 5000 && (host_worker(h, "1:xvda") == worker || !host_worker(h, "1:xvda"));
		     i++)
			usleep(2000);
		assert_int_not_equal(host_worker(h, "1:xvda"), worker);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	}
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A worker dies, and what it had under way is not done yet (here: somebody else has the fence): the
 * toolstack hears Closed only when the fence was ours again, for whoever opens the image then must
 * not meet late writes. */
static void closed_after_the_fence(void **state)
{
	struct host *h = *state;
	char path[200];

	snprintf(path, sizeof path, "%s", attach(h, 1, XVDA, "a.img"));
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	int late = image_delay_next(h->daemon, host_worker(h, "1:xvda"), path);
	assert_true(late >= 0);
	assert_front(f, xenblkfront_set_state(f, XS_CLOSING));
	assert_front(f, xenblkfront_set_state(f, XS_CLOSED));
	host_offline(h, 1, XVDA);
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, 1000));
	close(late);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	xenblkfront_close(f);
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, "1:xvda");
}

/* The daemon stops and starts again: the guest waits and goes on. */
static void daemon_restarted(void **state)
{
	struct host *h = *state;

	attach(h, 1, XVDA, "a.img");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, XVDA);
	host_daemon_kill(h, SIGTERM);
	host_daemon_start(h, NULL);
	assert_reads(f, XVDA);
	host_daemon_kill(h, SIGKILL);
	assert_reads(f, XVDA); /* the worker outlives it */
	host_daemon_start(h, NULL);
	assert_reads(f, XVDA);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The run directory is lost under a connected guest (a reboot of tmpfs, a careless rm): a ring with
 * requests in it is never guessed at. */
static void journal_lost(void **state)
{
	struct host *h = *state;
	struct xenblkfront_request req = {.op = BLKIF_OP_FLUSH_DISKCACHE};
	char path[120];

	for (int pending = 0; pending < 2; pending++) {
		attach(h, 1, XVDA, "a.img");
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		host_daemon_kill(h, SIGTERM);
		snprintf(path, sizeof path, "%s/disks/1:xvda/journal-0", h->dir);
		assert_int_equal(unlink(path), 0);
		if (pending) {
			assert_front(f, xenblkfront_queue(f, &req, 1));
			assert_front(f, xenblkfront_kick(f));
		}
		host_daemon_start(h, NULL);
		if (pending) {
			host_wait_error(h, "1:xvda",
			                "the journal is lost and 1 requests are in the ring");
			xenblkfront_close(f);
			store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
		} else {
			for (int i = 0; i < 5000 && !host_log_has(h, "connected again"); i++)
				usleep(2000);
			assert_reads(f, XVDA);
			assert_front(f, xenblkfront_disconnect(f));
			xenblkfront_close(f);
		}
		host_detach(h, 1, XVDA);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

/* Clients of the control socket that ask nothing shut nobody out. */
static void silent_clients(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct host *h = *state;
	int fds[300];

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", h->dir);
	for (unsigned i = 0; i < 300; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fds[i] >= 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof addr), 0);
		if (i % 50 == 49)
			json_decref(host_control(h, "list", NULL));
	}
	assert_true(host_log_has(h, "the one that was silent for longest is dropped"));
	for (unsigned i = 0; i < 300; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(ring_overrun),
	    T(front_end_vanishes),
	    T(image_truncated_and_removed),
	    T(no_space),
	    T(events),
	    T(silent_clients),
	    T(worker_killed),
	    T(daemon_restarted),
	    T(journal_lost),
	    T(closed_after_the_fence),
	    T(xen_gone),
	    T(idle),
	};

	return cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
}
