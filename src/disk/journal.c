/* SPDX-License-Identifier: MIT */
/* The in-flight journal: its header, stores in order, recovery. */
#include "disk/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crash.h"

/* All stores that a successor may read: release, so that it sees them in this order. */
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

static uint32_t header_bytes(uint32_t version)
{
	return version == 1 ? offsetof(struct journal_header, signal)
	                    : sizeof(struct journal_header);
}

static void journal_at(struct journal *j, void *place, uint32_t slots)
{
	j->h = place;
	j->slot = (void *)((char *)place + JOURNAL_HEADER_BYTES);
	j->slots = slots;
}

void journal_create(struct journal *j, void *place, const struct journal_identity *id,
                    uint32_t slots, uint64_t start)
{
	struct journal_header fresh = {
	    .version = JOURNAL_VERSION,
	    .header_size = header_bytes(JOURNAL_VERSION),
	    .slot_size = sizeof(struct journal_slot),
	    .slots = slots,
	    .identity = *id,
	    .cons = start,
	    .rsp = start,
	};

	journal_at(j, place, slots);
	/* Empty until all of it is there: the magic is gone first, and comes last. */
	STORE(j->h->magic, 0);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memset(j->slot, 0, slots * sizeof *j->slot);
	*j->h = fresh;
	crash_point(CRASH_JOURNAL_FILLED, start);
	STORE(j->h->magic, JOURNAL_MAGIC);
	crash_point(CRASH_JOURNAL_NAMED, start);
}

/* Whether two identities differ in nothing but the image. */
static bool same_connection(const struct journal_identity *a, const struct journal_identity *b)
{
	struct journal_identity c = *a;

	c.image_dev = b->image_dev;
	c.image_ino = b->image_ino;
	return !memcmp(&c, b, sizeof c);
}

/* The header as untrusted input. */
static int header_check(const struct journal_header *h, const struct journal_identity *id,
                        uint32_t slots, struct error *err)
{
	if (!h->magic)
		return error_set(err, -ENOENT, "is empty");
	if (h->magic != JOURNAL_MAGIC)
		return error_set(err, -EBADMSG, "is not a journal of xenblkd");
	if (h->version != JOURNAL_VERSION && h->version != JOURNAL_VERSION - 1)
		return error_set(err, -EBADMSG, "has version %u, this worker knows %u and %u",
		                 h->version, JOURNAL_VERSION - 1, JOURNAL_VERSION);
	if (h->header_size != header_bytes(h->version) ||
	    h->slot_size != sizeof(struct journal_slot))
		return error_set(err, -EBADMSG, "is damaged: sizes do not fit its version");
	if (memcmp(&h->identity, id, sizeof *id))
		return error_set(err, -ESTALE, "belongs to another %s",
		                 same_connection(&h->identity, id)
		                     ? "image: the one of this name is not what the guest's "
		                       "requests are for"
		                     : "connection");
	if (h->slots != slots)
		return error_set(err, -EBADMSG, "is damaged: %u slots, expected %u", h->slots,
		                 slots);
	return 0;
}

/* Of the version before, to ours: in one store, so that whatever cuts this off, the journal is of
 * one version or of the other. */
static void journal_convert(struct journal *j)
{
	const struct journal_header now = {.version = JOURNAL_VERSION,
	                                   .header_size = header_bytes(JOURNAL_VERSION)};

	STORE(j->h->signal, 0);
	STORE(j->h->format, now.format);
}

/* "journal-0 is …": the name of its file, see disk/files.h. */
static int journal_error(int rc, const struct journal_identity *id, const struct error *why,
                         struct error *err)
{
	return rc ? error_set(err, rc, "journal-%u %s", id->queue, why->text) : 0;
}

int journal_open(struct journal *j, void *place, const struct journal_identity *id, uint32_t slots,
                 struct error *err)
{
	struct journal_header head = *(const struct journal_header *)place;
	struct error why = {""};
	int rc = header_check(&head, id, slots, &why);

	*j = (struct journal){0};
	crash_point(CRASH_RECOVER_OWNER, 0);
	if (rc)
		return journal_error(rc, id, &why, err);
	journal_at(j, place, slots);
	if (head.version != JOURNAL_VERSION)
		journal_convert(j);
	return 0;
}

int journal_check(const void *place, const struct journal_identity *id, uint32_t slots,
                  struct error *err)
{
	struct journal_header head = *(const struct journal_header *)place;
	struct journal_identity want = *id;
	struct error why = {""};

	if (!want.image_dev && !want.image_ino) {
		want.image_dev = head.identity.image_dev;
		want.image_ino = head.identity.image_ino;
	}
	return journal_error(header_check(&head, &want, slots, &why), id, &why, err);
}

