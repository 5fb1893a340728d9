/* SPDX-License-Identifier: MIT */
/* Copies from and to the guest that the kernel refuses for want of memory: they are done later, in
 * order, and everything else goes on meanwhile. */
#include "queue_by_hand.h"

#include "base/clock.h"
#include "base/shortage.h"
#include "disk/invariants.h"

#define BYTES (2 * XEN_PAGE_SIZE) /* of a request */
#define TRIES 27                  /* as base/shortage.c */

/* In the cases by hand a pause ends when they say so, however slow the machine is. */
static uint64_t longer;

uint64_t __real_shortage_pause_ns(int rc, unsigned tries);
uint64_t __wrap_shortage_pause_ns(int rc, unsigned tries);

uint64_t __wrap_shortage_pause_ns(int rc, unsigned tries)
{
	return longer * __real_shortage_pause_ns(rc, tries);
}

/* Nothing stays mapped, so all data is copied. */
static void copy_all(struct queue_config *c)
{
	c->limits.indirect_segments = BLKIF_MAX_INDIRECT_SEGS;
}

static int setup_copies(void **state)
{
	configure = copy_all;
	longer = 1000;
	return setup_by_hand(state);
}

static void refuse(unsigned times, int error)
{
	char line[64];
	struct error err = {""};

	snprintf(line, sizeof line, "refuse-copies %u %d %u", GUEST, error, times);
	if (xen_fault(dom0, line, &err))
		fail_msg("%s", err.text);
}

/* Two pages of the guest's. */
struct data {
	char *pages;
	uint32_t refs[2];
};

static void data_make(struct data *d, int fill)
{
	void *at;

	assert_int_equal(xen_gntshr_share(shr, 0, 2, true, d->refs, &at), 0);
	d->pages = at;
	memset(d->pages, fill, XEN_PAGE_SIZE);
	memset(d->pages + XEN_PAGE_SIZE, fill + 1, XEN_PAGE_SIZE);
}

static void data_free(struct data *d)
{
	assert_int_equal(xen_gntshr_unshare(shr, d->pages, 2), 0);
}

static void put_data(struct fixture *x, uint8_t op, uint64_t id, const struct data *d)
{
	put(x, &(struct blkif_req){
	           .op = op,
	           .id = id,
	           .nr_segments = 2,
	           .seg = {{.gref = d->refs[0], .last = 7}, {.gref = d->refs[1], .last = 7}}});
}

/* The time has come for all that is to be tried again. */
static void pass_pauses(struct fixture *x)
{
	invariants_check_all(x->queue);
	for (struct request *r = x->queue->parked.head; r; r = r->next)
		r->due_ns = 1;
	if (x->queue->taken.head)
		x->queue->taken.head->due_ns = 1;
	queue_take(x->queue);
	queue_start_ready(x->queue);
	queue_copies(x->queue);
}

static void a_write_has_its_data_later(void **state)
{
	static const int errors[] = {ENOMEM, EAGAIN, ENOBUFS, EINTR};
	struct fixture *x = *state;
	struct data d;

	data_make(&d, 'a');
	device.hold = true;
	for (unsigned i = 0; i < 4; i++) {
		refuse(3, errors[i]);
		put_data(x, BLKIF_OP_WRITE, i, &d);
		assert_int_equal(take(x), 1);
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(device.nr_held, 0);
			assert_false(queue_answer(x->queue));
			/* Not before its time, and asked for by nobody else. */
			queue_copies(x->queue);
			assert_non_null(x->queue->parked.head);
			pass_pauses(x);
		}
		assert_int_equal(device.nr_held, 1);
		assert_int_equal(queue_copies_due(x->queue), 0);
		assert_memory_equal(device.held[0]->buf, d.pages, BYTES);
		finish(x);
		assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	}
	data_free(&d);
}

static void a_read_has_its_data_later(void **state)
{
	struct fixture *x = *state;
	struct data d;

	data_make(&d, 'a');
	device.hold = true;
	put_data(x, BLKIF_OP_READ, 1, &d);
	assert_int_equal(take(x), 1);
	memset(device.held[0]->buf, 'r', BYTES);
	refuse(1, ENOMEM);
	finish(x);
	assert_false(queue_answer(x->queue));
	/* It keeps its memory, however idle the queue is. */
	queue_tidy(x->queue);
	pass_pauses(x);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	for (unsigned i = 0; i < BYTES; i++)
		assert_int_equal(d.pages[i], 'r');
	data_free(&d);
}

/* Longer and longer, five seconds in all; then the guest hears of it, and those who look after the
 * host do. */
