/* SPDX-License-Identifier: MIT */
/* A queue's thread about to sleep: what happens just then is not slept through. */
#include "queue_fixture.h"

/* Once the queue has taken two requests, the guest sends a third just before the queue asks for an
 * event. Set before the second. */
static struct fixture *late;
static int broken; /* atomic: what the queue's own event channel says */

/* The linker puts them between the queue and the functions of that name. */
uint32_t __real_blkif_ring_arm_req(struct blkif_ring *r, uint32_t cons);
uint32_t __wrap_blkif_ring_arm_req(struct blkif_ring *r, uint32_t cons);
int __real_xen_evtchn_pending(struct xen_evtchn *e);
int __wrap_xen_evtchn_pending(struct xen_evtchn *e);

uint32_t __wrap_blkif_ring_arm_req(struct blkif_ring *r, uint32_t cons)
{
	struct fixture *x = cons == 2 ? __atomic_exchange_n(&late, NULL, __ATOMIC_ACQ_REL) : NULL;

	if (x) {
		put(x, &(struct blkif_req){.op = BLKIF_OP_FLUSH_DISKCACHE, .id = 8});
		/* It hears that no event is wanted. */
		if (blkif_ring_push_req(&x->ring, x->req - 1, x->req))
			abort();
	}
	return __real_blkif_ring_arm_req(r, cons);
}

int __wrap_xen_evtchn_pending(struct xen_evtchn *e)
{
	int rc = e == evtchn ? 0 : __atomic_load_n(&broken, __ATOMIC_ACQUIRE);

	return rc ? rc : __real_xen_evtchn_pending(e);
}

static void requests_that_came_without_an_event(void **state)
{
	struct fixture *x = *state;
	struct blkif_rsp rsp;

	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	__atomic_store_n(&late, x, __ATOMIC_RELEASE);
	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	for (int i = 0; i < 10000 && blkif_ring_peek_rsp(&x->ring) == x->rsp; i++)
		usleep(1000);
	assert_int_not_equal(blkif_ring_peek_rsp(&x->ring), x->rsp);
	blkif_ring_get_rsp(&x->ring, x->rsp++, &rsp);
	assert_int_equal(rsp.id, 8);
}

/* The domain or its port is gone: the descriptor is readable for ever, and there is nothing to
 * read. */
static void an_event_channel_that_is_gone(void **state)
{
	struct fixture *x = *state;
	eventfd_t n;

	assert_int_equal(ask(x, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	__atomic_store_n(&broken, -EINVAL, __ATOMIC_RELEASE);
	assert_int_equal(xen_evtchn_notify(evtchn, (uint32_t)x->port), 0);
	for (int i = 0; i < 10000 && !queue_stopped_reason(x->queue); i++)
		usleep(1000);
	assert_non_null(queue_stopped_reason(x->queue));
	assert_string_equal(queue_stopped_reason(x->queue),
	                    "its event channel does not exist any more");
	assert_int_equal(eventfd_read(x->notice, &n), 0);
	__atomic_store_n(&broken, 0, __ATOMIC_RELEASE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(requests_that_came_without_an_event),
	    T(an_event_channel_that_is_gone),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("queue_sleep", tests, start_xen, stop_xen);
}
