/* SPDX-License-Identifier: MIT */
/* Group negotiation: the walks of the front ends in use through the xenbus states. */
#include <errno.h>
#include <string.h>

#include "front/conform/case.h"

static void step(struct cf *c, int ours, int theirs, const char *why)
{
	cf_state(c, ours);
	cf_wait(c, CF_STATE(theirs), why);
}

static void normal_walk(struct cf *c)
{
	cf_offer(c, NULL);
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	cf_works(c, "after Initialised and Connected");
}

/* What follows Closed at once, with the keys of the new ring in place. */
static void without_waiting(struct cf *c)
{
	cf_open(c, NULL);
	cf_must(c, xenblkfront_reset(c->f), "waiting for InitWait");
	step(c, XS_CLOSED, XS_CLOSED, "after we were Closed");
	cf_must(c, xenblkfront_publish_ring(c->f), "publishing the ring");
	cf_state(c, XS_INITIALISING);
	cf_state(c, XS_INITIALISED);
	cf_wait(c, CF_STATE(XS_CONNECTED), "after Initialised without a wait for InitWait");
	cf_finish(c);
	cf_works(c, "after Initialised without a wait for InitWait");
}

static void connected_without_initialised(struct cf *c)
{
	cf_offer(c, NULL);
	cf_state(c, XS_CONNECTED);
	cf_finish(c);
	cf_works(c, "after Connected without Initialised");
}

/* Until the front end has read the properties, it is not Connected; requests may come already. */
static void requests_before_connected(struct cf *c)
{
	void *page;
	uint32_t ref;

	cf_offer(c, NULL);
	cf_state(c, XS_INITIALISED);
	cf_wait(c, CF_STATE(XS_CONNECTED), "after we were Initialised");
	cf_must(c, xenblkfront_alloc(c->f, 1, true, &page, &ref), "granting a page");
	struct xenblkfront_request r = {.nr_segments = 1, .seg[0] = {ref, 0, 7}};
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading while the back end is Connected and we are not");
}

static void closing_is_answered(struct cf *c)
{
	cf_connect(c, NULL);
	cf_state(c, XS_CLOSING);
	cf_wait(c, CF_CLOSES, "after we were Closing");
}

static void closed_is_answered(struct cf *c)
{
	cf_connect(c, NULL);
	cf_state(c, XS_CLOSING);
	cf_wait(c, CF_CLOSES, "after we were Closing");
	step(c, XS_CLOSED, XS_CLOSED, "after we were Closed");
}

static void closed_without_closing(struct cf *c)
{
	cf_connect(c, NULL);
	step(c, XS_CLOSED, XS_CLOSED, "after we were Closed, without Closing");
}

static void device_stays_while_online(struct cf *c)
{
	char text[256];

	cf_connect(c, NULL);
	cf_state(c, XS_CLOSING);
	cf_wait(c, CF_CLOSES, "after we were Closing");
	step(c, XS_CLOSED, XS_CLOSED, "after we were Closed");
	if (!cf_back_key(c, "online", text) || strcmp(text, "1"))
		cf_skip(c, "the toolstack did not write online=1");
	int rc =
	    xenblkfront_wait_backend(c->f, ~(CF_STATE(XS_CLOSED)) & 0x1ff, cf_ms(c, CF_QUIET_MS));
	if (rc != -ETIMEDOUT)
		cf_fail(c, "expected the back end to stay Closed, saw %s", xenbus_state_name(rc));
}

static void initialising_reopens(struct cf *c)
{
	cf_connect(c, NULL);
	cf_disconnect(c);
	step(c, XS_INITIALISING, XS_INITWAIT, "after Closed and Initialising");
}

static void reconnects(struct cf *c)
{
	cf_connect(c, NULL);
	cf_works(c, "on the first connection");
	cf_disconnect(c);
	cf_must(c, xenblkfront_connect(c->f), "connecting again");
	cf_finish(c);
	cf_works(c, "on the second connection");
}

static void data_survives_reconnect(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, 64, 4, 77);
	cf_disconnect(c);
	cf_connect(c, NULL);
	cf_check(c, 64, 4, 77, "reading what was written before a reconnect");
}

static void reconnects_often(struct cf *c)
{
	for (unsigned i = 0; i < 5; i++) {
		cf_connect(c, NULL);
		cf_works(c, "on one of five connections");
		cf_disconnect(c);
	}
}

static void reconnects_otherwise(struct cf *c)
{
	uint64_t max = 0;

	cf_connect(c, CF_OPTIONS(.abi = "x86_64"));
	cf_back_number(c, "max-ring-page-order", UINT32_MAX, &max);
	cf_works(c, "with the x86_64 layout");
	cf_disconnect(c);
	cf_connect(c, CF_OPTIONS(.abi = "x86_32", .ring_order = max ? 1 : 0));
	cf_works(c, "with the x86_32 layout and another ring size");
	cf_disconnect(c);
	cf_connect(c, CF_OPTIONS(.abi = "x86_64"));
	cf_works(c, "with the x86_64 layout again");
}

