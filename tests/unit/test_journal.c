/* SPDX-License-Identifier: MIT */
/* The in-flight journal, and what recovery makes of every place where a kill can cut. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "disk/journal.h"

#define SLOTS 32

struct fixture {
	void *place;
	struct journal_identity id;
	struct journal j;
	struct journal_recovery rec;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->place = calloc(1, JOURNAL_FILE_BYTES);
	assert_non_null(f->place);
	memset(&f->id, 0, sizeof f->id);
	f->id.domid = 1;
	f->id.devid = 51712;
	f->id.refs[0] = 8;
	f->id.port = 3;
	/* Near the wrap of the ring's 32-bit index. */
	journal_create(&f->j, f->place, &f->id, SLOTS, 0xfffffff0u);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	journal_close(&f->j, true);
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), -ENOENT);
	free(f->place);
	free(f);
	return 0;
}

static int recover(struct fixture *f, uint64_t ring_rsp_prod, uint64_t epoch)
{
	return journal_recover(&f->j, (uint32_t)ring_rsp_prod, epoch, &f->rec, &f->err);
}

/* Takes it up as the next worker does. */
static void reopen(struct fixture *f)
{
	journal_close(&f->j, false);
	assert_int_equal(journal_open(&f->j, f->place, &f->id, SLOTS, &f->err), 0);
}

static const uint64_t base = 0xfffffff0u;

static void empty(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.cons, base);
	assert_int_equal(f->rec.published, base);
	assert_int_equal(f->rec.nr_taken, 0);
	assert_int_equal(f->rec.nr_answered, 0);
}

static void taken_in_order(void **state)
{
	struct fixture *f = *state;

	/* Slots in another order than the requests; the index wraps in between. */
	for (uint32_t i = 0; i < SLOTS; i++)
		journal_take(&f->j, (i * 7) % SLOTS, base + i);
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.cons, base + SLOTS);
	assert_int_equal(f->rec.nr_taken, SLOTS);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(f->rec.taken[i], (i * 7) % SLOTS);
}

static void killed_between_taken_and_cons(void **state)
{
	struct fixture *f = *state;

	journal_take(&f->j, 5, base);
	f->j.h->cons = base; /* the last store of the take did not happen */
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.cons, base + 1);
	assert_int_equal(f->j.h->cons, base + 1);
	assert_int_equal(f->rec.nr_taken, 1);
	/* And once more: nothing is counted twice. */
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.cons, base + 1);
	assert_int_equal(f->rec.nr_taken, 1);
}

/* The first fault makes suspects of all; the next ones count only for the one that ran alone. */
static void fault_with_one_alone(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 3; i++)
		journal_take(&f->j, i, base + i);
	reopen(f);
	assert_int_equal(recover(f, base, 1), 0);
	for (uint64_t epoch = 2; epoch <= 3; epoch++) {
		journal_suspect(&f->j, 1, true);
		reopen(f);
		assert_int_equal(recover(f, base, epoch), 0);
		assert_int_equal(f->j.h->current, 0);
	}
	assert_int_equal(f->j.slot[0].attempts, 1);
	assert_int_equal(f->j.slot[1].attempts, 3);
	assert_int_equal(f->j.slot[2].attempts, 1);
	/* One that is answered is no suspect any more: whoever is in hand counts. */
	journal_suspect(&f->j, 2, true);
	journal_suspect(&f->j, 2, false);
	reopen(f);
	assert_int_equal(recover(f, base, 4), 0);
	assert_int_equal(f->j.slot[0].attempts, 2);
	assert_int_equal(f->j.slot[2].attempts, 2);
}

/* A kill is no fault of what was taken after the last fault was counted. */
static void kill_after_a_fault(void **state)
{
	struct fixture *f = *state;

	journal_take(&f->j, 0, base);
	reopen(f);
	assert_int_equal(recover(f, base, 1), 0);
	journal_take(&f->j, 1, base + 1);
	reopen(f);
	assert_int_equal(recover(f, base, 1), 0);
	assert_int_equal(f->j.slot[0].attempts, 1);
	assert_int_equal(f->j.slot[1].attempts, 0);
}

