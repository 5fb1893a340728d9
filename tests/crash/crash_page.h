/* SPDX-License-Identifier: MIT */
/*
 * What a test and the workers of its host share: where the next worker is to be killed. A file that
 * XENBLKD_CRASH_PAGE names, mapped by both.
 */
#ifndef TESTS_CRASH_PAGE_H
#define TESTS_CRASH_PAGE_H

#include "disk/crash_steps.h"

#define CRASH_SCRIPT_MAX 16
#define CRASH_ANY UINT64_MAX
#define CRASH_FORBIDDEN \
	1000 /* in place of a signal: a system call that no sandbox allows, getppid */

struct crash_order {
	uint32_t step;   /* enum crash_step */
	uint32_t passes; /* killed when it comes by for the so-manieth time */
	uint64_t what;   /* only there, or CRASH_ANY */
	int32_t signal;
};

struct crash_page {
	uint32_t next, nr; /* orders before `next` are carried out; by workers, in order */
	struct crash_order script[CRASH_SCRIPT_MAX];
	uint32_t lost;            /* so many openings are told that the page cache lost data */
	uint32_t kills[CRASH_NR]; /* carried out so far, by step */
};

#endif
