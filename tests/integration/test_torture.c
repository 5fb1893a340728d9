/* SPDX-License-Identifier: MIT */
/*
 * Verified load while workers, the supervisor or both are killed or stopped at random moments: no
 * request fails, is lost or answered twice, no block is wrong, old or late; and at the end nothing
 * is left over. KILLS=N: how many (200); SEED=N repeats a run, as far as the machine's timing
 * allows; BAR=1 shows how far it is.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"
#include "writer.h"

#define DISKS 4
/* Deaths of one connection: the fifth within 10 s is a crash loop, and a request that three workers
 * fell over is answered ERROR. */
#define KILLS_A_ROUND 2u
#define FAULTS_A_ROUND 1u
#define STOPPED_US 20000
#define LOOK_EVERY 20u /* kills */

static bool is_persistent(unsigned disk)
{
	return disk == 1 || disk == 2;
}

/* What the test does to one disk. */
struct victim {
	struct writer_board *board;
	pid_t writer;
	char id[16];
	unsigned round, kills, faults; /* in that round */
};

struct torture {
	struct host *h;
	struct victim v[DISKS];
	uint64_t rng, begun;
	unsigned wanted, kills, restarts, both;
	unsigned stopped_dead, stopped_on, paused; /* workers killed, or let go on, after a stop;
	                                            * the supervisor stopped */
	bool bar, kept_pages;                      /* of persistent grants, seen */
};

