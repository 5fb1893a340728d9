/* SPDX-License-Identifier: MIT */
/*
 * The places where a kill can cut the crash protocol: one after (or, where it says so, before) each
 * store that a successor or the guest can see. docs/crash-recovery.md has the steps; the tests kill
 * a worker at each of them.
 */
#ifndef DISK_CRASH_STEPS_H
#define DISK_CRASH_STEPS_H

#include <stdint.h>

#define CRASH_STEPS(X)                                                 \
	/* a new connection */                                         \
	X(JOURNAL_FILLED) /* all but its magic: still empty */         \
	X(JOURNAL_NAMED)                                               \
	/* take */                                                     \
	X(TAKE_RAW)   /* copied into a FREE slot */                    \
	X(TAKE_STATE) /* TAKEN, header.cons not moved yet */           \
	X(TAKE_CONS)                                                   \
	X(START) /* before the first step of the request */            \
	/* answer */                                                   \
	X(ANSWER_DONE) /* storage and copies done, nothing stored */   \
	X(ANSWER_RING) /* response in the ring, unpublished */         \
	X(ANSWER_RSP)                                                  \
	X(ANSWER_STATE)                                                \
	/* publish */                                                  \
	X(PUBLISH_RING) /* the commit */                               \
	X(PUBLISH_RSP)                                                 \
	X(PUBLISH_FREE)   /* after each slot */                        \
	X(PUBLISH_NOTIFY) /* before the event */                       \
	X(PUBLISH_END)                                                 \
	/* sleep */                                                    \
	X(SLEEP_ARM) /* req_event set, not yet blocked */              \
	/* recover */                                                  \
	X(RECOVER_OWNER)                                               \
	X(RECOVER_CONS)                                                \
	X(RECOVER_OLD) /* a slot that was published before: FREE */    \
	X(RECOVER_RSP)                                                 \
	X(RECOVER_FREE)  /* a slot that the ring says was published */ \
	X(RECOVER_FAULT) /* last_fault stored, attempts not counted */ \
	X(RECOVER_ATTEMPT)                                             \
	X(RECOVER_EPOCH)                                               \
	X(RECOVER_CURRENT)                                             \
	X(RECOVER_BIND)                                                \
	X(RECOVER_ANSWER) /* a response written again */               \
	X(RECOVER_ACCEPT) /* a request about to be accepted again */   \
	X(RECOVER_END)                                                 \
	/* the connection's end */                                     \
	X(END_DRAINED) /* the journal is there still */                \
	X(END_DELETED) /* it is empty */

#define CRASH_ENUM(name) CRASH_##name,
enum crash_step { CRASH_STEPS(CRASH_ENUM) CRASH_NR };
#undef CRASH_ENUM

#endif
