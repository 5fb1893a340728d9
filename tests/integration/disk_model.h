/* SPDX-License-Identifier: MIT */
/*
 * The model of a disk that test_model.c compares the real one with. Each sector's bytes name the
 * write they come from, and the model knows which writes a read may see: those in flight while it
 * was, and those not certainly written over before it began; and which may be found after a power
 * cut: those not certainly written over by one that a flush or barrier had made durable.
 */
#ifndef TESTS_INTEGRATION_DISK_MODEL_H
#define TESTS_INTEGRATION_DISK_MODEL_H

#include "control.h"

#define SECTORS 2048u /* few, so that ranges overlap */
#define QUEUES_MAX 4u
#define DEPTH 24u   /* of each queue */
#define PAGES 40u   /* of each request */
#define HISTORY 64u /* writes remembered of each sector */

/* A write as one sector saw it. Times are counts of events: requests sent and answers taken. */
struct version {
	uint32_t id;           /* 0: zeros */
	uint64_t start, end;   /* end 0: in flight */
	uint32_t queue, epoch; /* barriers of its queue lie between epochs */
	uint64_t dead;         /* certainly written over since then; 0: not */
	bool durable;          /* a flush or barrier that was answered says so */
	bool maybe;            /* was in hand when the power was cut: done again, or lost */
};

struct op {
	bool busy;
	uint8_t kind;   /* BLKIF_OP_* */
	uint64_t start; /* effects not before */
	uint32_t queue, epoch;
	uint64_t order; /* in its queue */
	uint32_t id;    /* of a write */
	bool maybe;     /* as of its versions; a read may have seen what was lost */
	uint32_t sector, sectors;
	unsigned segments;
	struct {
		uint8_t page, first, last;
	} seg[PAGES];
	uint8_t *pages; /* PAGES of data, then one of descriptors */
	uint32_t refs[PAGES + 1];
};

struct model {
	struct host *h;
	struct xenblkfront *f;
	uint64_t rng, now, issued, answered;
	unsigned queues, unit; /* sectors that requests are multiples of */
	bool discard, indirect;
	uint32_t next_id;
	uint64_t next_order;
	uint32_t epoch[QUEUES_MAX];
	struct op op[QUEUES_MAX][DEPTH];
	struct version history[SECTORS][HISTORY];
	unsigned used[SECTORS];
	uint64_t seed;
	const char *volatile_image; /* NULL: the disk keeps all that it answered */
	const char *const *args;    /* of xenblkd */
	unsigned cuts;
};

static uint32_t rnd(struct model *m, uint32_t below)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (uint32_t)((m->rng >> 32) * below >> 32);
}

/* A volatile cache goes with its worker: one that xenblkd took for hung is a power cut that the
 * model does not know of. */
#define model_fail(m, fmt, ...)                                                    \
	fail_msg("MODEL_SEED=%llu: " fmt "; xenblkd itself has killed %u workers", \
	         (unsigned long long)(m)->seed, __VA_ARGS__, host_log_count((m)->h, "; killed"))

/* ---- contents ---- */

static void fill(uint32_t id, uint32_t sector, uint8_t *data)
{
	uint64_t *word = (void *)data;

	for (unsigned i = 0; i < 64; i++)
		word[i] =
		    id ? ((uint64_t)id << 32 | sector) ^ (uint64_t)i * 0x9e3779b97f4a7c15ull : 0;
}

/* Which write these bytes are of. Fails the test if they are of none, or torn. */
static uint32_t who_wrote(struct model *m, uint32_t sector, const uint8_t *data)
{
	uint8_t want[512];
	uint64_t word;

	memcpy(&word, data, 8);
	uint32_t id = word ? (uint32_t)(word >> 32) : 0;
	fill(id, sector, want);
	if (memcmp(data, want, 512))
		model_fail(m, "sector %u: torn, or another sector's: %016llx", sector,
		           (unsigned long long)word);
	return id;
}

/* ---- the model ---- */

static uint64_t oldest_start(const struct model *m)
{
	uint64_t oldest = m->now;

	for (unsigned q = 0; q < m->queues; q++)
		for (unsigned i = 0; i < DEPTH; i++)
			if (m->op[q][i].busy && m->op[q][i].start < oldest)
				oldest = m->op[q][i].start;
	return oldest;
}

/* All of v is over before w begins. */
static bool precedes(const struct version *v, const struct version *w)
{
	return v->end && (v->end < w->start || (v->queue == w->queue && v->epoch < w->epoch));
}

/* A power cut does not bring it back. kept: of each queue, all writes of earlier epochs are known
 * to be durable; NULL: nothing is. */
static bool gone_for_good(const struct model *m, uint32_t sector, const struct version *v,
                          const uint32_t *kept)
{
	for (unsigned i = 0; i < m->used[sector]; i++) {
		const struct version *w = &m->history[sector][i];
		bool durable = w->durable || (kept && !w->maybe && w->epoch < kept[w->queue]);
		if (durable && precedes(v, w))
			return true;
	}
	return false;
}

