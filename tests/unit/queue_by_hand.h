/* SPDX-License-Identifier: MIT */
/* A queue without its thread: the test makes its steps. For one test program. */
#ifndef TESTS_UNIT_QUEUE_BY_HAND_H
#define TESTS_UNIT_QUEUE_BY_HAND_H

#include "queue_fixture.h"

#include "disk/request.h"

/* Indirect requests, and pages that stay mapped for no time at all. */
static void offer(struct queue_config *c)
{
	c->limits.indirect_segments = BLKIF_MAX_INDIRECT_SEGS;
	c->persistent_grants = 8;
	c->persistent_idle_ns = 1;
}

static int setup_by_hand(void **state)
{
	struct error err = {""};
	struct fixture *x;

	by_hand = true;
	configure = configure ?: offer;
	if (setup(state))
		return -1;
	x = *state;
	return storage_queue_open(&fake_storage, NULL, &x->queue->storage, &err);
}

static int teardown_by_hand(void **state)
{
	struct fixture *x = *state;

	storage_queue_close(x->queue->storage);
	return teardown(state);
}

/* Takes and starts what the guest has put; how many. */
static uint32_t take(struct fixture *x)
{
	uint32_t n;

	blkif_ring_push_req(&x->ring, x->req - 1, x->req);
	n = queue_take(x->queue);
	queue_start_ready(x->queue);
	queue_copies(x->queue);
	return n;
}

/* What the storage holds is done. */
static void finish(struct fixture *x)
{
	for (unsigned i = 0; i < device.nr_held; i++)
		device.held[i]->done(device.held[i], 0);
	device.nr_held = 0;
	queue_copies(x->queue);
}

static struct blkif_rsp answer(struct fixture *x)
{
	struct blkif_rsp rsp;

	queue_answer(x->queue);
	assert_int_not_equal(blkif_ring_peek_rsp(&x->ring), x->rsp);
	blkif_ring_get_rsp(&x->ring, x->rsp++, &rsp);
	return rsp;
}

static void flush_of(struct fixture *x, uint64_t id)
{
	put(x, &(struct blkif_req){.op = BLKIF_OP_FLUSH_DISKCACHE, .id = id});
}

#endif
