/* SPDX-License-Identifier: MIT */
/*
 * Random operations from several queues against a model of a disk: overlapping ranges, all layouts,
 * copied and persistent grants, direct and indirect requests, barriers, workers killed in between.
 * Each sector's bytes name the write they come from, and the model knows which writes a read may
 * see: those in flight while it was, and those not certainly written over before it began. On a
 * disk with a volatile cache the power is cut, and what is on the disk then is checked against what
 * flushes and barriers had promised.
 * MODEL_SEED repeats a run (as far as timing allows), MODEL_SECONDS sets its length.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "disk_model.h"
#include "loop_device.h"
#include "power.h"

#define ID "1:xvda"

/* ---- requests ---- */

static bool has_data(const struct op *o)
{
	return o->kind == BLKIF_OP_READ || o->kind == BLKIF_OP_WRITE ||
	       (o->kind == BLKIF_OP_WRITE_BARRIER && o->sectors);
}

static bool changes(const struct op *o)
{
	return (has_data(o) && o->kind != BLKIF_OP_READ) || o->kind == BLKIF_OP_DISCARD;
}

/* Cuts the range into segments at random places of pages in random order. */
static void cut(struct model *m, struct op *o, unsigned most)
{
	uint32_t left = o->sectors;
	uint8_t page = (uint8_t)rnd(m, PAGES);

	o->segments = 0;
	o->sectors = 0;
	while (left && o->segments < most) {
		uint32_t room = 8 / m->unit, first = rnd(m, room) * m->unit;
		uint32_t n = (1 + rnd(m, room - first / m->unit)) * m->unit;
		if (rnd(m, 3)) { /* mostly whole pages, as front ends have them */
			first = 0;
			n = 8;
		}
		n = n > left ? left : n;
		o->seg[o->segments].page = page;
		o->seg[o->segments].first = (uint8_t)first;
		o->seg[o->segments].last = (uint8_t)(first + n - 1);
		o->segments++;
		page = (uint8_t)((page + 1) % PAGES);
		left -= n;
		o->sectors += n;
	}
}

static void each_sector(struct model *m, struct op *o,
                        void (*fn)(struct model *m, const struct op *o, uint32_t sector,
                                   uint8_t *data))
{
	uint32_t sector = o->sector;

	for (unsigned i = 0; i < o->segments; i++)
		for (unsigned k = o->seg[i].first; k <= o->seg[i].last; k++)
			fn(m, o, sector++, o->pages + o->seg[i].page * 4096 + k * 512);
}

static void put_sector(struct model *m, const struct op *o, uint32_t sector, uint8_t *data)
{
	fill(o->id, sector, data);
}

static void spoil_sector(struct model *m, const struct op *o, uint32_t sector, uint8_t *data)
{
	memset(data, 0xee, 512);
}

static void check_sector(struct model *m, const struct op *o, uint32_t sector, uint8_t *data)
{
	read_saw(m, o, sector, data);
}

static void describe(struct op *o, struct xenblkfront_request *r, bool indirect)
{
	struct blkif_request_segment *d = (void *)(o->pages + PAGES * 4096);

	*r = (struct xenblkfront_request){.op = o->kind, .sector = o->sector};
	if (o->kind == BLKIF_OP_DISCARD)
		r->nr_sectors = o->sectors;
	r->nr_segments = (uint16_t)o->segments;
	for (unsigned i = 0; i < o->segments; i++) {
		uint32_t ref = o->refs[o->seg[i].page];
		if (indirect)
			d[i] = (struct blkif_request_segment){.gref = ref,
			                                      .first_sect = o->seg[i].first,
			                                      .last_sect = o->seg[i].last};
		else
			r->seg[i] = (struct xenblkfront_seg){ref, o->seg[i].first, o->seg[i].last};
	}
	if (indirect) {
		r->inner_op = r->op;
		r->op = BLKIF_OP_INDIRECT;
		r->indirect[0] = o->refs[PAGES];
	}
}

