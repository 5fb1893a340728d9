/* SPDX-License-Identifier: MIT */
/*
 * Verified load while workers and the supervisor are killed at random: no request fails or is
 * answered twice, no block is wrong, old or late. Each block's bytes name its disk, address and
 * version. TORTURE_SEED repeats a run (as far as the machine's timing allows), TORTURE_SECONDS sets
 * its length.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h>

#define DISKS 4
#define BLOCK 4096u
#define BLOCKS 512u
#define SLOTS_MAX 512u
/* Two rounds share a connection at most: the fifth death within 10 s is a crash loop, and a request
 * that three workers fell over is answered ERROR. */
#define KILLS_A_ROUND 2u
#define FAULTS_A_ROUND 1u
#define PATIENCE_MS 30000

/* Shared between the test and the process that writes to the disk. */
struct board {
	unsigned round; /* connections begun: by the writer */
	unsigned ios;   /* requests answered: by the writer */
	bool stop;      /* by the test */
};

struct op {
	struct xenblkfront_request req;
	uint64_t id;             /* 0: free */
	uint32_t block, version; /* of the first; all blocks of one request have one version */
	char *data;
	uint32_t refs[XENBLKFRONT_SEGS];
};

/* One writer process; nothing here may use cmocka: it is a child. */
struct writer {
	struct xenblkfront *f;
	struct board *board;
	const char *image;
	unsigned disk, depth, segs;
	bool discard;
	uint64_t rng, next_id;
	unsigned inflight;
	uint32_t next_version;
	uint32_t version[BLOCKS]; /* as last asked for; 0: zeros */
	uint16_t writers[BLOCKS], readers[BLOCKS];
	struct op op[SLOTS_MAX];
};

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void __attribute__((noreturn, format(printf, 2, 3)))
die(const struct writer *w, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "# disk %u round %u: ", w->disk, w->board->round);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; front end: %s\n", w->f ? xenblkfront_error(w->f) : "none");
	_exit(1);
}

/* The bytes of a block: sector by sector, so that a torn one is seen. */
static void block_fill(const struct writer *w, uint32_t block, uint32_t version, void *data)
{
	uint64_t *word = data;

	for (unsigned i = 0; i < BLOCK / 8; i++) {
		uint64_t x = i % 64 == 0 ? (uint64_t)block << 32 | version
		                         : ((uint64_t)block << 40 ^ (uint64_t)version << 8 ^ i ^
		                            (uint64_t)w->disk << 60) *
		                               0x9e3779b97f4a7c15ull;
		word[i] = version ? x : 0;
	}
}

static void block_check(const struct writer *w, uint32_t block, uint32_t version, const void *data,
                        const char *how)
{
	uint64_t want[BLOCK / 8];

	block_fill(w, block, version, want);
	for (unsigned i = 0; i < BLOCK / 8; i++)
		if (((const uint64_t *)data)[i] != want[i])
			die(w, "%s: block %u word %u is %llx, expected %llx (version %u)", how,
			    block, i, (unsigned long long)((const uint64_t *)data)[i],
			    (unsigned long long)want[i], version);
}

static struct op *op_free(struct writer *w)
{
	for (unsigned i = 0; i < w->depth; i++)
		if (!w->op[i].id)
			return &w->op[i];
	return NULL;
}

static void op_queue(struct writer *w, struct op *o, uint8_t op, uint32_t block, unsigned n,
                     uint32_t version)
{
	o->req = (struct xenblkfront_request){.op = op, .sector = (uint64_t)block * 8};
	o->block = block;
	o->version = version;
	o->id = ++w->next_id << 16 | (uint64_t)(o - w->op) | 1ull << 63;
	if (op == BLKIF_OP_DISCARD)
		o->req.nr_sectors = n * 8;
	else
		o->req.nr_segments = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		if (op != BLKIF_OP_DISCARD)
			o->req.seg[i] = (struct xenblkfront_seg){o->refs[i], 0, 7};
		if (op == BLKIF_OP_WRITE || op == BLKIF_OP_WRITE_BARRIER)
			block_fill(w, block + i, version, o->data + (size_t)i * BLOCK);
		if (op == BLKIF_OP_READ) {
			memset(o->data + (size_t)i * BLOCK, 0xee, BLOCK);
			w->readers[block + i]++;
		} else {
			w->writers[block + i]++;
			w->version[block + i] = version;
		}
	}
	int rc = xenblkfront_queue(w->f, &o->req, o->id);
	if (rc)
		die(w, "cannot queue: %d", rc);
	w->inflight++;
}

static unsigned op_blocks(const struct op *o)
{
	return o->req.op == BLKIF_OP_DISCARD ? (unsigned)o->req.nr_sectors / 8 : o->req.nr_segments;
}

