/* SPDX-License-Identifier: MIT */
/* The verifying writer. Nothing in the child may use cmocka's asserts. */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h>

#define SLOTS_MAX 512u /* of all queues */
#define QUEUES_MAX 16u
#define SECTORS (WRITER_BLOCK / 512)
#define WORDS 64 /* of 8 bytes, in a sector */
#define KEPT 8   /* versions of a block that are remembered */

struct op {
	struct xenblkfront_request req;
	uint8_t op;              /* BLKIF_OP_*, of an indirect request the inner one */
	uint64_t id;             /* 0: free */
	uint32_t block, version; /* of the first; all blocks of one request have one version */
	uint64_t begun;          /* w->writes then */
	bool last;               /* a read behind a barrier: sees the last version only */
	char *data;              /* w->segs pages, and one of descriptors */
	uint32_t refs[XENBLKFRONT_SEGS + 1];
};

/* What may be in a block: the version that the last finished write left, and those of the
 * unfinished. A read also may see what was overwritten while it was under way. */
struct block {
	uint16_t writers, readers;
	bool chained;   /* by queue_chain, until its read is done: no other writes */
	uint16_t raced; /* writes begun since there were no readers */
	struct {
		uint32_t version; /* 0: zeros */
		uint64_t over;    /* w->writes when a later one was done; UINT64_MAX: not yet */
	} past[KEPT];             /* newest first */
};

struct writer {
	struct writer_options o;
	struct xenblkfront *f;
	unsigned queues, depth, segs; /* depth: of each queue */
	unsigned inflight, queued[QUEUES_MAX];
	bool discard;
	uint64_t rng, next_id, writes; /* finished ones */
	uint32_t next_version;
	struct block block[WRITER_BLOCKS]; /* the same in all connections */
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

	fprintf(stderr, "# domain %u round %u: ", w->o.domid, w->o.board->round);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; front end: %s\n", w->f ? xenblkfront_error(w->f) : "none");
	_exit(1);
}

/* ---- contents ---- */

static uint64_t word(const struct writer *w, uint32_t block, uint32_t version, unsigned i)
{
	if (!version)
		return 0;
	if (i % WORDS == 0)
		return (uint64_t)block << 32 | version;
	return ((uint64_t)block << 40 ^ (uint64_t)version << 8 ^ i ^ (uint64_t)w->o.domid << 60) *
	       0x9e3779b97f4a7c15ull;
}

static void block_fill(const struct writer *w, uint32_t block, uint32_t version, void *data)
{
	for (unsigned i = 0; i < SECTORS * WORDS; i++)
		((uint64_t *)data)[i] = word(w, block, version, i);
}

static bool sector_is(const struct writer *w, uint32_t block, uint32_t version, unsigned sector,
                      const uint64_t *data)
{
	for (unsigned i = sector * WORDS; i < (sector + 1) * WORDS; i++)
		if (data[i] != word(w, block, version, i))
			return false;
	return true;
}

/* Sector by sector: one that is torn is never right. since: w->writes when the look began. */
static void block_check(const struct writer *w, uint32_t block, uint64_t since, const void *data,
                        const char *how)
{
	const struct block *b = &w->block[block];
	const uint64_t *words = data;

	for (unsigned s = 0; s < SECTORS; s++) {
		unsigned i = 0;
		while (i < KEPT && (b->past[i].over <= since ||
		                    !sector_is(w, block, b->past[i].version, s, words)))
			i++;
		if (i == KEPT)
			die(w, "%s: block %u sector %u begins with %016llx; expected version %u%s",
			    how, block, s, (unsigned long long)words[s * WORDS], b->past[0].version,
			    b->writers ? ", which is being written" : "");
	}
}

/* A write of that version begins. */
static void block_write(struct block *b, uint32_t version)
{
	memmove(&b->past[1], &b->past[0], sizeof b->past - sizeof b->past[0]);
	b->past[0].version = version;
	b->past[0].over = UINT64_MAX;
	b->writers++;
	b->raced = b->readers ? b->raced + 1 : 0;
}

/* It has ended: what was there before is over, unless it failed. */
static void block_written(struct writer *w, struct block *b, uint32_t version, bool ok)
{
	unsigned i = 0;

	b->writers--;
	if (!ok)
		return;
	while (b->past[i].version != version)
		i++;
	for (i++; i < KEPT; i++)
		if (b->past[i].over == UINT64_MAX)
			b->past[i].over = w->writes;
}

