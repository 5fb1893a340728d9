/* SPDX-License-Identifier: MIT */
/* A queue without its thread, step by step: what it takes, what it keeps, what it gives back. */
#include "queue_by_hand.h"

#define SLOTS 32
#define SEGMENTS 12 /* more than a direct request has */

/* Slots whose answers are withheld are not free, whatever req_prod says. */
static void no_more_than_there_are_slots(void **state)
{
	struct fixture *x = *state;

	device.hold = true;
	for (uint32_t i = 0; i < SLOTS; i++)
		flush_of(x, i);
	assert_int_equal(take(x), SLOTS);
	assert_int_equal(x->queue->nr_free, 0);
	assert_null(queue_stopped_reason(x->queue));
	blkif_ring_poke_req_prod(&x->ring, 2 * SLOTS);
	assert_int_equal(queue_take(x->queue), 0);
	assert_int_equal(x->queue->cons, SLOTS);
	assert_string_equal(queue_stopped_reason(x->queue),
	                    "the front end's req_prod overran the ring");
	/* What was taken is answered all the same. */
	finish(x);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(answer(x).id, i);
	assert_int_equal(x->queue->nr_free, SLOTS);
}

/* Published answers free their slots: the guest may fill the whole ring again. */
static void a_full_ring_again(void **state)
{
	struct fixture *x = *state;

	device.hold = true;
	for (uint32_t i = 0; i < SLOTS; i++)
		flush_of(x, i);
	assert_int_equal(take(x), SLOTS);
	finish(x);
	assert_int_equal(answer(x).id, 0); /* publishes all of them */
	for (uint32_t i = 0; i < SLOTS; i++)
		flush_of(x, SLOTS + i);
	assert_int_equal(take(x), SLOTS);
	assert_null(queue_stopped_reason(x->queue));
	finish(x);
	queue_answer(x->queue);
	assert_int_equal(x->queue->nr_free, SLOTS);
}

/* A read of SEGMENTS pages through a page of descriptors. *pages: where its data goes. */
static void indirect_read(struct fixture *x, void **descriptors, void **pages)
{
	uint32_t refs[SEGMENTS], ref;
	struct blkif_seg *seg;

	assert_int_equal(xen_gntshr_share(shr, 0, 1, true, &ref, descriptors), 0);
	assert_int_equal(xen_gntshr_share(shr, 0, SEGMENTS, true, refs, pages), 0);
	seg = *descriptors;
	for (unsigned i = 0; i < SEGMENTS; i++)
		seg[i] = (struct blkif_seg){.gref = refs[i], .last = 7};
	put(x, &(struct blkif_req){.op = BLKIF_OP_INDIRECT,
	                           .inner_op = BLKIF_OP_READ,
	                           .id = 5,
	                           .nr_segments = SEGMENTS,
	                           .indirect = {ref}});
}

/* A request that hangs in the storage while the queue is idle keeps its memory. */
static void tidying_spares_requests_in_flight(void **state)
{
	struct fixture *x = *state;
	void *descriptors, *pages;

	device.hold = true;
	indirect_read(x, &descriptors, &pages);
	assert_int_equal(take(x), 1);
	assert_int_equal(device.nr_held, 1);
	memset(device.held[0]->buf, 'd', SEGMENTS * XEN_PAGE_SIZE);
	/* The guest may do what it likes with its copy of them. */
	memset(descriptors, 0, XEN_PAGE_SIZE);
	queue_tidy(x->queue);
	finish(x);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	for (unsigned i = 0; i < SEGMENTS * XEN_PAGE_SIZE; i++)
		assert_int_equal(((char *)pages)[i], 'd');
	/* And now it goes. */
	assert_true(x->queue->buffers.touched && x->queue->descriptors_touched);
	queue_tidy(x->queue);
	assert_false(x->queue->buffers.touched || x->queue->descriptors_touched);
	assert_int_equal(x->queue->descriptors[0].gref, 0);
	assert_int_equal(xen_gntshr_unshare(shr, pages, SEGMENTS), 0);
	assert_int_equal(xen_gntshr_unshare(shr, descriptors, 1), 0);
}

