/* SPDX-License-Identifier: MIT */
/*
 * The guest is suspended, saved or resumed while nobody serves the disk. Resumed, it takes a new
 * ring at once, into which it puts anew what was in flight: the old ring's requests are then never
 * executed, in whatever place the new one is.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outage.h"

#include <xen/io/blkif.h>

struct resume {
	enum crash_step step; /* where the write to the old ring ends */
	unsigned answered;    /* requests before it */
	bool same;            /* the new ring has the numbers of the old one, as nobody maps that */
	bool connected; /* it says so at once, as Linux does: our state has been 4 all along */
	bool slowly;    /* the old ring is gone for a while before the new one is told of */
	bool twice; /* the worker that is to make the new ring's journal is killed before that */
};

static uint32_t ring_number(struct outage *o, const char *key)
{
	return (uint32_t)strtoul(host_read(o->h, host_fe(1, XVDA), key), NULL, 10);
}

/* Nobody has a request of the new ring's in the old one's place by chance. */
static void write_beside(struct outage *o)
{
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_WRITE,
	    .sector = OUTAGE_SECTOR + 8,
	    .nr_segments = 1,
	};

	assert_front(o->f, xenblkfront_alloc(o->f, 1, true, &o->page, &o->ref));
	req.seg[0] = (struct xenblkfront_seg){o->ref, 0, 7};
	memset(o->page, 0x5a, 4096);
	assert_front(o->f, xenblkfront_queue(o->f, &req, 77));
	assert_front(o->f, xenblkfront_kick(o->f));
}

/* It is done and answered, and nothing else is. */
static void assert_only_that(struct outage *o, unsigned domid, int content)
{
	struct xenblkfront_response rsp;
	char got[4096];

	assert_int_equal(xenblkfront_reap(o->f, &rsp, 1, -1), 1);
	assert_int_equal(rsp.id, 77);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(o, o->image), content);
	assert_front(o->f, xenblkfront_set_state(o->f, XS_CONNECTED));
	assert_front(o->f, xenblkfront_read(o->f, (OUTAGE_SECTOR + 8) * 512, got, sizeof got));
	assert_memory_equal(got, o->page, sizeof got);
	assert_int_equal(outage_content(o, o->image), content);
	assert_int_equal(xenblkfront_inflight(o->f), 0);
	assert_int_equal(host_state(o->h, domid, XVDA), XS_CONNECTED);
	assert_false(host_log_has(o->h, "do not fit"));
}

/* Xen frees numbers only then. */
static void nobody_maps(struct outage *o)
{
	struct xen_usage use = {.maps = 1};

	for (int i = 0; i < WAIT_MS && use.maps; i++) {
		usleep(1000);
		assert_int_equal(xen_usage(o->h->xen, &use), 0);
	}
	assert_int_equal(use.maps, 0);
}

/* With that reference, which is free. */
static void publish_at(struct outage *o, uint32_t ref)
{
	struct xen_platform *guest;
	struct xen_gntshr *shares;
	struct error err;
	uint32_t got = ref + 1;
	void *page;

	assert_int_equal(xen_platform_open(o->h->dir, 1, &guest, &err), 0);
	assert_int_equal(xen_gntshr_open(guest, &shares, &err), 0);
	for (int i = 0; i < 100 && got != ref; i++)
		assert_int_equal(xen_gntshr_share(shares, 0, 1, true, &got, &page), 0);
	assert_int_equal(got, ref);
	assert_int_equal(xen_gntshr_unshare(shares, page, 1), 0);
	assert_front(o->f, xenblkfront_publish_ring(o->f));
	xen_gntshr_close(shares);
	xen_platform_close(guest);
}