static void choose(struct model *m, struct op *o)
{
	uint32_t what = rnd(m, 100), most = 11;
	bool large = m->indirect && rnd(m, 3) == 0;

	o->kind = what < 45    ? BLKIF_OP_READ
	          : what < 85  ? BLKIF_OP_WRITE
	          : what < 91  ? BLKIF_OP_WRITE_BARRIER
	          : what < 95  ? BLKIF_OP_FLUSH_DISKCACHE
	          : m->discard ? BLKIF_OP_DISCARD
	                       : BLKIF_OP_WRITE;
	o->sectors = o->segments = 0;
	o->sector = rnd(m, SECTORS / m->unit) * m->unit;
	if (o->kind == BLKIF_OP_FLUSH_DISKCACHE || (o->kind == BLKIF_OP_WRITE_BARRIER && rnd(m, 2)))
		return;
	if (large && o->kind <= BLKIF_OP_WRITE)
		most = PAGES;
	o->sectors = (1 + rnd(m, rnd(m, 4) ? 24 / m->unit : most * 8 / m->unit)) * m->unit;
	if (o->sectors > SECTORS - o->sector)
		o->sectors = SECTORS - o->sector;
	if (o->kind != BLKIF_OP_DISCARD)
		cut(m, o, most);
}

static void ask(struct model *m, unsigned q, struct op *o)
{
	struct xenblkfront_request r;

	choose(m, o);
	if (changes(o) && !room_for_write(m, o->sector, o->sectors))
		return;
	bool indirect =
	    o->segments > 11 || (m->indirect && o->kind <= BLKIF_OP_WRITE && rnd(m, 8) == 0);
	o->id = o->kind == BLKIF_OP_DISCARD ? 0 : ++m->next_id;
	o->start = ++m->now;
	o->order = ++m->next_order;
	o->maybe = false;
	o->queue = q;
	bool barrier = o->kind == BLKIF_OP_WRITE_BARRIER;
	o->epoch = m->epoch[q] + barrier;
	m->epoch[q] += 2 * barrier;
	each_sector(m, o, o->kind == BLKIF_OP_READ ? spoil_sector : put_sector);
	describe(o, &r, indirect);
	if (changes(o))
		write_begins(m, o);
	assert_front(m->f, xenblkfront_queue(m->f, &r, q << 8 | (unsigned)(o - m->op[q])));
	o->busy = true;
	m->issued++;
}

/* In its queue nothing overtakes a barrier, and a barrier overtakes nothing. */
static void check_order(struct model *m, unsigned q, const struct op *done)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		struct op *o = &m->op[q][i];
		if (!o->busy || o == done)
			continue;
		if (done->kind == BLKIF_OP_WRITE_BARRIER && o->order < done->order)
			model_fail(m, "queue %u: a barrier was answered before what came before it",
			           q);
		if (o->kind == BLKIF_OP_WRITE_BARRIER && o->order < done->order)
			model_fail(m,
			           "queue %u: operation %u was answered before a barrier before it",
			           q, done->kind);
	}
}

static void take(struct model *m, unsigned q)
{
	struct xenblkfront_response rsp[DEPTH];
	int n;

	assert_front(m->f, xenblkfront_select(m->f, q));
	n = xenblkfront_reap(m->f, rsp, DEPTH, 0);
	if (n == -ETIMEDOUT)
		return;
	assert_front(m->f, n);
	for (int i = 0; i < n; i++) {
		unsigned slot = rsp[i].id & 0xff;
		struct op *o = &m->op[q][slot < DEPTH ? slot : 0];
		if (rsp[i].id >> 8 != q || slot >= DEPTH || !o->busy)
			model_fail(m, "queue %u: answer to %llx, which is not in flight", q,
			           (unsigned long long)rsp[i].id);
		if (rsp[i].status || rsp[i].op != o->kind)
			model_fail(m, "queue %u: operation %u at %u: answered %u, %d", q, o->kind,
			           o->sector, rsp[i].op, rsp[i].status);
		m->now++;
		check_order(m, q, o);
		if (o->kind == BLKIF_OP_READ)
			each_sector(m, o, check_sector);
		if (changes(o))
			write_ends(m, o);
		if (o->kind == BLKIF_OP_FLUSH_DISKCACHE || o->kind == BLKIF_OP_WRITE_BARRIER)
			flushed(m, o);
		o->busy = false;
		m->answered++;
	}
}

