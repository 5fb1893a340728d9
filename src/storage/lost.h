/* SPDX-License-Identifier: MIT */
/*
 * The note that the page cache has lost what a guest was told is written. The kernel says so once;
 * the guest is told by flushes that fail, one in each queue, and until then the note must outlive
 * any worker. So it stands in a mapped file of the disk's folder (disk/files.h), a word a queue.
 */
#ifndef STORAGE_LOST_H
#define STORAGE_LOST_H

#include <stdbool.h>
#include <stdint.h>

#define LOST_QUEUES 16
#define LOST_BYTES (LOST_QUEUES * sizeof(uint64_t))

/* Words: control thread while no queue is open; then each the data thread's of its queue. */
struct lost {
	uint64_t *word; /* LOST_QUEUES of them; atomic. 0: nothing is to be told; UINT64_MAX: a
	                   flush is to fail; else 1 + the number of the request that tells. NULL: as
	                   if all were 0 */
};

/* All queues are to be told (again). Control thread. */
void lost_note(struct lost *l);
/* Whether that flush must fail. request: its number in the queue, the same if a later worker does
 * it anew, which then fails as well. Data thread. */
bool lost_tell(struct lost *l, unsigned queue, uint64_t request);
/* Another ring: what was not told is to be told there, and requests are numbered anew. Control
 * thread. */
void lost_renew(struct lost *l);
/* The connection has ended: the next front end was promised nothing. Idempotent. Control thread. */
void lost_forget(struct lost *l);

#endif
