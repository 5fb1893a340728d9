/* SPDX-License-Identifier: MIT */
/* A worker that sends a claim of its image which no honest one would. */
#ifndef TESTS_INTEGRATION_WORKER_LIAR_H
#define TESTS_INTEGRATION_WORKER_LIAR_H

/* "claim-r", "claim-rw", "claim-w": a claim that is open so, whatever the disk's mode is, and does
 * not return. Anything else: returns. */
void lie(const char *what);

#endif
