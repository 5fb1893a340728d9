/* SPDX-License-Identifier: MIT */
/*
 * How long a guest waits when a process of ours goes: a front end reads at the given depth from a
 * file on an embedded Xen, and each round one thing happens. Prints a line of milliseconds a kind.
 * See bench/recovery.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h>

#define SIZE (64ull << 20)
#define DEPTH_MAX 32u
#define ROUNDS_MAX 10000u
#define QUIET_NS (300 * NS_PER_MS) /* of undisturbed I/O between two rounds */

struct load {
	struct xenblkfront *f;
	unsigned depth;
	uint32_t refs[DEPTH_MAX];
	uint64_t next_id, rng;
};

static void issue(struct load *l, unsigned slot)
{
	struct xenblkfront_request req = {.op = BLKIF_OP_READ, .nr_segments = 1};

	l->rng = l->rng * 6364136223846793005ull + 1;
	req.sector = (l->rng >> 33) % (SIZE / 4096) * 8;
	req.seg[0] = (struct xenblkfront_seg){l->refs[slot], 0, 7};
	assert_front(l->f, xenblkfront_queue(l->f, &req, ++l->next_id << 8 | slot));
}

/* Waits for responses at most that long, and asks again; how many. */
static int turn(struct load *l, int timeout_ms)
{
	struct xenblkfront_response rsp[DEPTH_MAX];
	int n = xenblkfront_reap(l->f, rsp, DEPTH_MAX, timeout_ms);

	if (n == -ETIMEDOUT)
		return 0;
	assert_front(l->f, n);
	for (int i = 0; i < n; i++) {
		assert_int_equal(rsp[i].status, BLKIF_RSP_OKAY);
		issue(l, (unsigned)(rsp[i].id & 0xff));
	}
	assert_front(l->f, xenblkfront_kick(l->f));
	return n;
}

/* Longest time between two responses until `end`, or until *done (and one more response). */
static uint64_t longest_gap(struct load *l, uint64_t end, bool (*done)(void *arg), void *arg)
{
	uint64_t last = clock_ns(), longest = 0;
	bool over = false;

	while (!over && (last < end || done)) {
		over = done && done(arg);
		while (!turn(l, 1000))
			;
		uint64_t now = clock_ns();
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	return longest;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *what, const struct load *l, uint64_t *ns, unsigned n)
{
	qsort(ns, n, sizeof *ns, by_value);
	printf("%-44s depth %2u  median %6.2f  p95 %6.2f  max %6.2f ms  (%u rounds)\n", what,
	       l->depth, (double)ns[n / 2] / 1e6, (double)ns[n * 95 / 100] / 1e6,
	       (double)ns[n - 1] / 1e6, n);
	fflush(stdout);
}

/* From the kill to the first response of the next worker. */
static uint64_t kill_worker(struct host *h, struct load *l)
{
	pid_t pid = host_worker(h, "1:xvda");
	struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	assert_true(pid > 0 && p.fd >= 0);
	uint64_t start = clock_ns();
	kill(pid, SIGKILL);
	assert_int_equal(poll(&p, 1, -1), 1);
	close(p.fd);
	/* What the dead one had published. */
	while (turn(l, 0))
		;
	while (!turn(l, 1000))
		;
	return clock_ns() - start;
}

static bool exited(void *arg)
{
	pid_t *pid = arg;

	return waitpid(*pid, NULL, WNOHANG) == *pid;
}

/* Runs xenblkctl with these arguments, again and again until it succeeds; in a process of its own.
 */
static pid_t control(struct host *h, const char *a, const char *b)
{
	char command[600];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(command, sizeof command,
	         "until '%s/xenblkctl' --run-dir '%s' %s %s >/dev/null 2>&1; do sleep 0.005; done",
	         h->build, h->dir, a, b);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

/* The longest pause while the supervisor dies and another one starts. */
static uint64_t kill_supervisor(struct host *h, struct load *l)
{
	host_daemon_kill(h, SIGKILL);
	pid_t asks = control(h, "list", "");
	h->daemon = fork();
	if (!h->daemon) {
		char program[300];
		snprintf(program, sizeof program, "%s/xenblkd", h->build);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execl(program, "xenblkd", "--embedded", h->dir, NULL);
		_exit(127);
	}
	return longest_gap(l, 0, exited, &asks);
}

static uint64_t upgrade_supervisor(struct host *h, struct load *l)
{
	pid_t asks = control(h, "upgrade", "");

	return longest_gap(l, 0, exited, &asks);
}

static uint64_t upgrade_worker(struct host *h, struct load *l)
{
	pid_t asks = control(h, "upgrade", "1:xvda");

	return longest_gap(l, 0, exited, &asks);
}

static uint64_t undisturbed(struct host *h, struct load *l)
{
	return longest_gap(l, clock_ns() + QUIET_NS, NULL, NULL);
}

static const struct kind {
	const char *name, *what;
	uint64_t (*round)(struct host *h, struct load *l);
} kinds[] = {
    {"none", "nothing happens: longest pause", undisturbed},
    {"worker", "worker killed: to the next response", kill_worker},
    {"supervisor", "supervisor killed and started: longest pause", kill_supervisor},
    {"upgrade", "worker upgraded: longest pause", upgrade_worker},
    {"reexec", "supervisor upgraded: longest pause", upgrade_supervisor},
};

static void measure(struct host *h, const struct kind *k, unsigned depth, unsigned rounds)
{
	struct load l = {.depth = depth, .rng = 1};
	uint64_t *ns = calloc(rounds, sizeof *ns);
	void *pages;

	assert_non_null(ns);
	l.f = host_front_connected(h, 1, "xvda");
	assert_front(l.f, xenblkfront_alloc(l.f, DEPTH_MAX, true, &pages, l.refs));
	for (unsigned i = 0; i < depth; i++)
		issue(&l, i);
	assert_front(l.f, xenblkfront_kick(l.f));
	undisturbed(h, &l);
	for (unsigned i = 0; i < rounds; i++) {
		ns[i] = k->round(h, &l);
		undisturbed(h, &l);
	}
	report(k->what, &l, ns, rounds);
	while (xenblkfront_inflight(l.f)) {
		struct xenblkfront_response rsp[DEPTH_MAX];
		assert_front(l.f, xenblkfront_reap(l.f, rsp, DEPTH_MAX, -1));
	}
	assert_front(l.f, xenblkfront_disconnect(l.f));
	xenblkfront_close(l.f);
	free(ns);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20;
	char image[200];
	struct host h;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(
		    stderr,
		    "usage: bench_outage [ROUNDS [none|worker|supervisor|upgrade|reexec]...]\n");
		return 2;
	}
	host_start(&h, NULL);
	snprintf(image, sizeof image, "%s", host_image(&h, "bench.img", SIZE));
	host_fill(image, SIZE, 1);
	host_attach(&h, &(struct disk){.params = image}, image);
	for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		bool asked = argc < 3;
		for (int i = 2; i < argc; i++)
			asked |= !strcmp(argv[i], kinds[k].name);
		for (unsigned depth = 1; asked && depth <= DEPTH_MAX; depth *= DEPTH_MAX)
			measure(&h, &kinds[k], depth, rounds);
	}
	host_detach(&h, 1, XVDA);
	host_stop(&h);
	return 0;
}
