/* SPDX-License-Identifier: MIT */
/* The requests of synchronous I/O and their pages, of the selected queue. */
#ifndef FRONT_SLOTS_H
#define FRONT_SLOTS_H

#include "front/front.h"

#pragma GCC visibility push(hidden)

/* Makes them if there are none, and finds the largest request's size. */
int xbf_slots_make(struct xenblkfront *f);
/* Gives their pages back; first failure is returned, all are tried. */
int xbf_slots_release(struct xenblkfront *f,
                      int (*unshare)(struct xenblkfront *, void *, unsigned));
/* Frees their memory; the pages live on. */
void xbf_slots_free(struct xbf_queue *q);
/* Makes room for *length bytes in s->data, or for as much as there is: *length is cut then. */
int xbf_slot_pages(struct xenblkfront *f, struct xbf_slot *s, uint64_t *length);
/* Describes s->length bytes of s->data in the request, which becomes an indirect one if that many
 * do not fit. */
void xbf_slot_segments(const struct xbf_slot *s, struct xenblkfront_request *req);

#pragma GCC visibility pop

#endif