/* ---- requests ---- */

static unsigned op_queue_of(const struct writer *w, const struct op *o)
{
	return (unsigned)(o - w->op) % w->queues;
}

/* There is one. */
static struct op *op_free(struct writer *w, unsigned queue)
{
	unsigned i = queue;

	while (w->op[i].id)
		i += w->queues;
	return &w->op[i];
}

static void select_queue(struct writer *w, unsigned queue)
{
	if (xenblkfront_select(w->f, queue))
		die(w, "there is no queue %u", queue);
}

static unsigned op_blocks(const struct op *o)
{
	return o->op == BLKIF_OP_DISCARD ? (unsigned)o->req.nr_sectors / SECTORS
	                                 : o->req.nr_segments;
}

static void make_indirect(const struct writer *w, struct op *o)
{
	memcpy(o->data + (size_t)w->segs * WRITER_BLOCK, o->req.seg, sizeof o->req.seg);
	o->req.inner_op = o->op;
	o->req.op = BLKIF_OP_INDIRECT;
	o->req.indirect[0] = o->refs[w->segs];
}

static void op_queue(struct writer *w, struct op *o, uint8_t op, uint32_t block, unsigned n,
                     uint32_t version)
{
	o->req = (struct xenblkfront_request){.op = op, .sector = (uint64_t)block * SECTORS};
	o->op = op;
	o->block = block;
	o->version = version;
	o->begun = w->writes;
	o->last = false;
	o->id = ++w->next_id << 16 | (uint64_t)(o - w->op) | 1ull << 63;
	if (op == BLKIF_OP_DISCARD)
		o->req.nr_sectors = n * SECTORS;
	else
		o->req.nr_segments = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		struct block *b = &w->block[block + i];
		char *data = o->data + (size_t)i * WRITER_BLOCK;
		if (op != BLKIF_OP_DISCARD)
			o->req.seg[i] = (struct xenblkfront_seg){o->refs[i], 0, SECTORS - 1};
		if (op == BLKIF_OP_WRITE || op == BLKIF_OP_WRITE_BARRIER)
			block_fill(w, block + i, version, data);
		if (op == BLKIF_OP_READ) {
			memset(data, 0xee, WRITER_BLOCK);
			b->readers++;
		} else {
			block_write(b, version);
		}
	}
	if (w->o.indirect && op <= BLKIF_OP_WRITE && rnd(&w->rng) % 2)
		make_indirect(w, o);
	select_queue(w, op_queue_of(w, o));
	int rc = xenblkfront_queue(w->f, &o->req, o->id);
	if (rc)
		die(w, "cannot queue: %d", rc);
	w->inflight++;
	w->queued[op_queue_of(w, o)]++;
}

static void op_done(struct writer *w, unsigned queue, const struct xenblkfront_response *rsp)
{
	unsigned i = rsp->id & 0xffff;
	struct op *o = &w->op[i < SLOTS_MAX ? i : 0];
	bool ok = rsp->status == BLKIF_RSP_OKAY;

	if (i >= w->depth * w->queues || o->id != rsp->id || op_queue_of(w, o) != queue)
		die(w, "answer to %llx, which is not in flight", (unsigned long long)rsp->id);
	if (rsp->op != o->op || !(ok || (w->o.errors && rsp->status == BLKIF_RSP_ERROR)))
		die(w, "op %u block %u version %u: answered op %u status %d", o->op, o->block,
		    o->version, rsp->op, rsp->status);
	if (o->op != BLKIF_OP_READ)
		w->writes++;
	for (unsigned n = 0; n < op_blocks(o); n++) {
		struct block *b = &w->block[o->block + n];
		if (o->op != BLKIF_OP_READ) {
			block_written(w, b, o->version, ok);
			continue;
		}
		if (!--b->readers)
			b->raced = 0;
		if (o->last)
			b->chained = false;
		if (ok)
			block_check(w, o->block + n, o->last ? w->writes : o->begun,
			            o->data + (size_t)n * WRITER_BLOCK, "read");
	}
	o->id = 0;
	w->inflight--;
	w->queued[queue]--;
	__atomic_fetch_add(&w->o.board->ios, 1, __ATOMIC_RELAXED);
}

