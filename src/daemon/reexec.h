/* SPDX-License-Identifier: MIT */
/* Upgrade of the supervisor itself, by exec. */
#ifndef DAEMON_REEXEC_H
#define DAEMON_REEXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Of what goes across the exec. A program that does not take it over says so when it is checked. */
#define REEXEC_VERSION 1

struct daemon;

/* client: whom to answer (control.c). 0, or -errno with *err: nothing was done. The check of the
 * new program may still refuse; then client is told, and all is as before. */
int reexec_begin(struct daemon *d, uint64_t client, struct error *err);
bool reexec_pending(void); /* the new program is being checked */
/* The new program, before anything else: takes lock and control socket. False: started afresh. */
bool reexec_load(struct daemon *d);
void reexec_clients(struct daemon *d); /* once the control socket serves: its clients */
void reexec_settle(struct daemon *d);  /* in each round: answers when all workers are adopted */

#endif
