/* SPDX-License-Identifier: MIT */
/* The in-flight journal: file, stores in order, recovery. */
#include "disk/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/crash.h"

/* All stores that a successor may read: release, so that it sees them in this order. */
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

static uint32_t header_bytes(uint32_t version)
{
	return version == 1 ? offsetof(struct journal_header, signal)
	                    : sizeof(struct journal_header);
}

static size_t journal_bytes(uint32_t slots)
{
	return JOURNAL_HEADER_BYTES + (size_t)slots * sizeof(struct journal_slot);
}

static int journal_map(struct journal *j, int fd, uint32_t slots)
{
	void *map = mmap(NULL, journal_bytes(slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	j->h = map;
	j->slot = (void *)((char *)map + JOURNAL_HEADER_BYTES);
	j->slots = slots;
	j->fd = fd;
	return 0;
}

static int lock_wait(int fd)
{
	while (flock(fd, LOCK_EX))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int journal_create(struct journal *j, const char *path, const struct journal_identity *id,
                   uint32_t slots, uint64_t start, struct error *err)
{
	char temp[sizeof j->path + 8];
	int rc;

	*j = (struct journal){.fd = -1};
	snprintf(j->path, sizeof j->path, "%s", path);
	snprintf(temp, sizeof temp, "%s.new", path);
	int fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "cannot create journal %s: %s", temp,
		                 error_name(errno));
	rc = lock_wait(fd);
	/* All room now: a full run directory is an error here, not a SIGBUS later. */
	if (!rc && (rc = -posix_fallocate(fd, 0, (off_t)journal_bytes(slots))) == 0)
		rc = journal_map(j, fd, slots);
	if (rc) {
		close(fd);
		unlink(temp);
		return error_set(
		    err, rc, "cannot make room for journal %s: %s; free space in the run directory",
		    temp, error_name(rc));
	}
	*j->h = (struct journal_header){
	    .magic = JOURNAL_MAGIC,
	    .version = JOURNAL_VERSION,
	    .header_size = header_bytes(JOURNAL_VERSION),
	    .slot_size = sizeof(struct journal_slot),
	    .slots = slots,
	    .identity = *id,
	    .cons = start,
	    .rsp = start,
	};
	crash_point(CRASH_JOURNAL_FILLED, start);
	if (rename(temp, path)) {
		rc =
		    error_set(err, -errno, "cannot rename journal %s: %s", temp, error_name(errno));
		unlink(temp);
		journal_close(j, false);
	}
	crash_point(CRASH_JOURNAL_NAMED, start);
	return rc;
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
static int header_check(const struct journal_header *h, off_t size,
                        const struct journal_identity *id, uint32_t slots, struct error *err)
{
	if (size < (off_t)JOURNAL_HEADER_BYTES || h->magic != JOURNAL_MAGIC)
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
	if (h->slots != slots || size != (off_t)journal_bytes(slots))
		return error_set(err, -EBADMSG, "is damaged: %u slots in %lld bytes, expected %u",
		                 h->slots, (long long)size, slots);
	return 0;
}

/* Its owner may have deleted it while we waited: a lock on a file without a name protects nothing.
 */
static int open_locked(const char *path, struct stat *st, struct error *err)
{
	struct stat named;
	int fd, rc;

	for (;;) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			break;
		rc = lock_wait(fd);
		if (!rc && fstat(fd, st))
			rc = -errno;
		if (!rc && !stat(path, &named) && named.st_dev == st->st_dev &&
		    named.st_ino == st->st_ino)
			return fd;
		close(fd);
		if (rc)
			return error_set(err, rc, "journal %s: %s", path, error_name(rc));
	}
	return error_set(err, -errno, "journal %s: %s", path, error_name(errno));
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

int journal_open(struct journal *j, const char *path, const struct journal_identity *id,
                 uint32_t slots, struct error *err)
{
	struct journal_header head = {0};
	struct error why = {""};
	struct stat st;
	int rc;

	*j = (struct journal){.fd = -1};
	snprintf(j->path, sizeof j->path, "%s", path);
	int fd = open_locked(path, &st, err);
	if (fd < 0)
		return fd;
	crash_point(CRASH_RECOVER_OWNER, 0);
	rc = 0;
	if (pread(fd, &head, sizeof head, 0) < 0)
		rc = -errno;
	if (!rc)
		rc = header_check(&head, st.st_size, id, slots, &why);
	if (!rc)
		rc = journal_map(j, fd, slots);
	if (rc) {
		close(fd);
		error_set(err, rc, "journal %s %s", path, why.text[0] ? why.text : error_name(rc));
	} else if (head.version != JOURNAL_VERSION) {
		journal_convert(j);
	}
	return rc;
}

int journal_check(const char *path, const struct journal_identity *id, uint32_t slots,
                  struct error *err)
{
	struct journal_header head = {0};
	struct journal_identity want = *id;
	struct error why = {""};
	struct stat st;
	int rc = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return error_set(err, -errno, "journal %s: %s", path, error_name(errno));
	if (fstat(fd, &st) || pread(fd, &head, sizeof head, 0) < 0)
		rc = -errno;
	if (!want.image_dev && !want.image_ino) {
		want.image_dev = head.identity.image_dev;
		want.image_ino = head.identity.image_ino;
	}
	if (!rc)
		rc = header_check(&head, st.st_size, &want, slots, &why);
	close(fd);
	if (rc)
		error_set(err, rc, "journal %s %s", path, why.text[0] ? why.text : error_name(rc));
	return rc;
}

void journal_close(struct journal *j, bool unlink_it)
{
	if (unlink_it && j->path[0]) {
		crash_point(CRASH_END_DRAINED, 0);
		unlink(j->path);
		crash_point(CRASH_END_DELETED, 0);
	}
	if (j->h && j->fd >= 0)
		munmap(j->h, journal_bytes(j->slots));
	if (j->fd >= 0)
		close(j->fd);
	*j = (struct journal){.fd = -1};
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

bool journal_names_suspect(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct journal_header h;
	struct journal_slot s;
	bool found = false;

	if (fd < 0)
		return false;
	if (pread(fd, &h, sizeof h, 0) != sizeof h || h.magic != JOURNAL_MAGIC ||
	    (h.version != JOURNAL_VERSION && h.version != JOURNAL_VERSION - 1) ||
	    h.slots > JOURNAL_SLOTS_MAX || !h.current)
		h.slots = 0;
	for (uint32_t i = 0; i < h.slots && !found; i++) {
		off_t at = JOURNAL_HEADER_BYTES + (off_t)i * (off_t)sizeof s;
		found = pread(fd, &s, sizeof s, at) == sizeof s && s.state == JOURNAL_TAKEN &&
		        s.seq + 1 == h.current;
	}
	close(fd);
	return found;
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