static void not_for_ever(void **state)
{
	struct fixture *x = *state;
	uint64_t last = 0, sum = 0;
	struct data d;

	data_make(&d, 'a');
	device.hold = true;
	refuse(TRIES + 1, ENOMEM);
	put_data(x, BLKIF_OP_WRITE, 1, &d);
	uint64_t before = clock_ns();
	assert_int_equal(take(x), 1);
	for (unsigned n = 0; n < TRIES; n++) {
		struct request *r = x->queue->parked.head;
		assert_int_equal(queue_copies_due(x->queue), r->due_ns);
		/* From what the clock may have been to what it is. */
		assert_true(r->due_ns - before >= last);
		last = shortage_pause_ns(-ENOMEM, n);
		assert_true(r->due_ns >= before + last && r->due_ns <= clock_ns() + last);
		sum += last;
		before = clock_ns();
		pass_pauses(x);
	}
	assert_in_range(sum / longer / NS_PER_MS, 4000, 6000);
	assert_null(x->queue->parked.head);
	assert_false(trouble_failing(&x->shared.trouble, STORAGE_READ));
	assert_true(trouble_failing(&x->shared.trouble, STORAGE_WRITE));
	assert_int_equal(answer(x).status, BLKIF_RSP_ERROR);
	assert_int_equal(device.nr_held, 0);
	assert_int_equal(x->stats.errors, 1);
	assert_int_equal(x->stats.refused[BLKIF_BAD_GRANT], 0);
	/* The next one has all the patience again. */
	refuse(1, ENOMEM);
	put_data(x, BLKIF_OP_WRITE, 2, &d);
	assert_int_equal(take(x), 1);
	pass_pauses(x);
	finish(x);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	data_free(&d);
}

/* What is wrong for good is not tried again. */
static void bad_references_are_told_at_once(void **state)
{
	struct fixture *x = *state;
	struct data good, bad;

	data_make(&good, 'a');
	bad = good;
	bad.refs[1] = 60000;
	device.hold = true;
	put_data(x, BLKIF_OP_WRITE, 1, &bad);
	put_data(x, BLKIF_OP_WRITE, 2, &good);
	assert_int_equal(take(x), 2);
	assert_null(x->queue->parked.head);
	struct blkif_rsp rsp = answer(x);
	assert_int_equal(rsp.id, 1);
	assert_int_equal(rsp.status, BLKIF_RSP_ERROR);
	assert_int_equal(x->stats.refused[BLKIF_BAD_GRANT], 1);
	refuse(1, EFAULT);
	put_data(x, BLKIF_OP_WRITE, 3, &good);
	assert_int_equal(take(x), 1);
	assert_int_equal(answer(x).id, 3);
	finish(x);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	data_free(&good);
}

/* Parked is in flight: a barrier waits for it, and what needs no copy does not. */
static void order_is_kept(void **state)
{
	struct fixture *x = *state;
	struct data d;

	data_make(&d, 'a');
	refuse(1, ENOMEM);
	device.hold = true;
	put_data(x, BLKIF_OP_WRITE, 1, &d);
	flush_of(x, 2);
	put(x, &(struct blkif_req){.op = BLKIF_OP_WRITE_BARRIER, .id = 3});
	put_data(x, BLKIF_OP_WRITE, 4, &d);
	assert_int_equal(take(x), 4);
	assert_int_equal(device.nr_held, 1);
	assert_int_equal(device.held[0]->op, STORAGE_FLUSH);
	finish(x);
	assert_int_equal(answer(x).id, 2);
	queue_start_ready(x->queue);
	queue_copies(x->queue);
	assert_int_equal(device.nr_held, 0);
	pass_pauses(x);
	assert_int_equal(device.nr_held, 1);
	assert_int_equal(device.held[0]->op, STORAGE_WRITE);
	finish(x);
	assert_int_equal(answer(x).id, 1);
	pass_pauses(x);
	assert_int_equal(device.nr_held, 1);
	assert_int_equal(device.held[0]->op, STORAGE_FLUSH);
	finish(x);
	assert_int_equal(answer(x).id, 3);
	pass_pauses(x);
	finish(x);
	assert_int_equal(answer(x).id, 4);
	data_free(&d);
}

/* A write of one page through a page of descriptors. */
static void put_indirect(struct fixture *x, uint64_t id, const struct data *d)
{
	struct blkif_seg *seg = (struct blkif_seg *)d->pages;

	*seg = (struct blkif_seg){.gref = d->refs[1], .last = 7};
	put(x, &(struct blkif_req){.op = BLKIF_OP_INDIRECT,
	                           .inner_op = BLKIF_OP_WRITE,
	                           .id = id,
	                           .nr_segments = 1,
	                           .indirect = {d->refs[0]}});
}

