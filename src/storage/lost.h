/* SPDX-License-Identifier: MIT */
/*
 * The note that the page cache has lost what a guest was told is written. The kernel says so once;
 * the guest is told by flushes that fail, one in each queue, and until then the note must outlive
 * any worker. So it is a file in the disk's folder, of one word a queue. It is there as long as the
 * connection, and only if something was lost.
 */
#ifndef STORAGE_LOST_H
#define STORAGE_LOST_H

#include <stdbool.h>
#include <stdint.h>

#define LOST_NAME "lost-writes" /* of the file in the disk's folder */
#define LOST_QUEUES 16

/* Words: control thread while no queue is open; then each the data thread's of its queue. */
struct lost {
	uint64_t *word; /* 0: to be told; UINT64_MAX: was told; else 1 + the number of the request
	                   that tells. Atomic. NULL: nothing was lost */
};

/* Takes up what an earlier worker noted at path. Control thread. */
void lost_load(struct lost *l, const char *path);
/* All queues are to be told (again). Where there is no file to be had, only this process knows, and
 * the log. Control thread. */
void lost_note(struct lost *l, const char *path);
/* Whether that flush must fail. request: its number in the queue, the same if a later worker does
 * it anew, which then fails as well. Data thread. */
bool lost_tell(struct lost *l, unsigned queue, uint64_t request);
/* Another ring: what was not told is to be told there, and requests are numbered anew. Control
 * thread. */
void lost_renew(struct lost *l);
/* The connection has ended: the next front end was promised nothing. Idempotent. Control thread. */
void lost_forget(struct lost *l, const char *path);

#endif