void journal_close(struct journal *j, bool empty_it)
{
	if (j->h && empty_it) {
		crash_point(CRASH_END_DRAINED, 0);
		STORE(j->h->magic, 0);
		crash_point(CRASH_END_DELETED, 0);
	}
	*j = (struct journal){0};
}

void journal_take(struct journal *j, uint32_t slot, uint64_t seq)
{
	struct journal_slot *s = &j->slot[slot];

	crash_point(CRASH_TAKE_RAW, seq);
	s->attempts = 0;
	s->last_fault = 0;
	STORE(s->seq, seq);
	/* Between these two stores the seq tells a successor that cons lags behind. */
	STORE(s->state, JOURNAL_TAKEN);
	crash_point(CRASH_TAKE_STATE, seq);
	STORE(j->h->cons, seq + 1);
	crash_point(CRASH_TAKE_CONS, seq);
}

void journal_answer(struct journal *j, uint32_t slot, int16_t status, uint64_t rsp)
{
	struct journal_slot *s = &j->slot[slot];

	crash_point(CRASH_ANSWER_RING, s->seq);
	STORE(s->status, status);
	STORE(s->rsp, rsp);
	crash_point(CRASH_ANSWER_RSP, s->seq);
	STORE(s->state, JOURNAL_ANSWERED);
	crash_point(CRASH_ANSWER_STATE, s->seq);
}

void journal_published(struct journal *j, uint64_t rsp)
{
	STORE(j->h->rsp, rsp);
}

void journal_free(struct journal *j, uint32_t slot)
{
	STORE(j->slot[slot].state, JOURNAL_FREE);
}

void journal_suspect(struct journal *j, uint32_t slot, bool runs)
{
	STORE(j->h->current, runs ? j->slot[slot].seq + 1 : 0);
}

void journal_stop(struct journal *j)
{
	STORE(j->h->stopped, 1);
}

void journal_fault(struct journal *j, int sig)
{
	STORE(j->h->signal, (uint32_t)sig);
}

/* ---- recovery ---- */

bool journal_names_suspect(const void *place)
{
	struct journal_header h = *(const struct journal_header *)place;
	const struct journal_slot *slot =
	    (const void *)((const char *)place + JOURNAL_HEADER_BYTES);

	if (h.magic != JOURNAL_MAGIC ||
	    (h.version != JOURNAL_VERSION && h.version != JOURNAL_VERSION - 1) ||
	    h.slots > JOURNAL_SLOTS_MAX || !h.current)
		return false;
	for (uint32_t i = 0; i < h.slots; i++)
		if (slot[i].state == JOURNAL_TAKEN && slot[i].seq + 1 == h.current)
			return true;
	return false;
}

static int recovery_bad(struct journal *j, struct error *err, const char *what)
{
	journal_stop(j);
	return error_set(err, -EBADMSG, "journal and ring do not fit: %s; the disk is stopped",
	                 what);
}

/* Order of slot numbers by seq or rsp, for qsort_r. */
static int by_seq(const void *a, const void *b, void *journal)
{
	const struct journal_slot *slot = ((struct journal *)journal)->slot;
	uint64_t x = slot[*(const uint32_t *)a].seq, y = slot[*(const uint32_t *)b].seq;

	return (x > y) - (x < y);
}

static int by_rsp(const void *a, const void *b, void *journal)
{
	const struct journal_slot *slot = ((struct journal *)journal)->slot;
	uint64_t x = slot[*(const uint32_t *)a].rsp, y = slot[*(const uint32_t *)b].rsp;

	return (x > y) - (x < y);
}

static void free_published(struct journal *j, uint32_t i, enum crash_step step)
{
	journal_free(j, i);
	crash_point(step, j->slot[i].seq);
}

/* Lists TAKEN slots and those ANSWERED from header.rsp on; checks each field's range. */
static int recovery_scan(const struct journal *j, uint64_t cons, uint64_t rsp,
                         struct journal_recovery *out)
{
	out->nr_answered = out->nr_taken = 0;
	for (uint32_t i = 0; i < j->slots; i++) {
		const struct journal_slot *s = &j->slot[i];
		switch (s->state) {
		case JOURNAL_FREE:
			break;
		case JOURNAL_TAKEN:
			if (s->seq >= cons)
				return -EBADMSG;
			out->taken[out->nr_taken++] = i;
			break;
		case JOURNAL_ANSWERED:
			if (s->rsp >= cons)
				return -EBADMSG;
			if (s->rsp >= rsp)
				out->answered[out->nr_answered++] = i;
			break;
		default:
			return -EBADMSG;
		}
	}
	return 0;
}

