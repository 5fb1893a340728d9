/* SPDX-License-Identifier: MIT */
/*
 * Statistics of one disk: a page in a file of the disk's folder ("stats"), written by the worker's
 * queue threads (each its own queue's line; relaxed stores), read by the supervisor with pread.
 * It outlives the worker; counters only grow while the device exists. Names as in Linux's sysfs.
 */
#ifndef DISK_STATS_H
#define DISK_STATS_H

#include <stdint.h>

#define STATS_MAGIC 0x78656e626c6b7331ull /* "xenblks1" */
#define STATS_MAX_QUEUES 16
#define STATS_REFUSALS 16

struct stats_queue {
	uint64_t oo_req; /* found no free slot: request not taken at once */
	uint64_t rd_req, wr_req, f_req,
	    ds_req; /* requests accepted: reads, writes, flushes and barriers, discards */
	uint64_t rd_sect, wr_sect;        /* 512-byte sectors of successful reads, writes */
	uint64_t errors;                  /* requests answered ERROR by storage or grant failure */
	uint64_t refused[STATS_REFUSALS]; /* by enum blkif_refusal; bad grants are in errors, too */
	uint64_t notify;                  /* events sent to the front end */
	uint64_t wakeups;                 /* times the thread slept and woke */
	uint64_t inflight;                /* now */
	uint64_t persistent;              /* pages kept mapped, now */
} __attribute__((aligned(64)));

struct stats_page {
	uint64_t magic;
	uint32_t nr_queues;
	uint32_t pad;
	struct stats_queue queue[STATS_MAX_QUEUES];
};

/* The counters that are shown as text as well, under the names that Linux's back end has in sysfs:
 * one file each, a number, then line feeds up to a fixed size. */
#define STATS_TEXTS(X) X(oo_req) X(rd_req) X(wr_req) X(f_req) X(ds_req) X(rd_sect) X(wr_sect)
#define STATS_TEXT_ONE(name) +1
#define STATS_NR_TEXTS (0 STATS_TEXTS(STATS_TEXT_ONE))
#define STATS_TEXT_BYTES 32
#define STATS_TEXTS_DIR "statistics"

#endif