/* kexec: no good-bye was said, and the old pages are still shared. */
static void kexec_reset(struct cf *c)
{
	cf_connect(c, NULL);
	cf_works(c, "before the reset");
	cf_abandon(c);
	cf_connect(c, NULL);
	cf_works(c, "after the reset");
}

static void kexec_reset_in_flight(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_abandon(c);
	cf_connect(c, NULL);
	cf_works(c, "after a reset with 32 requests in flight");
}

/* Windows, at every boot. */
static void close_from_initwait(struct cf *c)
{
	cf_open(c, NULL);
	cf_must(c, xenblkfront_reset(c->f), "waiting for InitWait");
	cf_state(c, XS_CLOSING);
	cf_wait(c, CF_CLOSES, "after Closing in InitWait");
	step(c, XS_CLOSED, XS_CLOSED, "after Closed in InitWait");
	step(c, XS_INITIALISING, XS_INITWAIT, "after Initialising");
	cf_connect(c, NULL);
	cf_works(c, "after a walk from InitWait");
}

static void initialised_again(struct cf *c)
{
	cf_offer(c, NULL);
	cf_state(c, XS_INITIALISED);
	cf_wait(c, CF_STATE(XS_CONNECTED), "after we were Initialised");
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	cf_works(c, "after Initialised was written twice");
}

static void connected_again(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 10; i++) {
		cf_state(c, XS_CONNECTED);
		cf_works(c, "while Connected is written again");
	}
	cf_wait(c, CF_STATE(XS_CONNECTED), "after Connected was written again");
}

static void pages_come_back(struct cf *c)
{
	cf_connect(c, NULL);
	if (!c->o->disk.run_dir)
		cf_skip(c, "a real Xen does not tell the front end who maps its pages");
	cf_works(c, "before the end");
	uint8_t *mem = c->mem;
	cf_disconnect(c); /* fails if the ring's pages are still mapped */
	cf_must(c, xenblkfront_free(c->f, mem, CF_PAGES), "taking the data pages back");
}

static void closing_answers_what_is_in_flight(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	cf_connect(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_state(c, XS_CLOSING);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++)
		cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "a request in flight at Closing");
}

const struct conform_case conform_walks[] = {
    {"normal-walk", "blkif.h: STATE DIAGRAMS, Startup: InitWait, Initialised, Connected, Connected",
     normal_walk},
    {"initialised-without-initwait",
     "blkif.h: STATE DIAGRAMS, Note: a front end may be Initialised without waiting for InitWait",
     without_waiting},
    {"connected-without-initialised",
     "convention: MiniOS writes Connected where others write Initialised (xen-blkback, QEMU)",
     connected_without_initialised},
    {"requests-before-we-are-connected",
     "blkif.h: STATE DIAGRAMS, Startup: the back end serves from Connected on, ours comes later",
     requests_before_connected},
    {"closing-is-answered", "convention: Closing is answered with Closing, or with Closed",
     closing_is_answered},
    {"closed-is-answered", "convention: Closed is answered with Closed", closed_is_answered},
    {"closed-without-closing",
     "convention: Linux's front end without an opener goes from Connected to Closed",
     closed_without_closing},
    {"device-stays-while-online",
     "convention: with online=1 the back end waits in Closed for the next driver (libxl)",
     device_stays_while_online},
    {"initialising-reopens", "convention: Initialising after Closed brings it back to InitWait",
     initialising_reopens},
    {"reconnects",
     "convention: Closing, Closed, Initialising, and a new ring (every guest's reboot)",
     reconnects},
    {"data-survives-reconnect", "blkif.h: BLKIF_OP_WRITE; it is the same disk",
     data_survives_reconnect},
    {"reconnects-often", "convention: as often as the guest's drivers like", reconnects_often},
    {"reconnects-with-other-keys",
     "blkif.h: STATE DIAGRAMS: transport parameters are in effect during this connection",
     reconnects_otherwise},
    {"reset-of-a-connected-disk",
     "convention: kexec: Closing, Closed, Initialising by a new kernel (Linux)", kexec_reset},
    {"reset-with-requests-in-flight",
     "convention: kexec, with requests in flight and their pages still granted",
     kexec_reset_in_flight},
    {"close-from-initwait",
     "convention: Windows' front end closes and reopens at every boot, before its first ring",
     close_from_initwait},
    {"initialised-twice", "convention: a state that is repeated does not begin a new connection",
     initialised_again},
    {"connected-twice", "convention: a state that is repeated does not begin a new connection",
     connected_again},
    {"closing-answers-what-is-in-flight",
     "convention: what was asked before Closing is answered (Linux closes only when it is)",
     closing_answers_what_is_in_flight},
    {"pages-come-back", "convention: Closed: nothing of the guest's is mapped any more (XSA-371)",
     pages_come_back},
    {0},
};