static void idle_pages_are_unmapped(void **state)
{
	struct fixture *x = *state;
	uint32_t ref;
	void *page;

	assert_int_equal(xen_gntshr_share(shr, 0, 1, true, &ref, &page), 0);
	put(x, &(struct blkif_req){
	           .op = BLKIF_OP_READ, .nr_segments = 1, .seg = {{.gref = ref, .last = 7}}});
	assert_int_equal(take(x), 1);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	assert_int_equal(x->queue->grants.count, 1);
	queue_busy(x->queue);
	assert_int_not_equal(x->queue->idle_ns, 0);
	queue_tidy(x->queue);
	assert_int_equal(x->queue->grants.count, 0);
	assert_int_equal(x->queue->idle_ns, 0);
	assert_int_equal(x->stats.persistent, 0);
	assert_int_equal(xen_gntshr_unshare(shr, page, 1), 0);
}

/* A successor must not turn an error into success. */
static void the_journal_has_the_status(void **state)
{
	static const struct {
		int rc;
		int16_t status;
	} cases[] = {{-EIO, BLKIF_RSP_ERROR}, {-EOPNOTSUPP, BLKIF_RSP_EOPNOTSUPP}, {0, 0}};
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		x->shared.withdrawn = 0;
		device.rc = cases[i].rc;
		flush_of(x, i);
		assert_int_equal(take(x), 1);
		struct request *r = x->queue->finished.head;
		assert_int_equal(answer(x).status, cases[i].status);
		assert_int_equal(x->queue->journal.slot[r->slot].status, cases[i].status);
	}
}

/* What comes after a barrier starts when that is done, and not beside it. */
static void nothing_runs_beside_a_barrier(void **state)
{
	struct fixture *x = *state;

	device.hold = true;
	put(x, &(struct blkif_req){.op = BLKIF_OP_WRITE_BARRIER, .id = 1});
	assert_int_equal(take(x), 1);
	assert_int_equal(device.nr_held, 1);
	flush_of(x, 2);
	assert_int_equal(take(x), 1);
	assert_int_equal(device.nr_held, 1);
	finish(x);
	assert_int_equal(answer(x).id, 1);
	queue_start_ready(x->queue);
	assert_int_equal(device.nr_held, 1);
	finish(x);
	assert_int_equal(answer(x).id, 2);
}

/* The journal of a worker that its guest had taken over: what it says is no answer is an error. */
static void replayed_answers_are_checked(void **state)
{
	static const int16_t rows[][2] = {{BLKIF_RSP_OKAY, BLKIF_RSP_OKAY},
	                                  {BLKIF_RSP_ERROR, BLKIF_RSP_ERROR},
	                                  {BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_EOPNOTSUPP},
	                                  {1, BLKIF_RSP_ERROR},
	                                  {-32768, BLKIF_RSP_ERROR}};
	struct fixture *x = *state;
	struct queue *q = x->queue;

	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct journal_recovery rec = {.nr_answered = 1};
		flush_of(x, 40 + i);
		/* As left by one that died before it published. */
		rec.answered[0] = q->free_slots[--q->nr_free];
		blkif_ring_copy_req(&q->ring, i, q->journal.slot[rec.answered[0]].raw);
		journal_take(&q->journal, rec.answered[0], q->cons++);
		journal_answer(&q->journal, rec.answered[0], rows[i][0], q->pvt);
		queue_replay(q, &rec);
		struct blkif_rsp rsp = answer(x);
		assert_int_equal(rsp.id, 40 + i);
		assert_int_equal(rsp.status, rows[i][1]);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_by_hand, teardown_by_hand)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(no_more_than_there_are_slots),      T(a_full_ring_again),
	    T(tidying_spares_requests_in_flight), T(idle_pages_are_unmapped),
	    T(the_journal_has_the_status),        T(nothing_runs_beside_a_barrier),
	    T(replayed_answers_are_checked),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("queue_by_hand", tests, start_xen, stop_xen);
}