/* Those of one queue that are there. */
static unsigned reap_queue(struct writer *w, unsigned queue)
{
	struct xenblkfront_response rsp[64];

	select_queue(w, queue);
	int n = xenblkfront_reap(w->f, rsp, 64, 0);
	if (n == -ETIMEDOUT)
		return 0;
	if (n < 0)
		die(w, "queue %u: no answers: %d", queue, n);
	for (int i = 0; i < n; i++)
		op_done(w, queue, &rsp[i]);
	return (unsigned)n;
}

static void reap(struct writer *w, bool wait)
{
	for (;;) {
		unsigned n = 0;
		for (unsigned q = 0; q < w->queues; q++)
			n += reap_queue(w, q);
		if (n || !wait)
			return;
		int rc = xenblkfront_wait(w->f, (int)w->o.patience_ms);
		if (rc)
			die(w, "%u requests in flight, no answer: %d", w->inflight, rc);
	}
}

/* Writes never overlap writes, but for those of a chain. They may meet reads, as long as what these
 * may see is remembered. */
static bool may_write(const struct writer *w, uint32_t block, unsigned n, bool alone)
{
	for (unsigned i = 0; i < n; i++) {
		const struct block *b = &w->block[block + i];
		if (b->writers || b->chained || (alone && b->readers) || b->raced >= KEPT / 2 ||
		    b->past[KEPT / 2].over == UINT64_MAX)
			return false;
	}
	return true;
}

/* Overlapping writes in flight, kept apart by barriers alone: the last one counts. */
static void queue_chain(struct writer *w, unsigned queue, uint32_t block)
{
	struct op *o;

	for (unsigned i = 0; i < 4; i++) {
		o = op_free(w, queue);
		if (i % 2)
			op_queue(w, o, BLKIF_OP_WRITE_BARRIER, 0, 0, 0);
		else
			op_queue(w, o, BLKIF_OP_WRITE, block, 1, ++w->next_version);
	}
	o = op_free(w, queue);
	op_queue(w, o, BLKIF_OP_READ, block, 1, 0);
	o->last = w->block[block].chained = true;
}

static void queue_one(struct writer *w)
{
	unsigned what = rnd(&w->rng) % 100, n = 1 + rnd(&w->rng) % w->segs;
	uint32_t block = rnd(&w->rng) % (WRITER_BLOCKS - n);
	bool write = may_write(w, block, n, false);
	unsigned queue = rnd(&w->rng) % w->queues;

	if (w->queued[queue] == w->depth)
		return;

	if (what < 2)
		op_queue(w, op_free(w, queue), BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0);
	else if (what < 4 && w->depth - w->queued[queue] >= 5 && may_write(w, block, 1, true))
		queue_chain(w, queue, block);
	else if (what < 6 && write)
		op_queue(w, op_free(w, queue), BLKIF_OP_WRITE_BARRIER, block, n, ++w->next_version);
	else if (what < 9 && w->discard && write)
		op_queue(w, op_free(w, queue), BLKIF_OP_DISCARD, block, n, 0);
	else if (what < 50 || !write)
		op_queue(w, op_free(w, queue), BLKIF_OP_READ, block, n, 0);
	else
		op_queue(w, op_free(w, queue), BLKIF_OP_WRITE, block, n, ++w->next_version);
}

/* ---- connections ---- */

static void check_all(struct writer *w)
{
	char *all = malloc(WRITER_BYTES);

	if (xenblkfront_read(w->f, 0, all, WRITER_BYTES)) {
		if (!w->o.errors)
			die(w, "cannot read it all");
	} else {
		for (uint32_t b = 0; b < WRITER_BLOCKS; b++)
			block_check(w, b, w->writes, all + (size_t)b * WRITER_BLOCK, "all");
	}
	free(all);
}

static void check_image(struct writer *w)
{
	static uint64_t block[WRITER_BLOCK / 8];
	int fd = open(w->o.image, O_RDONLY | O_CLOEXEC);

	for (uint32_t b = 0; b < WRITER_BLOCKS; b++) {
		if (pread(fd, block, WRITER_BLOCK, (off_t)b * WRITER_BLOCK) != WRITER_BLOCK)
			die(w, "cannot read %s", w->o.image);
		block_check(w, b, w->writes, block, "image");
	}
	close(fd);
}