static void killed_before_taken(void **state)
{
	struct fixture *f = *state;

	/* seq stored, state not: the request is still in the ring only. */
	f->j.slot[5].seq = base;
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.cons, base);
	assert_int_equal(f->rec.nr_taken, 0);
}

/* Two requests taken, the second answered first (out of order). */
static void answer_second(struct fixture *f)
{
	journal_take(&f->j, 0, base);
	journal_take(&f->j, 1, base + 1);
	journal_answer(&f->j, 1, BLKIF_RSP_OKAY, base);
}

static void answered_not_published(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.published, base);
	assert_int_equal(f->rec.nr_answered, 1);
	assert_int_equal(f->rec.answered[0], 1);
	assert_int_equal(f->rec.nr_taken, 1);
	assert_int_equal(f->rec.taken[0], 0);
}

static void published_in_ring_only(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	reopen(f);
	assert_int_equal(recover(f, base + 1, 0), 0); /* the ring's rsp_prod moved */
	assert_int_equal(f->rec.published, base + 1);
	assert_int_equal(f->j.h->rsp, base + 1);
	assert_int_equal(f->rec.nr_answered, 0);
	assert_int_equal(f->j.slot[1].state, JOURNAL_FREE);
	assert_int_equal(f->rec.nr_taken, 1);
}

static void published_not_freed(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	journal_published(&f->j, base + 1);
	reopen(f);
	assert_int_equal(recover(f, base + 1, 0), 0);
	assert_int_equal(f->rec.published, base + 1);
	assert_int_equal(f->j.slot[1].state, JOURNAL_FREE);
	assert_int_equal(f->rec.nr_answered, 0);
}

static void ring_tampered(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	reopen(f);
	assert_int_equal(recover(f, base + 2, 0), -EBADMSG);
	assert_int_equal(f->j.h->stopped, 1);
	/* Stopped stays stopped, also if the guest repairs its ring. */
	reopen(f);
	assert_int_equal(recover(f, base, 0), -EBADMSG);
}

static void contradictions(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		size_t offset; /* in slot 1 */
		uint64_t value;
		size_t size;
	} cases[] = {
	    {"state", offsetof(struct journal_slot, state), 3, 4},
	    {"state", offsetof(struct journal_slot, state), JOURNAL_FREE, 4},
	    {"rsp", offsetof(struct journal_slot, rsp), 0xfffffff1u, 8},
	    {"rsp", offsetof(struct journal_slot, rsp), UINT64_MAX, 8},
	    {"rsp", offsetof(struct journal_slot, rsp), 0xffffffefu, 8},
	};

	answer_second(f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct journal_slot saved = f->j.slot[1];
		memcpy((char *)&f->j.slot[1] + cases[i].offset, &cases[i].value, cases[i].size);
		assert_int_equal(recover(f, base, 0), -EBADMSG);
		f->j.slot[1] = saved;
		f->j.h->stopped = 0;
	}
	f->j.slot[0].seq = base + 5; /* beyond cons */
	assert_int_equal(recover(f, base, 0), -EBADMSG);
	f->j.slot[0].seq = base;
	f->j.h->stopped = 0;
	f->j.h->rsp = base + 7; /* ahead of cons */
	assert_int_equal(recover(f, base, 0), -EBADMSG);
	f->j.h->rsp = base;
	f->j.h->stopped = 0;
	f->j.h->cons = base + SLOTS + 1;
	assert_int_equal(recover(f, base, 0), -EBADMSG);
	f->j.h->cons = base + 2;
	f->j.h->stopped = 0;
	assert_int_equal(recover(f, base, 0), 0);
}