static void op_done(struct writer *w, const struct xenblkfront_response *rsp)
{
	unsigned i = rsp->id & 0xffff;
	struct op *o = &w->op[i < SLOTS_MAX ? i : 0];

	if (i >= w->depth || o->id != rsp->id)
		die(w, "answer to %llx, which is not in flight", (unsigned long long)rsp->id);
	if (rsp->status || rsp->op != o->req.op)
		die(w, "op %u block %u version %u: answered op %u status %d", o->req.op, o->block,
		    o->version, rsp->op, rsp->status);
	for (unsigned n = 0; n < op_blocks(o); n++) {
		uint32_t b = o->block + n;
		if (o->req.op == BLKIF_OP_READ) {
			/* Blocks of one read may have different versions, which nobody writes now.
			 */
			block_check(w, b, w->version[b], o->data + (size_t)n * BLOCK, "read");
			w->readers[b]--;
		} else {
			w->writers[b]--;
		}
	}
	o->id = 0;
	w->inflight--;
	__atomic_fetch_add(&w->board->ios, 1, __ATOMIC_RELAXED);
}

static void reap(struct writer *w, int timeout_ms)
{
	struct xenblkfront_response rsp[64];
	int n = xenblkfront_reap(w->f, rsp, 64, timeout_ms);

	if (n == -ETIMEDOUT && !timeout_ms)
		return;
	if (n < 0)
		die(w, "%u requests in flight, no answer: %d", w->inflight, n);
	for (int i = 0; i < n; i++)
		op_done(w, &rsp[i]);
}

static bool idle(const struct writer *w, uint32_t block, unsigned n, bool for_write)
{
	for (unsigned i = 0; i < n; i++)
		if (w->writers[block + i] || (for_write && w->readers[block + i]))
			return false;
	return true;
}

/* Overlapping writes in flight, kept apart by barriers alone: the last one counts. */
static void queue_chain(struct writer *w, uint32_t block)
{
	for (unsigned i = 0; i < 4; i++) {
		struct op *o = op_free(w);
		if (i % 2)
			op_queue(w, o, BLKIF_OP_WRITE_BARRIER, 0, 0, 0);
		else
			op_queue(w, o, BLKIF_OP_WRITE, block, 1, ++w->next_version);
	}
	op_queue(w, op_free(w), BLKIF_OP_READ, block, 1, 0);
}

