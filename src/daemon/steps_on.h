/* SPDX-License-Identifier: MIT */
/* Steps to be killed at: tests/integration/upgrade_steps.c does it. */
#ifndef DAEMON_STEPS_ON_H
#define DAEMON_STEPS_ON_H

void upgrade_step(enum upgrade_step step, pid_t old, pid_t new);

#endif
