/* SPDX-License-Identifier: MIT */
/* A queue whose state contradicts itself ends its process, and says what did not hold. */
#include <sys/wait.h>

#include "queue_by_hand.h"

#include "disk/invariants.h"

/* With two requests that the storage has, one of them with a buffer and a mapped page, and one that
 * waits for them. */
static void free_slot_lost(struct queue *q)
{
	q->nr_free--;
}
static void free_slot_twice(struct queue *q)
{
	q->free_slots[0] = q->free_slots[1];
}
static void free_and_waiting(struct queue *q)
{
	q->free_slots[0] = q->waiting.head->slot;
}
static void slot_out_of_range(struct queue *q)
{
	q->free_slots[0] = q->ring.slots;
}
static void published_too_much(struct queue *q)
{
	q->pub = q->pvt + 1;
}
static void taken_too_much(struct queue *q)
{
	q->cons += q->ring.slots;
}
static void journal_lost_one(struct queue *q)
{
	for (uint32_t i = 0; i < q->ring.slots; i++)
		if (q->journal.slot[i].state == JOURNAL_TAKEN && q->waiting.head->slot != i)
			q->journal.slot[i].state = JOURNAL_FREE;
}
static void journal_keeps_one(struct queue *q)
{
	q->journal.slot[q->free_slots[3]].state = JOURNAL_TAKEN;
}
static void too_many_in_flight(struct queue *q)
{
	q->inflight = 4;
}
static void one_in_flight_lost(struct queue *q)
{
	q->inflight--;
}
static void alone_with_nobody(struct queue *q)
{
	q->inflight = 0;
	q->alone_running = true;
}
static void too_many_for_blocks(struct queue *q)
{
	q->block_waiters = 3;
}
static void buffer_lost(struct queue *q)
{
	q->buffers.taken--;
}
static void buffer_of_another_size(struct queue *q)
{
	for (uint32_t i = 0; i < q->ring.slots; i++)
		q->request[i].span *= 2;
}
static void too_many_buffers(struct queue *q)
{
	q->buffers.taken = 4;
}
static void page_lost(struct queue *q)
{
	q->grants.count--;
}
static void page_not_hashed(struct queue *q)
{
	memset(q->grants.table, 0, (q->grants.mask + 1) * sizeof *q->grants.table);
}
static void too_many_pages(struct queue *q)
{
	q->grants.count = q->grants.limit + 1;
}
static void answer_forgotten(struct queue *q)
{
	fifo_put(&q->answered, &q->request[q->free_slots[0]]);
}

static const struct {
	void (*breaks)(struct queue *q);
	const char *says;
} breakages[] = {
    {free_slot_lost, "free and taken slots do not add up"},
    {free_slot_twice, "a slot is on two lists"},
    {free_and_waiting, "the journal differs from the lists"},
    {slot_out_of_range, "a list names a slot that the ring does not have"},
    {published_too_much, "counters out of order"},
    {taken_too_much, "more requests taken than the ring has slots"},
    {journal_lost_one, "the journal differs from what is in flight"},
    {journal_keeps_one, "the journal differs from the lists"},
    {too_many_in_flight, "more requests in flight than taken"},
    {one_in_flight_lost, "requests in flight and slots on no list differ"},
    {alone_with_nobody, "an exclusive request runs, and none is in flight"},
    {too_many_for_blocks, "more requests wait for blocks than are in flight"},
    {buffer_lost, "buffers out and requests with one differ"},
    {buffer_of_another_size, "pages out and pages of requests differ"},
    {too_many_buffers, "more buffers out than requests taken"},
    {page_lost, "pages mapped and pages listed differ"},
    {page_not_hashed, "pages mapped and pages hashed differ"},
    {too_many_pages, "more pages mapped than allowed"},
    {answer_forgotten, "an answer is not published"},
};

/* Of a process that breaks q and then checks it: its status, and what it said. */
static int broken(struct queue *q, void (*breaks)(struct queue *q), char *text, size_t cap)
{
	int out[2], status;
	ssize_t n;

	assert_int_equal(pipe(out), 0);
	pid_t pid = fork();
	if (!pid) {
		/* Not the test's own reaction to it. */
		signal(SIGABRT, SIG_DFL);
		dup2(out[1], STDERR_FILENO);
		breaks(q);
		invariants_check_all(q);
		_exit(0);
	}
	close(out[1]);
	n = read(out[0], text, cap - 1);
	text[n > 0 ? n : 0] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void nothing(struct queue *q)
{
}

static void each_is_noticed(void **state)
{
	struct fixture *x = *state;
	uint32_t ref;
	void *page;
	char text[1024], says[128];

	assert_int_equal(xen_gntshr_share(shr, 0, 1, true, &ref, &page), 0);
	device.hold = true;
	put(x, &(struct blkif_req){
	           .op = BLKIF_OP_WRITE, .nr_segments = 1, .seg = {{.gref = ref, .last = 7}}});
	flush_of(x, 1);
	put(x, &(struct blkif_req){.op = BLKIF_OP_WRITE_BARRIER, .id = 2});
	assert_int_equal(take(x), 3);
	assert_int_equal(device.nr_held, 2);
	assert_int_equal(x->queue->grants.count, 1);
	assert_int_equal(broken(x->queue, nothing, text, sizeof text), 0);
	assert_string_equal(text, "");
	for (size_t i = 0; i < sizeof breakages / sizeof *breakages; i++) {
		int status = broken(x->queue, breakages[i].breaks, text, sizeof text);
		snprintf(says, sizeof says, "queue 0: internal error: %s: not ", breakages[i].says);
		if (!strstr(text, says))
			fail_msg("expected \"%s\", was \"%s\"", says, text);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
	finish(x);
	device.hold = false;
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	queue_start_ready(x->queue);
	assert_int_equal(answer(x).status, BLKIF_RSP_OKAY);
	queue_tidy(x->queue); /* unmaps it */
	assert_int_equal(xen_gntshr_unshare(shr, page, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_is_noticed, setup_by_hand, teardown_by_hand),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("invariants", tests, start_xen, stop_xen);
}
