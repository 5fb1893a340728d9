/* SPDX-License-Identifier: MIT */
/* Crash points: tests/crash/crash_point.c may kill the process here. */
#ifndef DISK_CRASH_ON_H
#define DISK_CRASH_ON_H

void crash_point(enum crash_step step, uint64_t what); /* any thread */

#endif