/* Nothing overtakes a request whose descriptors are not here yet: it may be a barrier's business.
 */
static void descriptors_come_later(void **state)
{
	struct fixture *x = *state;
	struct data d;

	data_make(&d, 'a');
	device.hold = true;
	refuse(2, ENOMEM);
	flush_of(x, 1);
	put_indirect(x, 2, &d);
	put(x, &(struct blkif_req){.op = BLKIF_OP_WRITE_BARRIER, .id = 3});
	assert_int_equal(take(x), 3);
	assert_int_equal(device.nr_held, 1);
	finish(x);
	assert_int_equal(answer(x).id, 1);
	assert_int_not_equal(queue_copies_due(x->queue), 0);
	/* Also with what comes later. */
	flush_of(x, 4);
	assert_int_equal(take(x), 1);
	pass_pauses(x);
	assert_int_equal(device.nr_held, 0);
	pass_pauses(x);
	assert_int_equal(device.nr_held, 1);
	assert_int_equal(device.held[0]->op, STORAGE_WRITE);
	assert_memory_equal(device.held[0]->buf, d.pages + XEN_PAGE_SIZE, XEN_PAGE_SIZE);
	for (uint64_t id = 2; id <= 4; id++) {
		finish(x);
		struct blkif_rsp rsp = answer(x);
		assert_int_equal(rsp.id, id);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
		pass_pauses(x);
	}
	data_free(&d);
}

static void descriptors_not_for_ever(void **state)
{
	struct fixture *x = *state;
	struct data d;

	data_make(&d, 'a');
	device.hold = true;
	refuse(TRIES + 1, ENOMEM);
	put_indirect(x, 1, &d);
	flush_of(x, 2);
	assert_int_equal(take(x), 2);
	for (unsigned n = 0; n < TRIES; n++) {
		assert_int_equal(device.nr_held, 0);
		pass_pauses(x);
	}
	finish(x);
	struct blkif_rsp rsp = answer(x);
	assert_int_equal(rsp.id, 1);
	assert_int_equal(rsp.status, BLKIF_RSP_ERROR);
	/* Not by the guest's fault. */
	assert_int_equal(x->stats.refused[BLKIF_BAD_GRANT], 0);
	assert_true(trouble_failing(&x->shared.trouble, STORAGE_WRITE));
	rsp = answer(x);
	assert_int_equal(rsp.id, 2);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	data_free(&d);
}

/* ---- in its thread ---- */

static int setup_thread(void **state)
{
	configure = copy_all;
	longer = 1;
	by_hand = false;
	return setup(state);
}

/* The thread sleeps while it waits, and ends only when all is answered. */
static void stop_with(struct fixture *x,
                      void (*put_one)(struct fixture *, uint64_t, const struct data *))
{
	struct blkif_rsp rsp;
	struct data d;

	data_make(&d, 'a');
	refuse(8, ENOMEM); /* for a quarter of a second */
	put_one(x, 1, &d);
	if (blkif_ring_push_req(&x->ring, 0, x->req))
		assert_int_equal(xen_evtchn_notify(evtchn, (uint32_t)x->port), 0);
	while (!__atomic_load_n(&x->stats.wr_req, __ATOMIC_RELAXED))
		usleep(1000);
	queue_stop(x->queue);
	assert_int_not_equal(blkif_ring_peek_rsp(&x->ring), x->rsp);
	blkif_ring_get_rsp(&x->ring, x->rsp++, &rsp);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	/* One that does not sleep turns thousands of times. Short pauses may pass before it sleeps.
	 */
	assert_in_range(x->stats.wakeups, 1, 200);
	data_free(&d);
}

static void put_write(struct fixture *x, uint64_t id, const struct data *d)
{
	put_data(x, BLKIF_OP_WRITE, id, d);
}

static void stopped_with_data_to_copy(void **state)
{
	stop_with(*state, put_write);
}

static void stopped_with_descriptors_to_copy(void **state)
{
	stop_with(*state, put_indirect);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_copies, teardown_by_hand)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_write_has_its_data_later),
	    T(a_read_has_its_data_later),
	    T(not_for_ever),
	    T(bad_references_are_told_at_once),
	    T(order_is_kept),
	    T(descriptors_come_later),
	    T(descriptors_not_for_ever),
	    cmocka_unit_test_setup_teardown(stopped_with_data_to_copy, setup_thread, teardown),
	    cmocka_unit_test_setup_teardown(stopped_with_descriptors_to_copy, setup_thread,
	                                    teardown),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("queue_copies", tests, start_xen, stop_xen);
}
