/* SPDX-License-Identifier: MIT */
/*
 * What the storage of a disk fails at just now: noted by the queues' threads, looked at by the
 * control thread, which tells the supervisor. An operation that succeeds costs one load.
 */
#ifndef DISK_TROUBLE_H
#define DISK_TROUBLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/message.h"

struct trouble {
	uint32_t failing; /* atomic: 1 << enum storage_op. Changed under the lock */
	pthread_mutex_t lock;
	/* under the lock; count 0 unless it is failing */
	struct wm_trouble op[WM_OPS];
	uint64_t last_ns[WM_OPS];
};

/* An operation works again if one succeeds so long after the last that failed: of a disk with a bad
 * sector, most reads succeed. */
#define TROUBLE_QUIET_NS 2000000000ull

void trouble_init(struct trouble *t);

/* An operation has ended: rc 0 or -errno; sector: its first, in units of 512 bytes; now_ns: as
 * clock_ns. True: something has changed, the control thread is to look. Any thread. */
bool trouble_note(struct trouble *t, enum storage_op op, int rc, uint64_t sector, uint64_t now_ns);

/* Whether a success of that kind is worth a note. Any thread. */
static inline bool trouble_failing(const struct trouble *t, enum storage_op op)
{
	/* Relaxed: who sees it late notes the next success. */
	return __atomic_load_n(&t->failing, __ATOMIC_RELAXED) & 1u << op;
}

/* As it is now. Control thread. */
void trouble_look(struct trouble *t, struct wm_trouble op[WM_OPS]);

#endif