static void resumes(struct crash_host *c, const struct resume *r)
{
	struct xenblkfront *old;
	struct outage o;
	char buf[4096];

	outage_attach(&o, c);
	for (unsigned i = 0; i < r->answered; i++)
		assert_front(o.f, xenblkfront_read(o.f, 0, buf, sizeof buf));
	uint32_t ref = ring_number(&o, "ring-ref"), port = ring_number(&o, "event-channel");
	outage_begin(&o, r->step);
	int content = outage_content(&o, o.image);
	old = o.f;
	if (r->slowly) {
		assert_front(old, xenblkfront_revoke(old, &ref, 1));
		outage_end(&o);
		usleep(300000);
	}
	if (r->same) {
		nobody_maps(&o);
		xenblkfront_close(old);
		old = NULL;
	}
	o.f = host_front(o.h, 1, "xvda", NULL, 0);
	if (r->same)
		publish_at(&o, ref);
	else
		assert_front(o.f, xenblkfront_publish_ring(o.f));
	assert_int_equal(ring_number(&o, "ring-ref") == ref, r->same);
	assert_int_equal(ring_number(&o, "event-channel") == port, r->same);
	assert_front(o.f, xenblkfront_set_state(o.f, XS_INITIALISED));
	if (r->connected)
		assert_front(o.f, xenblkfront_set_state(o.f, XS_CONNECTED));
	write_beside(&o);
	if (r->twice)
		crash_order(o.c, CRASH_JOURNAL_FILLED, 1, CRASH_ANY, SIGKILL);
	if (!r->slowly)
		outage_end(&o);
	if (r->twice)
		assert_true(crash_wait(o.c));
	assert_only_that(&o, 1, content);
	if (old) {
		assert_int_equal(xenblkfront_inflight(old), 1);
		xenblkfront_close(old);
	}
	outage_detach(&o);
}

static void resumes_with_the_same_numbers(void **state)
{
	for (unsigned i = 0; i < 6; i++)
		resumes(*state, &(struct resume){.step = CRASH_TAKE_CONS,
		                                 .answered = i / 2,
		                                 .same = true,
		                                 .connected = i % 2});
}

/* There is no journal of the new ring yet: none was lost. */
static void resumes_and_the_next_worker_dies(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		resumes(*state, &(struct resume){.step = CRASH_TAKE_CONS,
		                                 .same = i / 2,
		                                 .connected = i % 2,
		                                 .twice = true});
}

/* The old ring's answer is none to a request of the new one. */
static void resumes_before_it_was_answered(void **state)
{
	static const enum crash_step steps[] = {CRASH_ANSWER_DONE, CRASH_ANSWER_RING,
	                                        CRASH_ANSWER_STATE, CRASH_PUBLISH_RING,
	                                        CRASH_PUBLISH_RSP};

	for (unsigned i = 0; i < 2 * sizeof steps / sizeof *steps; i++)
		resumes(*state, &(struct resume){.step = steps[i / 2],
		                                 .answered = i % 2,
		                                 .same = true,
		                                 .connected = true});
}

static void resumes_with_other_numbers(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		resumes(*state,
		        &(struct resume){.step = CRASH_TAKE_CONS, .answered = 1, .connected = i});
}

/* The worker comes when the old ring is gone, and xenstore has nothing of another one yet. */
static void resumes_slowly(void **state)
{
	resumes(*state,
	        &(struct resume){
	            .step = CRASH_TAKE_CONS, .answered = 1, .connected = true, .slowly = true});
}

/* A save: the guest is suspended and stays so while its disk is taken away, as libxl does that
 * without a good-bye of the front end; restored, it is another domain. */
static void saved_and_restored(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	store_rm(o.h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_offline(o.h, 1, XVDA);
	outage_end(&o);
	host_wait_state(o.h, 1, XVDA, XS_CLOSED);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	host_remove_nodes(o.h, 1, XVDA);
	host_wait_gone(o.h, "1:xvda");
	assert_int_equal(access(o.folder, F_OK), -1);
	host_attach(o.h, &(struct disk){.domid = 2, .params = o.image}, o.image);
	struct xenblkfront *old = o.f;
	o.f = host_front_connected(o.h, 2, "xvda");
	write_beside(&o);
	assert_only_that(&o, 2, OUTAGE_OLD);
	assert_int_equal(xenblkfront_inflight(old), 1);
	xenblkfront_close(old);
	assert_front(o.f, xenblkfront_disconnect(o.f));
	xenblkfront_close(o.f);
	host_detach(o.h, 2, XVDA);
}

/* Suspended and let go on with the ring that it has (a checkpoint, a save that failed): nothing
 * told of it, so what was taken is executed, as the guest waits for it. */
static void suspended_for_a_checkpoint(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	usleep(300000);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_NEW);
	outage_detach(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(resumes_with_the_same_numbers),
	    crash_case(resumes_before_it_was_answered),
	    crash_case(resumes_with_other_numbers),
	    crash_case(resumes_slowly),
	    crash_case(suspended_for_a_checkpoint),
	    crash_case(saved_and_restored),
	    crash_case(resumes_and_the_next_worker_dies),
	};

	return cmocka_run_group_tests_name("guest_resumes", tests, NULL, NULL);
}
