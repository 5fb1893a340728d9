/* SPDX-License-Identifier: MIT */
/*
 * The in-flight journal of one queue: what was taken from the ring and not yet published. It lives
 * in memory that the worker mapped at its start (disk/files.h): a file on tmpfs of a fixed size,
 * which nobody extends, renames or deletes while the disk exists. Without JOURNAL_MAGIC it is
 * empty: there is no journal. The order of the stores is the crash protocol
 * (docs/crash-recovery.md); after a crash every field is untrusted.
 *
 * Counters are 64 bit and never wrap; the ring's index is their low half.
 */
#ifndef DISK_JOURNAL_H
#define DISK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "blkif/abi.h"
#include "disk/message.h"

#define JOURNAL_MAGIC 0x78656e626c6b6a31ull /* "xenblkj1" */
#ifndef JOURNAL_VERSION                     /* a test builds a worker of another one */
/* 2 has `signal`. The version before is read, and becomes this one when it is opened. */
#define JOURNAL_VERSION 2
#endif
#define JOURNAL_SLOTS_MAX 512 /* ring of 16 pages */

enum journal_state {
	JOURNAL_FREE = 0,
	JOURNAL_TAKEN = 1,    /* the request is ours to execute */
	JOURNAL_ANSWERED = 2, /* its response stands in ring slot `rsp` */
};

struct journal_slot {
	uint32_t state; /* enum journal_state */
	uint16_t attempts;
	int16_t status; /* BLKIF_RSP_*, once ANSWERED */
	uint64_t last_fault;
	uint64_t seq; /* request counter: the order in which it was taken */
	uint64_t rsp; /* response counter, once ANSWERED */
	uint8_t raw[BLKIF_SLOT_MAX];
	uint8_t pad[48];
};

/* What a connection is known by: a journal of another one is never executed. */
struct journal_identity {
	uint32_t domid, devid;
	char guest_uuid[40];
	uint32_t protocol, order, queue, port;
	uint32_t refs[WM_MAX_REFS];
	uint64_t image_dev, image_ino;
};

struct journal_header {
	uint64_t magic;
	union {
		struct {
			uint32_t version, header_size;
		};
		uint64_t format; /* both, to be changed in one store */
	};
	uint32_t slot_size, slots;
	struct journal_identity identity;
	uint64_t cons; /* requests taken */
	uint64_t rsp;  /* responses published (never ahead of the ring) */
	uint32_t stopped;
	uint64_t fault_epoch;
	uint64_t current; /* seq + 1 of the suspect that runs alone; 0: none */
	uint32_t signal;  /* by which the worker died, if that was a fault; since version 2 */
	uint32_t pad;
};

#define JOURNAL_HEADER_BYTES 4096
/* Of a ring with so many slots; of the file, which has room for the largest ring. */
#define JOURNAL_BYTES(slots) (JOURNAL_HEADER_BYTES + (size_t)(slots) * sizeof(struct journal_slot))
#define JOURNAL_FILE_BYTES JOURNAL_BYTES(JOURNAL_SLOTS_MAX)
_Static_assert(sizeof(struct journal_header) <= JOURNAL_HEADER_BYTES, "header page");
_Static_assert(sizeof(struct journal_slot) == 192, "slot is three cache lines");

/* Owned by the queue's thread, once that runs. */
struct journal {
	struct journal_header *h; /* NULL: closed */
	struct journal_slot *slot;
	uint32_t slots;
};

/*
 * In all of these, place is the mapped file, JOURNAL_FILE_BYTES, and lent until journal_close. Who
 * calls journal_create or journal_open holds the owner lock (disk/files.h).
 */

/* Makes a new journal there, instead of what there was. cons and rsp start at `start`. */
void journal_create(struct journal *j, void *place, const struct journal_identity *id,
                    uint32_t slots, uint64_t start);
/*
 * Takes up the journal of the same connection. -ENOENT: it is empty; -ESTALE: it is one of another
 * connection; -EBADMSG: not a journal of ours, damaged, or of another version (*err says which).
 * Nothing is changed.
 */
int journal_open(struct journal *j, void *place, const struct journal_identity *id, uint32_t slots,
                 struct error *err);
/* Whether journal_open would take it, now. Changes nothing; its owner may be at work on it. Without
 * numbers of the image in id, it may be of any. Results as of journal_open. */
int journal_check(const void *place, const struct journal_identity *id, uint32_t slots,
                  struct error *err);
/* empty_it: the connection has ended. Idempotent. */
void journal_close(struct journal *j, bool empty_it);

/* ---- the stores, in the order that the protocol demands; each one is a release ---- */

/* take, after the request was copied into slot->raw. */
void journal_take(struct journal *j, uint32_t slot, uint64_t seq);
/* answer, after the response was put into ring slot rsp. */
void journal_answer(struct journal *j, uint32_t slot, int16_t status, uint64_t rsp);
/* publish, after the ring's rsp_prod was moved to rsp; then free the slots answered before it. */
void journal_published(struct journal *j, uint64_t rsp);
void journal_free(struct journal *j, uint32_t slot);
/* A suspect starts alone: if the worker falls now, this one did it. With false: it is answered. */
void journal_suspect(struct journal *j, uint32_t slot, bool runs);
void journal_stop(struct journal *j);
/* From a signal handler: the worker dies by this fault. */
void journal_fault(struct journal *j, int sig);

/* ---- recovery ---- */

/* Whether the journal says that a suspect ran alone when its worker fell. Reads it as untrusted
 * input, changes nothing; false if it is no journal. */
bool journal_names_suspect(const void *place);

struct journal_recovery {
	uint64_t cons, published; /* counters to go on with */
	uint32_t nr_answered;     /* responses to write again: slots in order of rsp */
	uint32_t nr_taken;        /* requests to execute again: slots in order of seq */
	uint32_t answered[JOURNAL_SLOTS_MAX], taken[JOURNAL_SLOTS_MAX];
};

/*
 * Step 1 of the recovery: checks header and slots against each other and lists what there is to do,
 * `published` being what the header knows of. Changes nothing, or marks the header stopped and
 * returns -EBADMSG.
 */
int journal_inspect(struct journal *j, struct journal_recovery *out, struct error *err);
/*
 * The same and then steps 2 to 6: completes a take that was cut off, decides by the ring's
 * rsp_prod which responses the guest has seen, frees their slots, counts attempts if fault_epoch is
 * new. May be repeated after a crash at any point. 0, or -EBADMSG when the journal contradicts
 * itself or the ring: nothing may be executed (the header is marked stopped).
 */
int journal_recover(struct journal *j, uint32_t ring_rsp_prod, uint64_t fault_epoch,
                    struct journal_recovery *out, struct error *err);

#endif
