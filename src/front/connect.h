/* SPDX-License-Identifier: MIT */
/* The end of a connection. */
#ifndef FRONT_CONNECT_H
#define FRONT_CONNECT_H

#include "front/front.h"

#pragma GCC visibility push(hidden)

/* Takes rings, pools and ports back. -EBUSY: the back end still maps pages; they are forgotten
 * then.
 */
int xbf_release(struct xenblkfront *f);

#pragma GCC visibility pop

#endif