static void poison_counts_each_epoch_once(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->j.slot[0].attempts, 0); /* kill -9 never counts */
	assert_int_equal(recover(f, base, 1), 0);
	assert_int_equal(f->j.slot[0].attempts, 1);
	assert_int_equal(recover(f, base, 1), 0);
	assert_int_equal(f->j.slot[0].attempts, 1);
	f->j.h->fault_epoch = 1; /* killed before this store of the next epoch */
	assert_int_equal(recover(f, base, 2), 0);
	f->j.h->fault_epoch = 1;
	assert_int_equal(recover(f, base, 2), 0);
	assert_int_equal(f->j.slot[0].attempts, 2);
}

/* The owner's end and "there is none" are the same to whoever comes next. */
static void emptied(void **state)
{
	struct fixture *f = *state;
	struct journal other;

	journal_take(&f->j, 3, base);
	journal_close(&f->j, true);
	assert_int_equal(journal_open(&other, f->place, &f->id, SLOTS, &f->err), -ENOENT);
	assert_string_equal(f->err.text, "journal-0 is empty");
	memset(f->place, 0, JOURNAL_FILE_BYTES);
	assert_int_equal(journal_open(&other, f->place, &f->id, SLOTS, &f->err), -ENOENT);
	assert_null(other.h);
}

/* Of what a longer ring left in the same place, nothing is found in the next one's journal. */
static void made_anew_in_place(void **state)
{
	struct fixture *f = *state;

	journal_close(&f->j, true);
	memset(f->place, 0xff, JOURNAL_FILE_BYTES);
	journal_create(&f->j, f->place, &f->id, SLOTS, base);
	reopen(f);
	assert_int_equal(recover(f, base, 0), 0);
	assert_int_equal(f->rec.nr_taken, 0);
	assert_int_equal(f->rec.nr_answered, 0);
	assert_int_equal(f->j.h->stopped, 0);
	assert_int_equal(f->j.h->current, 0);
}

static void foreign(void **state)
{
	struct fixture *f = *state;
	struct journal other;
	struct journal_identity id = f->id;

	id.refs[0] = 9;
	f->j.h->version = JOURNAL_VERSION + 1;
	assert_int_equal(journal_open(&other, f->place, &f->id, SLOTS, &f->err), -EBADMSG);
	assert_non_null(strstr(f->err.text, "has version 3, this worker knows 1 and 2"));
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), -EBADMSG);
	f->j.h->version = JOURNAL_VERSION;
	assert_int_equal(journal_check(f->place, &id, SLOTS, &f->err), -ESTALE);
	assert_int_equal(journal_open(&other, f->place, &id, SLOTS, &f->err), -ESTALE);
	assert_int_equal(journal_open(&other, f->place, &f->id, 2 * SLOTS, &f->err), -EBADMSG);
	assert_string_equal(f->err.text, "journal-0 is damaged: 32 slots, expected 64");
	f->j.h->magic++;
	assert_int_equal(journal_open(&other, f->place, &f->id, SLOTS, &f->err), -EBADMSG);
	assert_string_equal(f->err.text, "journal-0 is not a journal of xenblkd");
	f->j.h->magic--;
}

/* The text says what is the matter: the image, or the connection. */
static void foreign_text(void **state)
{
	struct fixture *f = *state;
	struct journal other;
	struct journal_identity id = f->id;

	journal_close(&f->j, false);
	id.image_ino++;
	assert_int_equal(journal_open(&other, f->place, &id, SLOTS, &f->err), -ESTALE);
	assert_non_null(strstr(f->err.text, "belongs to another image"));
	id.port++;
	assert_int_equal(journal_open(&other, f->place, &id, SLOTS, &f->err), -ESTALE);
	assert_non_null(strstr(f->err.text, "belongs to another connection"));
	assert_int_equal(journal_open(&f->j, f->place, &f->id, SLOTS, &f->err), 0);
}

/* Whatever a journal says, counting goes up. */
static void attempts_do_not_wrap(void **state)
{
	struct fixture *f = *state;

	answer_second(f);
	f->j.slot[0].attempts = UINT16_MAX;
	assert_int_equal(recover(f, base, 1), 0);
	assert_int_equal(f->j.slot[0].attempts, UINT16_MAX);
}