/* The one that ran alone when the worker fell, or, if none did, all that it had in hand. */
static void count_attempts(struct journal *j, uint64_t fault_epoch,
                           const struct journal_recovery *rec)
{
	uint64_t current = LOAD(j->h->current);
	bool alone = false;

	if (fault_epoch <= j->h->fault_epoch)
		return;
	for (uint32_t i = 0; i < rec->nr_taken; i++)
		alone |= j->slot[rec->taken[i]].seq + 1 == current;
	for (uint32_t i = 0; i < rec->nr_taken; i++) {
		struct journal_slot *s = &j->slot[rec->taken[i]];
		if ((alone && s->seq + 1 != current) || s->last_fault == fault_epoch)
			continue;
		/* In this order: a kill between the two loses the count of a fault. In the other,
		 * kills would count as faults. */
		STORE(s->last_fault, fault_epoch);
		crash_point(CRASH_RECOVER_FAULT, s->seq);
		/* A journal that was written by one taken over may say anything. */
		STORE(s->attempts, s->attempts < UINT16_MAX ? s->attempts + 1 : UINT16_MAX);
		crash_point(CRASH_RECOVER_ATTEMPT, s->seq);
	}
	STORE(j->h->fault_epoch, fault_epoch);
	crash_point(CRASH_RECOVER_EPOCH, fault_epoch);
}

int journal_inspect(struct journal *j, struct journal_recovery *out, struct error *err)
{
	uint64_t cons = LOAD(j->h->cons), rsp = LOAD(j->h->rsp);

	if (j->h->stopped)
		return recovery_bad(j, err, "it was stopped before");
	if (rsp > cons || cons - rsp > j->slots)
		return recovery_bad(j, err, "impossible counters");
	/* A take cut off between its last two stores. */
	for (uint32_t i = 0; i < j->slots; i++)
		if (j->slot[i].state == JOURNAL_TAKEN && j->slot[i].seq == cons) {
			cons++;
			break;
		}
	if (recovery_scan(j, cons, rsp, out))
		return recovery_bad(j, err, "impossible slot");
	if (cons - rsp != (uint64_t)out->nr_taken + out->nr_answered)
		return recovery_bad(j, err, "slots do not add up");
	qsort_r(out->taken, out->nr_taken, sizeof *out->taken, by_seq, j);
	qsort_r(out->answered, out->nr_answered, sizeof *out->answered, by_rsp, j);
	for (uint32_t i = 0; i < out->nr_answered; i++)
		if (j->slot[out->answered[i]].rsp != rsp + i)
			return recovery_bad(j, err, "responses are not contiguous");
	for (uint32_t i = 1; i < out->nr_taken; i++)
		if (j->slot[out->taken[i]].seq == j->slot[out->taken[i - 1]].seq)
			return recovery_bad(j, err, "a request stands twice");
	out->cons = cons;
	out->published = rsp;
	return 0;
}

int journal_recover(struct journal *j, uint32_t ring_rsp_prod, uint64_t fault_epoch,
                    struct journal_recovery *out, struct error *err)
{
	int rc = journal_inspect(j, out, err);
	uint64_t rsp = out->published;

	if (rc)
		return rc;
	if (out->cons != LOAD(j->h->cons)) {
		STORE(j->h->cons, out->cons);
		crash_point(CRASH_RECOVER_CONS, out->cons);
	}
	for (uint32_t i = 0; i < j->slots; i++)
		if (j->slot[i].state == JOURNAL_ANSWERED && j->slot[i].rsp < rsp)
			free_published(j, i, CRASH_RECOVER_OLD);

	/* The ring says which of two values of rsp_prod was the last one stored. */
	uint64_t published = rsp;
	if (ring_rsp_prod == (uint32_t)(rsp + out->nr_answered))
		published = rsp + out->nr_answered;
	else if (ring_rsp_prod != (uint32_t)rsp)
		return recovery_bad(j, err, "the guest changed rsp_prod");
	journal_published(j, published);
	crash_point(CRASH_RECOVER_RSP, published);
	if (published != rsp) {
		for (uint32_t i = 0; i < out->nr_answered; i++)
			free_published(j, out->answered[i], CRASH_RECOVER_FREE);
		out->nr_answered = 0;
	}
	count_attempts(j, fault_epoch, out);
	/* Only now: a recovery that was cut off must still find it. */
	STORE(j->h->current, 0);
	crash_point(CRASH_RECOVER_CURRENT, fault_epoch);
	STORE(j->h->signal, 0);
	out->published = published;
	return 0;
}