/* ---- sessions ---- */

static void offer_more(struct model *m)
{
	for (unsigned q = 0; q < m->queues; q++) {
		unsigned want = rnd(m, DEPTH + 1);
		assert_front(m->f, xenblkfront_select(m->f, q));
		for (unsigned i = 0; i < DEPTH && want; i++)
			if (!m->op[q][i].busy) {
				ask(m, q, &m->op[q][i]);
				want--;
			}
		assert_front(m->f, xenblkfront_kick(m->f));
	}
}

static void collect(struct model *m, bool all)
{
	do {
		if (m->issued == m->answered)
			return;
		assert_front(m->f, xenblkfront_wait(m->f, -1));
		for (unsigned q = 0; q < m->queues; q++)
			take(m, q);
	} while (all);
}

static void session_open(struct model *m)
{
	static const char *const abis[] = {"x86_64", "x86_32", "native", "none"};
	struct xenblkfront_options o = {.abi = abis[rnd(m, 4)],
	                                .ring_order = rnd(m, 3),
	                                .queues = 1 + rnd(m, QUEUES_MAX),
	                                .persistent = rnd(m, 2)};

	m->queues = o.queues;
	m->indirect = rnd(m, 4);
	print_message("# %s, order %u, %u queues, %s%s\n", o.abi, o.ring_order, o.queues,
	              o.persistent ? "persistent" : "copied", m->indirect ? ", indirect" : "");
	m->f = host_front_with(m->h, &o);
	for (unsigned q = 0; q < m->queues; q++)
		for (unsigned i = 0; i < DEPTH; i++)
			assert_front(m->f, xenblkfront_alloc(m->f, PAGES + 1, true,
			                                     (void **)&m->op[q][i].pages,
			                                     m->op[q][i].refs));
}

/* At rest, what is on the disk is one of the versions that may be there, for every sector. */
static void session_close(struct model *m)
{
	static uint8_t disk[SECTORS * 512];
	struct op o = {.start = ++m->now};

	collect(m, true);
	assert_front(m->f, xenblkfront_select(m->f, 0));
	assert_front(m->f, xenblkfront_read(m->f, 0, disk, sizeof disk));
	o.start = m->now;
	for (uint32_t s = 0; s < SECTORS; s++)
		read_saw(m, &o, s, disk + s * 512);
	front_end(m->f);
}

/* ---- power cuts ---- */

static void cut_power(struct model *m)
{
	static uint8_t disk[SECTORS * 512];
	int fd = open(m->volatile_image, O_RDONLY | O_CLOEXEC);

	power_off(m->h, ID, m->volatile_image);
	/* What was answered, was before. Answers that were not published come after it. */
	for (unsigned q = 0; q < m->queues; q++)
		take(m, q);
	for (unsigned q = 0; q < m->queues; q++)
		for (unsigned i = 0; i < DEPTH; i++)
			m->op[q][i].maybe = m->op[q][i].busy;
	assert_int_equal(pread(fd, disk, sizeof disk, 0), sizeof disk);
	close(fd);
	check_durable(m, disk);
	restart_history(m, disk);
	host_daemon_start(m->h, m->args);
	m->cuts++;
}

static unsigned seconds(unsigned normal)
{
	const char *text = getenv("MODEL_SECONDS");

	return text ? (unsigned)atoi(text) : normal;
}

