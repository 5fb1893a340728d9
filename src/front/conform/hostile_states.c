/* SPDX-License-Identifier: MIT */
/* Group hostile: states that come too fast, in no order, or are none. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

/* Each state as often as the others, in an order that repeats late. */
static int any_state(unsigned i)
{
	return (int)(1 + (i * 7 + i / 6 * 3) % 6);
}

static void flips(struct cf *c)
{
	cf_offer(c, NULL);
	for (unsigned i = 0; i < 300; i++)
		cf_state(c, any_state(i));
}

static void flips_while_connected(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 300; i++)
		cf_state(c, any_state(i));
}

static void flips_in_flight(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		cf_queue(c, &r);
	}
	cf_kick(c);
	for (unsigned i = 0; i < 60; i++)
		cf_state(c, i % 2 ? XS_INITIALISED : XS_CLOSING);
}

static void connect_storm(struct cf *c)
{
	for (unsigned i = 0; i < 20; i++) {
		cf_offer(c, NULL);
		cf_state(c, XS_INITIALISED);
		if (i % 2)
			cf_state(c, XS_CLOSED);
		cf_abandon(c);
	}
}

static void state_written(struct cf *c)
{
	cf_connect(c, NULL);
	cf_key(c, "state", c->at->value);
	xenblkfront_wait_backend(c->f, CF_CLOSES, cf_ms(c, CF_QUIET_MS));
}

static void closed_storm(struct cf *c)
{
	cf_connect(c, NULL);
	for (unsigned i = 0; i < 50; i++)
		cf_state(c, XS_CLOSED);
	cf_wait(c, CF_STATE(XS_CLOSED), "after Closed 50 times");
}

static void back_to_initialising(struct cf *c)
{
	cf_connect(c, NULL);
	cf_works(c, "before the states go wrong");
	cf_state(c, XS_INITIALISING);
	xenblkfront_wait_backend(c->f, CF_STATE(XS_INITWAIT) | CF_CLOSES, cf_ms(c, CF_QUIET_MS));
}

#define BEAR "convention: the disk can be connected again, whatever the states were"

const struct conform_case conform_hostile_states[] = {
    {"states-flip", BEAR " (XSA-349, XSA-350)", flips},
    {"states-flip-while-connected", BEAR " (XSA-350)", flips_while_connected},
    {"states-flip-in-flight", BEAR " (XSA-350)", flips_in_flight},
    {"offers-withdrawn", BEAR, connect_storm},
    {"closed-50-times", BEAR, closed_storm},
    {"state-text", BEAR, state_written, 0, "state", "abc"},
    {"state-empty", BEAR, state_written, 0, "state", ""},
    {"state-negative", BEAR, state_written, 0, "state", "-1"},
    {"state-99", BEAR, state_written, 0, "state", "99"},
    {"state-initwait", BEAR " (xen-blkback: a fatal error of the device)", state_written, 0,
     "state", "2"},
    {"state-reconfiguring", BEAR " (xen-blkback: a fatal error of the device)", state_written, 0,
     "state", "7"},
    {"connected-to-initialising", BEAR, back_to_initialising},
    {0},
};
