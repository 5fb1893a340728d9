/* SPDX-License-Identifier: MIT */
/*
 * What must hold of a queue, whatever a guest or the storage does. Checked in production, too: if
 * one does not hold, the next store could harm data, while an abort is recovered from (the journal
 * has what was taken). Not assert(), which a build can switch off. Queue's thread, or the control
 * thread while that does not run.
 */
#ifndef DISK_INVARIANTS_H
#define DISK_INVARIANTS_H

#include "disk/request.h"

#define MUST(q, condition, what)                                   \
	do {                                                       \
		if (__builtin_expect(!(condition), 0))             \
			invariant_broken((q), (what), #condition); \
	} while (0)

/* Logs what did not hold, with the queue's counters, and aborts. */
_Noreturn void invariant_broken(const struct queue *q, const char *what, const char *condition);

/* The counters against each other; a few comparisons. While no answer is written but not published.
 */
void invariants_check_counters(const struct queue *q);
/* And every slot, buffer and mapped page against them: at connect, recovery, tidying up and drain.
 */
void invariants_check_all(const struct queue *q);

#endif