static void run_model(const struct model *config, unsigned length_s)
{
	struct model *m = malloc(sizeof *m);
	const char *text = getenv("MODEL_SEED");
	uint64_t end = clock_ns() + length_s * NS_PER_S;
	uint64_t kill_at = clock_ns() + 2 * NS_PER_S;

	*m = *config;
	m->seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) << 16 | (uint64_t)getpid();
	m->rng = m->seed ?: 1;
	print_message("# MODEL_SEED=%llu\n", (unsigned long long)m->seed);
	for (uint32_t s = 0; s < SECTORS; s++)
		m->history[s][m->used[s]++] = (struct version){.end = ++m->now, .durable = true};
	/* Longer on a machine that is slow. */
	while (clock_ns() < end || m->answered <= 500 || (m->volatile_image && !m->cuts)) {
		session_open(m);
		for (unsigned round = 0; round < 400 && (clock_ns() < end || round < 100);
		     round++) {
			offer_more(m);
			/* Rarely enough to be no crash loop. */
			if (clock_ns() > kill_at) {
				if (m->volatile_image)
					cut_power(m);
				else
					kill(host_worker(m->h, ID), SIGKILL);
				kill_at = clock_ns() + 3 * NS_PER_S;
			}
			collect(m, false);
		}
		session_close(m);
	}
	print_message("# %llu requests, %u power cuts\n", (unsigned long long)m->answered, m->cuts);
	free(m);
}

/* A minute in all, wherever it runs: what loop devices do not take is the file's. */
#define ALL_SECONDS 60
static unsigned spent;

/* A disk that forgets what was not flushed, but for some of it. */
static void on_a_volatile_cache(void **state)
{
	static const char *const args[] = {"--max-queues", "4", "--test-faults", NULL};
	char image[200];
	struct host h;

	host_start(&h, args);
	snprintf(image, sizeof image, "%s",
	         faulty_disk(&h, "cache=20,delay=5/500,late=5/500,seed=6", SECTORS * 512));
	run_model(
	    &(struct model){
	        .h = &h, .unit = 1, .discard = true, .volatile_image = image, .args = args},
	    seconds(15));
	spent += 15;
	host_stop(&h);
}

/* On a device with blocks of 4 KiB. */
static void on_large_blocks(const char *const *extra, unsigned unit, unsigned length_s)
{
	char path[200], dev[64], number[32];
	struct host h;

	host_start(&h, extra);
	snprintf(path, sizeof path, "%s", host_image(&h, "a.img", SECTORS * 512));
	loop_setup(path, 4096, dev, number);
	host_disk(&h, &(struct disk){.params = dev});
	host_wait_state(&h, 1, XVDA, XS_INITWAIT);
	host_write(&h, host_be(1, XVDA), "physical-device", "%s", number);
	host_write(&h, host_be(1, XVDA), "hotplug-status", "connected");
	run_model(&(struct model){.h = &h, .unit = unit, .discard = unit == 8}, length_s);
	spent += length_s;
	host_detach(&h, 1, XVDA);
	host_stop(&h);
	loop_end(dev);
}

static void on_parts_of_blocks(void **state)
{
	on_large_blocks((const char *const[]){"--max-queues", "4", "--sector-size", "512", NULL}, 1,
	                seconds(20));
}

static void on_blocks(void **state)
{
	on_large_blocks(
	    (const char *const[]){"--max-queues", "4", "--max-persistent-grants", "100", NULL}, 8,
	    seconds(10));
}

static void on_a_file(void **state)
{
	struct host h;

	host_start(&h, (const char *const[]){"--max-queues", "4", NULL});
	const char *path = host_image(&h, "a.img", SECTORS * 512);
	host_attach(&h, &(struct disk){.params = path}, path);
	run_model(&(struct model){.h = &h, .unit = 1, .discard = true},
	          seconds(ALL_SECONDS - spent));
	host_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(on_a_volatile_cache),
	    cmocka_unit_test(on_parts_of_blocks),
	    cmocka_unit_test(on_blocks),
	    cmocka_unit_test(on_a_file),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