static void connect_front(struct writer *w)
{
	struct xenblkfront_info info;

	if (xenblkfront_connect(w->f) || xenblkfront_get_info(w->f, &info))
		die(w, "cannot connect");
	__atomic_fetch_add(&w->o.board->round, 1, __ATOMIC_RELEASE);
	w->discard = info.discard;
	w->queues = info.queues;
	w->depth =
	    info.ring_slots < SLOTS_MAX / w->queues ? info.ring_slots : SLOTS_MAX / w->queues;
	/* Long requests on the small ring, many on the big one. */
	w->segs = w->depth > 64 ? 1 : XENBLKFRONT_SEGS;
	for (unsigned i = 0; i < w->depth * w->queues; i++)
		if (!w->op[i].data && xenblkfront_alloc(w->f, w->segs + 1, true,
		                                        (void **)&w->op[i].data, w->op[i].refs))
			die(w, "cannot grant memory");
}

static bool held(const struct writer *w)
{
	return __atomic_load_n(&w->o.board->hold, __ATOMIC_ACQUIRE);
}

static void kick(struct writer *w)
{
	for (unsigned q = 0; q < w->queues; q++) {
		select_queue(w, q);
		if (xenblkfront_kick(w->f))
			die(w, "cannot kick");
	}
}

static void rest(struct writer *w)
{
	while (w->inflight)
		reap(w, true);
	/* Release, and acquire: the test looks at what is there in between. */
	__atomic_store_n(&w->o.board->resting, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&w->o.board->rest, __ATOMIC_ACQUIRE))
		usleep(1000);
	__atomic_store_n(&w->o.board->resting, false, __ATOMIC_RELEASE);
}

static void serve_round(struct writer *w)
{
	uint64_t ms = w->o.round_ms + rnd(&w->rng) % w->o.round_ms;
	uint64_t end = clock_ns() + ms * NS_PER_MS;

	while (clock_ns() < end || held(w)) {
		if (__atomic_load_n(&w->o.board->rest, __ATOMIC_ACQUIRE))
			rest(w);
		for (unsigned n = rnd(&w->rng) % 40; n; n--)
			queue_one(w);
		kick(w);
		if (w->inflight)
			reap(w, w->inflight > w->depth * w->queues / 2);
		/* Also let it sleep, so that waking it is tried. */
		if (rnd(&w->rng) % 64 == 0)
			while (w->inflight)
				reap(w, true);
	}
	while (w->inflight)
		reap(w, true);
}

static void __attribute__((noreturn)) run(struct writer *w)
{
	struct xenblkfront_options opt = {
	    .run_dir = w->o.run_dir,
	    .domid = w->o.domid,
	    .vdev = w->o.vdev,
	    .abi = w->o.abi,
	    .ring_order = w->o.ring_order,
	    .queues = w->o.queues,
	    .persistent = w->o.persistent,
	    .timeout_ms = w->o.patience_ms,
	};

	if (xenblkfront_open(&opt, &w->f))
		die(w, "cannot open");
	while (!__atomic_load_n(&w->o.board->stop, __ATOMIC_ACQUIRE)) {
		connect_front(w);
		serve_round(w);
		check_all(w);
		if (xenblkfront_disconnect(w->f))
			die(w, "cannot disconnect");
		if (w->o.image)
			check_image(w);
	}
	xenblkfront_close(w->f);
	_exit(0);
}

/* ---- the test's side ---- */

struct writer_board *writer_boards(unsigned n)
{
	void *map = mmap(NULL, n * sizeof(struct writer_board), PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	return map;
}

pid_t writer_start(const struct writer_options *opt)
{
	fflush(NULL);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct writer *w = calloc(1, sizeof *w);
	if (!w)
		_exit(1);
	w->o = *opt;
	w->o.vdev = opt->vdev ? opt->vdev : "xvda";
	w->o.round_ms = opt->round_ms ? opt->round_ms : 250;
	w->o.patience_ms = opt->patience_ms ? opt->patience_ms : 30000;
	w->rng = opt->seed | 1;
	for (unsigned i = 0; i < WRITER_BLOCKS; i++)
		w->block[i].past[0].over = UINT64_MAX;
	run(w);
}

static void judge(pid_t writer, int status)
{
	if (status)
		fail_msg("writer %d ended with status %x; see above", (int)writer, status);
}

void writer_check(pid_t writer)
{
	int status;

	if (waitpid(writer, &status, WNOHANG) == writer)
		fail_msg("writer %d ended early with status %x; see above", (int)writer, status);
}

void writer_finish(pid_t writer, struct writer_board *board)
{
	int status;

	/* Release: it reads hold after stop. */
	__atomic_store_n(&board->stop, true, __ATOMIC_RELEASE);
	__atomic_store_n(&board->hold, false, __ATOMIC_RELEASE);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	judge(writer, status);
}