/* Forgets what no read in flight may see, nor anybody after a power cut. */
static void prune(struct model *m, uint32_t sector)
{
	uint64_t oldest = oldest_start(m);
	struct version keep[HISTORY];
	unsigned kept = 0;

	for (unsigned i = 0; i < m->used[sector]; i++) {
		const struct version *v = &m->history[sector][i];
		if (!v->dead || v->dead >= oldest ||
		    (m->volatile_image && !gone_for_good(m, sector, v, NULL)))
			keep[kept++] = *v;
	}
	memcpy(m->history[sector], keep, kept * sizeof *keep);
	m->used[sector] = kept;
}

static bool room_for_write(struct model *m, uint32_t sector, uint32_t n)
{
	for (uint32_t s = sector; s < sector + n; s++) {
		if (m->used[s] > HISTORY / 2)
			prune(m, s);
		if (m->used[s] == HISTORY)
			return false;
	}
	return true;
}

static void write_begins(struct model *m, const struct op *o)
{
	for (uint32_t s = o->sector; s < o->sector + o->sectors; s++)
		m->history[s][m->used[s]++] = (struct version){
		    .id = o->id, .start = o->start, .queue = o->queue, .epoch = o->epoch};
}

/* All that ended before this one began is gone, and what a barrier put before it. */
static void write_ends(struct model *m, const struct op *o)
{
	for (uint32_t s = o->sector; s < o->sector + o->sectors; s++)
		for (unsigned i = 0; i < m->used[s]; i++) {
			struct version *v = &m->history[s][i];
			if (v->start == o->start && !v->end)
				v->end = m->now;
			else if (!o->maybe && v->end && !v->dead &&
			         (v->end < o->start ||
			          (v->queue == o->queue && v->epoch < o->epoch)))
				v->dead = m->now;
		}
}

/* A flush keeps what was answered before it was sent, a barrier all of its queue up to itself. */
static void flushed(struct model *m, const struct op *o)
{
	bool barrier = o->kind == BLKIF_OP_WRITE_BARRIER;

	for (uint32_t s = 0; s < SECTORS; s++)
		for (unsigned i = 0; i < m->used[s]; i++) {
			struct version *v = &m->history[s][i];
			bool covered = v->end < o->start ||
			               (barrier && v->queue == o->queue && v->epoch <= o->epoch);
			v->durable |= v->end && !v->maybe && covered;
		}
}

static void read_saw(struct model *m, const struct op *o, uint32_t sector, const uint8_t *data)
{
	uint32_t id = who_wrote(m, sector, data);

	for (unsigned i = 0; i < m->used[sector] && !o->maybe; i++) {
		const struct version *v = &m->history[sector][i];
		if (v->id == id && (!v->dead || v->dead >= o->start))
			return;
	}
	if (o->maybe)
		return;
	for (unsigned i = 0; i < m->used[sector]; i++) {
		const struct version *v = &m->history[sector][i];
		print_message("# version %u: %llu to %llu, dead at %llu\n", v->id,
		              (unsigned long long)v->start, (unsigned long long)v->end,
		              (unsigned long long)v->dead);
	}
	model_fail(m, "sector %u: read begun at %llu saw version %u, which was gone", sector,
	           (unsigned long long)o->start, id);
}

/* ---- after a power cut ---- */

static const struct version *version_of(const struct model *m, uint32_t sector, uint32_t id)
{
	for (unsigned i = 0; i < m->used[sector]; i++)
		if (m->history[sector][i].id == id)
			return &m->history[sector][i];
	return NULL;
}

/* What is on the disk is what was flushed, or something later. */
static void check_durable(struct model *m, const uint8_t *disk)
{
	uint32_t kept[QUEUES_MAX] = {0};

	/* A barrier's data, or what came after it, shows that all before it had been made durable.
	 */
	for (uint32_t s = 0; s < SECTORS; s++) {
		uint32_t id = who_wrote(m, s, disk + s * 512);
		const struct version *v = id ? version_of(m, s, id) : NULL;
		if (v && v->epoch > kept[v->queue])
			kept[v->queue] = v->epoch;
	}
	for (uint32_t s = 0; s < SECTORS; s++) {
		uint32_t id = who_wrote(m, s, disk + s * 512);
		bool allowed = false;
		for (unsigned i = 0; i < m->used[s]; i++) {
			const struct version *v = &m->history[s][i];
			allowed |= v->id == id && !gone_for_good(m, s, v, kept);
		}
		if (!allowed)
			model_fail(m,
			           "sector %u: version %u after the power was cut: a later "
			           "one had been flushed",
			           s, id);
	}
}

/* From now on the disk has what it has, and what is in hand will be done again. */
static void restart_history(struct model *m, const uint8_t *disk)
{
	for (uint32_t s = 0; s < SECTORS; s++) {
		struct version found = {
		    .id = who_wrote(m, s, disk + s * 512), .end = 1, .durable = true};
		struct version keep[HISTORY];
		unsigned kept = 0;
		for (unsigned i = 0; i < m->used[s]; i++)
			if (!m->history[s][i].end) {
				keep[kept] = m->history[s][i];
				keep[kept++].maybe = true;
			}
		if (kept == HISTORY)
			model_fail(m, "sector %u: too many writes in flight", s);
		m->history[s][0] = found;
		memcpy(&m->history[s][1], keep, kept * sizeof *keep);
		m->used[s] = kept + 1;
	}
}

#endif
