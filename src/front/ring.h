/* SPDX-License-Identifier: MIT */
/* Single requests and answers on a ring. */
#ifndef FRONT_RING_H
#define FRONT_RING_H

#include "front/front.h"

#pragma GCC visibility push(hidden)

/* Takes what is there in the selected queue, up to max: count, or -EPROTO with a text. Never waits.
 */
int xbf_take(struct xenblkfront *f, struct xenblkfront_response *rsp, unsigned max);
/* -EPROTO with the text for a connection that is not to be believed any more. */
int xbf_broken(struct xenblkfront *f);
/* Updates back_state if a watch event waits; costs one poll() if none does. */
int xbf_see_back(struct xenblkfront *f);
/* Sleeps until an event of any ring or of the back end's state: 0, -ETIMEDOUT (no text), -errno. */
int xbf_wait_event(struct xenblkfront *f, uint64_t deadline);

#pragma GCC visibility pop

#endif