/* As a worker of version 1 left it: no signal, and whatever stands in its place. */
static void version_before(void **state)
{
	struct fixture *f = *state;
	const uint32_t old_bytes = offsetof(struct journal_header, signal);

	journal_take(&f->j, 5, 0xfffffff0u);
	f->j.h->version = 1;
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), -EBADMSG);
	f->j.h->header_size = old_bytes;
	f->j.h->signal = 11;
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), 0);
	assert_int_equal(f->j.h->version, 1);
	journal_close(&f->j, false);
	assert_int_equal(journal_open(&f->j, f->place, &f->id, SLOTS, &f->err), 0);
	assert_int_equal(f->j.h->version, JOURNAL_VERSION);
	assert_int_equal(f->j.h->header_size, sizeof(struct journal_header));
	assert_int_equal(f->j.h->signal, 0);
	assert_int_equal(recover(f, 0xfffffff0u, 0), 0);
	assert_int_equal(f->rec.nr_taken, 1);
	assert_int_equal(f->rec.taken[0], 5);
	journal_close(&f->j, false);
	assert_int_equal(journal_open(&f->j, f->place, &f->id, SLOTS, &f->err), 0);
}

/* The check neither waits for the owner nor changes a byte; a missing one is no journal. */
static void check_only_looks(void **state)
{
	struct fixture *f = *state;
	struct journal_header before = *f->j.h;

	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), 0);
	assert_memory_equal(f->j.h, &before, sizeof before);
	/* Of which image, the asker may not know yet; but a wrong one is a wrong one. */
	f->j.h->identity.image_ino = 4711;
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), 0);
	f->id.image_ino = 4712;
	assert_int_equal(journal_check(f->place, &f->id, SLOTS, &f->err), -ESTALE);
	f->id.image_ino = 0;
	assert_int_equal(journal_check(f->place, &f->id, 2 * SLOTS, &f->err), -EBADMSG);
}

/* The note of the fault is there until a recovery has counted it. */
static void signal_noted(void **state)
{
	struct fixture *f = *state;

	journal_fault(&f->j, 11);
	journal_close(&f->j, false);
	assert_int_equal(journal_open(&f->j, f->place, &f->id, SLOTS, &f->err), 0);
	assert_int_equal(f->j.h->signal, 11);
	assert_int_equal(recover(f, 0xfffffff0u, 1), 0);
	assert_int_equal(f->j.h->signal, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Who ran alone when the worker fell, as another queue's recovery asks. */
static void names_the_suspect(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = f->j.h->cons;

	assert_false(journal_names_suspect(f->place));
	journal_take(&f->j, 3, seq);
	journal_take(&f->j, 4, seq + 1);
	assert_false(journal_names_suspect(f->place));
	journal_suspect(&f->j, 4, true);
	assert_true(journal_names_suspect(f->place));
	/* Answered, and killed before that was noted. */
	journal_answer(&f->j, 4, 0, seq);
	assert_false(journal_names_suspect(f->place));
	journal_suspect(&f->j, 3, true);
	assert_true(journal_names_suspect(f->place));
	f->j.h->magic++;
	assert_false(journal_names_suspect(f->place));
	f->j.h->magic--;
	f->j.h->slots = UINT32_MAX;
	assert_false(journal_names_suspect(f->place));
	f->j.h->slots = SLOTS;
	journal_suspect(&f->j, 3, false);
	assert_false(journal_names_suspect(f->place));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(empty),
	    T(taken_in_order),
	    T(killed_between_taken_and_cons),
	    T(killed_before_taken),
	    T(answered_not_published),
	    T(published_in_ring_only),
	    T(published_not_freed),
	    T(ring_tampered),
	    T(contradictions),
	    T(poison_counts_each_epoch_once),
	    T(fault_with_one_alone),
	    T(kill_after_a_fault),
	    T(names_the_suspect),
	    T(emptied),
	    T(made_anew_in_place),
	    T(foreign),
	    T(foreign_text),
	    T(attempts_do_not_wrap),
	    T(version_before),
	    T(check_only_looks),
	    T(signal_noted),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