static uint64_t rnd(struct torture *t)
{
	t->rng ^= t->rng << 13;
	t->rng ^= t->rng >> 7;
	t->rng ^= t->rng << 17;
	return t->rng;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void progress(const struct torture *t)
{
	unsigned width = 40, full = t->kills * width / t->wanted;
	char bar[41];

	for (unsigned i = 0; i < width; i++)
		bar[i] = i < full ? '#' : '.';
	bar[width] = '\0';
	fprintf(stderr, "\r[%s] %u of %u kills, %llu s ", bar, t->kills, t->wanted,
	        (unsigned long long)((clock_ns() - t->begun) / NS_PER_S));
	if (t->kills >= t->wanted)
		fputc('\n', stderr);
}

/* The disk's worker, if it may die now. */
static pid_t target(struct torture *t, struct victim *v)
{
	unsigned round = __atomic_load_n(&v->board->round, __ATOMIC_ACQUIRE);

	if (round != v->round) {
		v->round = round;
		v->kills = v->faults = 0;
	}
	return v->kills < KILLS_A_ROUND ? host_worker(t->h, v->id) : 0;
}

static void hit(struct torture *t, struct victim *v, pid_t pid, int sig)
{
	if (kill(pid, sig))
		return;
	v->kills++;
	t->kills++;
}

/* Completions pile up. */
static void stop_for_a_while(struct torture *t, pid_t pid)
{
	kill(pid, SIGSTOP);
	usleep(rnd(t) % STOPPED_US);
}

/* It goes on where it was. */
static void stop_worker(struct torture *t, struct victim *v)
{
	pid_t pid = host_worker(t->h, v->id);

	if (!pid)
		return;
	stop_for_a_while(t, pid);
	t->stopped_on += !kill(pid, SIGCONT);
}

static void hurt_worker(struct torture *t, struct victim *v, bool stopped)
{
	pid_t pid = target(t, v);
	int sig = SIGKILL;

	if (!pid)
		return;
	if (v->faults < FAULTS_A_ROUND && rnd(t) % 4 == 0) {
		v->faults++;
		sig = SIGILL; /* not SIGSEGV, which sanitizers catch */
	}
	if (stopped)
		stop_for_a_while(t, pid);
	t->stopped_dead += stopped;
	hit(t, v, pid, sig);
	kill(pid, SIGCONT); /* a fault is delivered to the running only */
}

/* A worker dies meanwhile, and nobody starts another one. */
static void stop_supervisor(struct torture *t, struct victim *v)
{
	pid_t worker = target(t, v);

	stop_for_a_while(t, t->h->daemon);
	if (worker)
		hit(t, v, worker, SIGKILL);
	usleep(rnd(t) % STOPPED_US);
	kill(t->h->daemon, SIGCONT);
	t->paused++;
}

static void restart_supervisor(struct torture *t, struct victim *with)
{
	pid_t worker = with ? target(t, with) : 0;
	bool first = rnd(t) % 2;

	if (worker && first)
		hit(t, with, worker, SIGKILL);
	host_daemon_kill(t->h, with || rnd(t) % 2 ? SIGKILL : SIGTERM);
	if (worker && !first)
		hit(t, with, worker, SIGKILL);
	/* For a moment nobody is there to notice. */
	usleep(rnd(t) % STOPPED_US);
	host_daemon_start(t->h, NULL);
	t->kills++;
	t->restarts++;
	t->both += worker != 0;
}

/* All at once, as when the run of a whole service is ended hard. */
static void kill_everything(struct torture *t)
{
	pid_t pid[DISKS];

	for (unsigned i = 0; i < DISKS; i++)
		pid[i] = target(t, &t->v[i]);
	host_daemon_kill(t->h, SIGKILL);
	for (unsigned i = 0; i < DISKS; i++)
		if (pid[i])
			hit(t, &t->v[i], pid[i], SIGKILL);
	host_daemon_start(t->h, NULL);
	t->kills++;
	t->restarts++;
	t->both++;
}

/* One of each kind in any KINDS of them, so that none depends on luck. */
#define KINDS 32u
static void hurt(struct torture *t, unsigned n)
{
	struct victim *v = &t->v[rnd(t) % DISKS];

	switch ((n * 13 + 5) % KINDS) {
	case 0:
		restart_supervisor(t, NULL);
		break;
	case 1:
		restart_supervisor(t, v);
		break;
	case 2:
		kill_everything(t);
		break;
	case 3:
		stop_supervisor(t, v);
		break;
	case 4:
	case 5:
		stop_worker(t, v);
		break;
	case 6:
	case 7:
	case 8:
		hurt_worker(t, v, true);
		break;
	default:
		hurt_worker(t, v, false);
	}
}

/* ---- what must not be left ---- */

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static unsigned descriptors(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	return entries(path);
}

struct leftovers {
	struct xen_usage xen;
	unsigned descriptors;
};

static struct leftovers count(struct torture *t)
{
	struct leftovers l = {.descriptors = descriptors(t->h->daemon)};

	assert_int_equal(xen_usage(t->h->xen, &l.xen), 0);
	return l;
}

/* Once nothing changes any more. */
static struct leftovers settled(struct torture *t)
{
	struct leftovers last, now = count(t);

	do {
		last = now;
		usleep(100000);
		now = count(t);
	} while (memcmp(&last, &now, sizeof now));
	return now;
}

static void no_leak(struct torture *t, const struct leftovers *before)
{
	char disks[96];
	struct leftovers after;

	snprintf(disks, sizeof disks, "%s/disks", t->h->dir);
	assert_int_equal(entries(disks), 0);
	/* The last connections of the dead are closed by their ends, a moment later. */
	for (int i = 0; i < WAIT_MS; i++) {
		after = count(t);
		if (after.xen.clients <= before->xen.clients &&
		    after.xen.store_conns <= before->xen.store_conns &&
		    after.descriptors <= before->descriptors)
			break;
		usleep(1000);
	}
	assert_int_equal(after.xen.maps, before->xen.maps);
	assert_int_equal(after.xen.grants, before->xen.grants);
	assert_int_equal(after.xen.ports, before->xen.ports);
	assert_int_equal(after.xen.interdomain, before->xen.interdomain);
	assert_int_equal(after.xen.clients, before->xen.clients);
	assert_int_equal(after.xen.store_conns, before->xen.store_conns);
	assert_int_equal(after.descriptors, before->descriptors);
}

/* ---- the same under way: all disks connected, nothing in flight ---- */

struct in_use {
	uint32_t maps; /* without those that front ends leave to us on purpose */
	uint32_t ports, interdomain, clients, store_conns;
	unsigned descriptors, of_worker[DISKS];
	char files[8192]; /* in the run directory */
};

static void list_files(struct torture *t, char *text, size_t cap)
{
	char command[120];

	snprintf(command, sizeof command, "cd %s && find . | sort", t->h->dir);
	FILE *p = popen(command, "re");
	assert_non_null(p);
	size_t n = fread(text, 1, cap - 1, p);
	text[n] = '\0';
	pclose(p);
}

static void look(struct torture *t, struct in_use *u)
{
	struct xen_usage xen;

	memset(u, 0, sizeof *u);
	for (unsigned i = 0; i < DISKS; i++) {
		pid_t pid = host_worker(t->h, t->v[i].id);
		char path[40];
		snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
		u->of_worker[i] = pid && !access(path, R_OK) ? descriptors(pid) : 0;
		uint32_t kept = (uint32_t)host_stat(t->h, t->v[i].id, "persistent");
		assert_true(is_persistent(i) || !kept);
		t->kept_pages |= kept != 0;
		u->maps -= kept;
	}
	assert_int_equal(xen_usage(t->h->xen, &xen), 0);
	u->maps += xen.maps;
	u->ports = xen.ports;
	u->interdomain = xen.interdomain;
	u->clients = xen.clients;
	u->store_conns = xen.store_conns;
	u->descriptors = descriptors(t->h->daemon);
	list_files(t, u->files, sizeof u->files);
}

static void everybody_rests(struct torture *t, bool rest)
{
	for (unsigned i = 0; i < DISKS; i++)
		__atomic_store_n(&t->v[i].board->rest, rest, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < DISKS; i++)
		while (__atomic_load_n(&t->v[i].board->resting, __ATOMIC_ACQUIRE) != rest) {
			writer_check(t->v[i].writer);
			usleep(1000);
		}
}

/* What the last kill left is tidied up a moment later. */
static void no_leak_so_far(struct torture *t, const struct in_use *before)
{
	struct in_use now;

	everybody_rests(t, true);
	for (int i = 0; i < WAIT_MS / 10; i++) {
		look(t, &now);
		if (!memcmp(&now, before, sizeof now))
			break;
		usleep(10000);
	}
	assert_int_equal(now.maps, before->maps);
	assert_int_equal(now.ports, before->ports);
	assert_int_equal(now.interdomain, before->interdomain);
	assert_int_equal(now.clients, before->clients);
	assert_int_equal(now.store_conns, before->store_conns);
	assert_int_equal(now.descriptors, before->descriptors);
	for (unsigned i = 0; i < DISKS; i++)
		assert_int_equal(now.of_worker[i], before->of_worker[i]);
	assert_string_equal(now.files, before->files);
	everybody_rests(t, false);
}

/* Before the first kill: once nothing changes any more. */
static void first_look(struct torture *t, struct in_use *u)
{
	struct in_use last;

	everybody_rests(t, true);
	look(t, u);
	do {
		last = *u;
		usleep(100000);
		look(t, u);
	} while (memcmp(&last, u, sizeof last));
	everybody_rests(t, false);
}

static void start_disk(struct torture *t, unsigned i)
{
	static const char *const abis[] = {"x86_64", "x86_32", "native", "x86_64"};
	struct victim *v = &t->v[i];
	char name[16];

	snprintf(name, sizeof name, "t%u.img", i);
	const char *image = host_image(t->h, name, WRITER_BYTES);
	snprintf(v->id, sizeof v->id, "%u:xvda", i + 1);
	host_attach(t->h, &(struct disk){.domid = i + 1, .params = image}, image);
	v->writer = writer_start(&(struct writer_options){
	    .run_dir = t->h->dir,
	    .domid = i + 1,
	    .image = image,
	    .abi = abis[i % 4],
	    .ring_order = i % 2 ? 4 : 0,
	    .queues = i >= 2 ? 3 : 0,
	    .persistent = is_persistent(i),
	    .indirect = i == 0 || i == 2,
	    .seed = rnd(t),
	    .board = v->board,
	});
}

static void kills_under_load(void **state)
{
	struct torture t = {
	    .h = *state,
	    .begun = clock_ns(),
	    .wanted = (unsigned)number("KILLS", 200),
	    .bar = number("BAR", 0) != 0,
	};
	uint64_t seed = number("SEED", (uint64_t)time(NULL) * 2654435761u + (unsigned)getpid());
	struct writer_board *boards = writer_boards(DISKS);
	unsigned rounds = 0, ios = 0, looked = 0, turn = 0;
	struct leftovers before;
	struct in_use at_first;

	print_message("# SEED=%llu KILLS=%u\n", (unsigned long long)seed, t.wanted);
	fflush(stdout);
	t.rng = seed | 1;
	/* What there is with nothing attached, all connections being served. */
	host_attach(t.h, &(struct disk){.domid = DISKS}, host_image(t.h, "first.img", 1 << 20));
	host_detach(t.h, DISKS, XVDA);
	before = settled(&t);
	for (unsigned i = 0; i < DISKS; i++) {
		t.v[i].board = &boards[i];
		start_disk(&t, i);
	}
	first_look(&t, &at_first);
	while (t.kills < t.wanted) {
		usleep(rnd(&t) % 20000);
		hurt(&t, turn++);
		for (unsigned i = 0; i < DISKS; i++)
			writer_check(t.v[i].writer);
		if (t.bar)
			progress(&t);
		if (t.kills / LOOK_EVERY != looked) {
			looked = t.kills / LOOK_EVERY;
			no_leak_so_far(&t, &at_first);
		}
	}
	for (unsigned i = 0; i < DISKS; i++)
		writer_finish(t.v[i].writer, t.v[i].board);
	for (unsigned i = 0; i < DISKS; i++) {
		host_detach(t.h, i + 1, XVDA);
		rounds += t.v[i].board->round;
		ios += t.v[i].board->ios;
	}
	print_message(
	    "# %u requests in %u connections; %u kills: %u of xenblkd, %u of both at once, "
	    "%u after a stop; %u stops of workers that went on, %u of xenblkd\n",
	    ios, rounds, t.kills, t.restarts, t.both, t.stopped_dead, t.stopped_on, t.paused);
	if (t.wanted >= 200)
		assert_true(t.restarts && t.both && t.stopped_dead && t.stopped_on && t.paused &&
		            t.kept_pages);
	no_leak(&t, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(kills_under_load, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