static void queue_one(struct writer *w)
{
	unsigned what = rnd(&w->rng) % 100, n = 1 + rnd(&w->rng) % w->segs;
	uint32_t block = rnd(&w->rng) % (BLOCKS - n);

	if (what < 2)
		op_queue(w, op_free(w), BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	else if (what < 4 && w->depth - w->inflight >= 5 && idle(w, block, 1, true))
		queue_chain(w, block);
	else if (what < 6 && idle(w, block, n, true))
		op_queue(w, op_free(w), BLKIF_OP_WRITE_BARRIER, block, n, ++w->next_version);
	else if (what < 9 && w->discard && idle(w, block, n, true))
		op_queue(w, op_free(w), BLKIF_OP_DISCARD, block, n, 0);
	else if (what < 50 && idle(w, block, n, false))
		op_queue(w, op_free(w), BLKIF_OP_READ, block, n, 0);
	else if (idle(w, block, n, true))
		op_queue(w, op_free(w), BLKIF_OP_WRITE, block, n, ++w->next_version);
}

static void check_all(struct writer *w)
{
	char *all = malloc(BLOCKS * BLOCK);

	if (xenblkfront_read(w->f, 0, all, BLOCKS * BLOCK))
		die(w, "cannot read it all");
	for (uint32_t b = 0; b < BLOCKS; b++)
		block_check(w, b, w->version[b], all + (size_t)b * BLOCK, "all");
	free(all);
}

static void check_image(struct writer *w)
{
	char block[BLOCK];
	int fd = open(w->image, O_RDONLY | O_CLOEXEC);

	for (uint32_t b = 0; b < BLOCKS; b++) {
		if (pread(fd, block, BLOCK, (off_t)b * BLOCK) != BLOCK)
			die(w, "cannot read %s", w->image);
		block_check(w, b, w->version[b], block, "image");
	}
	close(fd);
}

static void connect_front(struct writer *w)
{
	struct xenblkfront_info info;

	__atomic_fetch_add(&w->board->round, 1, __ATOMIC_RELEASE);
	if (xenblkfront_connect(w->f) || xenblkfront_get_info(w->f, &info))
		die(w, "cannot connect");
	w->discard = info.discard;
	w->depth = info.ring_slots;
	/* Long requests on the small ring, many on the big one. */
	w->segs = w->depth > 64 ? 1 : XENBLKFRONT_SEGS;
	for (unsigned i = 0; i < w->depth; i++)
		if (!w->op[i].data &&
		    xenblkfront_alloc(w->f, w->segs, true, (void **)&w->op[i].data, w->op[i].refs))
			die(w, "cannot grant memory");
}

static void __attribute__((noreturn))
writer_main(struct host *h, unsigned disk, const char *image, struct board *board, uint64_t seed)
{
	static const char *const abis[] = {"x86_64", "x86_32", "native", "x86_64"};
	struct xenblkfront_options opt = {
	    .run_dir = h->dir,
	    .domid = disk + 1,
	    .vdev = "xvda",
	    .abi = abis[disk % 4],
	    .ring_order = disk % 2 ? 4 : 0,
	    .timeout_ms = PATIENCE_MS,
	};
	struct writer *w = calloc(1, sizeof *w);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	w->board = board;
	w->image = image;
	w->disk = disk;
	w->rng = seed;
	if (xenblkfront_open(&opt, &w->f))
		die(w, "cannot open");
	while (!__atomic_load_n(&board->stop, __ATOMIC_ACQUIRE)) {
		uint64_t end = clock_ns() + (200 + rnd(&w->rng) % 500) * NS_PER_MS;
		connect_front(w);
		while (clock_ns() < end) {
			for (unsigned n = rnd(&w->rng) % 40; n && w->inflight < w->depth; n--)
				queue_one(w);
			if (xenblkfront_kick(w->f))
				die(w, "cannot kick");
			if (w->inflight)
				reap(w, w->inflight > w->depth / 2 ? PATIENCE_MS : 0);
			/* Also let it sleep, so that waking it is tried. */
			if (rnd(&w->rng) % 64 == 0)
				while (w->inflight)
					reap(w, PATIENCE_MS);
		}
		while (w->inflight)
			reap(w, PATIENCE_MS);
		check_all(w);
		if (xenblkfront_disconnect(w->f))
			die(w, "cannot disconnect");
		check_image(w);
	}
	xenblkfront_close(w->f);
	_exit(0);
}

/* What the test does to one disk. */
struct victim {
	struct board *board;
	pid_t writer;
	char id[16];
	unsigned round, kills, faults; /* in that round */
};

static void hurt(struct host *h, struct victim *v, uint64_t *rng, unsigned *kills)
{
	unsigned round = __atomic_load_n(&v->board->round, __ATOMIC_ACQUIRE);
	pid_t pid = host_worker(h, v->id);
	int sig = SIGKILL;

	if (round != v->round) {
		v->round = round;
		v->kills = v->faults = 0;
	}
	if (!pid || v->kills == KILLS_A_ROUND)
		return;
	if (v->faults < FAULTS_A_ROUND && rnd(rng) % 4 == 0) {
		v->faults++;
		sig = SIGILL; /* not SIGSEGV, which sanitizers catch */
	}
	if (rnd(rng) % 8 == 0) {
		/* Completions pile up, then it goes on or dies. */
		kill(pid, SIGSTOP);
		usleep(rnd(rng) % 20000);
		kill(pid, SIGCONT);
	}
	kill(pid, sig);
	v->kills++;
	++*kills;
}

static void restart_daemon(struct host *h, uint64_t *rng)
{
	host_daemon_kill(h, rnd(rng) % 2 ? SIGKILL : SIGTERM);
	host_daemon_start(h, NULL);
}

static void writers_check(struct victim *v)
{
	for (unsigned i = 0; i < DISKS; i++) {
		int status;
		if (v[i].writer && waitpid(v[i].writer, &status, WNOHANG) == v[i].writer) {
			v[i].writer = 0;
			fail_msg("disk %s: its writer ended with status %x; see above", v[i].id,
			         status);
		}
	}
}

static void kills_under_load(void **state)
{
	struct host *h = *state;
	const char *env = getenv("TORTURE_SEED"), *secs = getenv("TORTURE_SECONDS");
	uint64_t seed =
	    env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + (unsigned)getpid();
	uint64_t rng = seed | 1, end = clock_ns() + (secs ? strtoul(secs, NULL, 0) : 20) * NS_PER_S;
	struct board *boards =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct victim v[DISKS] = {0};
	unsigned kills = 0, restarts = 0, rounds = 0, ios = 0;

	print_message("# TORTURE_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < DISKS; i++) {
		char name[16];
		snprintf(name, sizeof name, "t%u.img", i);
		const char *image = host_image(h, name, BLOCKS * BLOCK);
		snprintf(v[i].id, sizeof v[i].id, "%u:xvda", i + 1);
		host_attach(h, &(struct disk){.domid = i + 1, .params = image}, image);
		v[i].board = &boards[i];
		fflush(NULL);
		v[i].writer = fork();
		assert_true(v[i].writer >= 0);
		if (!v[i].writer)
			writer_main(h, i, image, v[i].board, rnd(&rng));
	}
	while (clock_ns() < end) {
		usleep(rnd(&rng) % 40000);
		hurt(h, &v[rnd(&rng) % DISKS], &rng, &kills);
		if (rnd(&rng) % 200 == 0) {
			restart_daemon(h, &rng);
			restarts++;
		}
		writers_check(v);
	}
	for (unsigned i = 0; i < DISKS; i++)
		__atomic_store_n(&v[i].board->stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < DISKS; i++) {
		int status;
		assert_int_equal(waitpid(v[i].writer, &status, 0), v[i].writer);
		v[i].writer = 0;
		if (status)
			fail_msg("disk %s: its writer ended with status %x; see above", v[i].id,
			         status);
		host_detach(h, i + 1, XVDA);
		rounds += v[i].board->round;
		ios += v[i].board->ios;
	}
	print_message("# %u requests, %u workers killed, %u restarts of xenblkd, %u connections\n",
	              ios, kills, restarts, rounds);
	assert_true(kills > 0 && rounds >= DISKS);
	munmap(boards, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(kills_under_load, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
