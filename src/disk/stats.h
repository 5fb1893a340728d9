/* SPDX-License-Identifier: MIT */
/*
 * Statistics of one disk: a page in a file of the disk's folder ("stats"), written by the worker's
 * queue threads (each its own queue's line; relaxed stores), read by the supervisor with pread.
 * It outlives the worker; counters only grow while the device exists. Names and meaning as in
 * Linux's sysfs, as far as it has them.
 *
 * Each request counts once, however many workers had it in hand. A worker that is killed between an
 * event and its counter has counted too few: at most what it had in hand.
 */
#ifndef DISK_STATS_H
#define DISK_STATS_H

#include <stdint.h>

#define STATS_MAGIC 0x78656e626c6b7331ull /* "xenblks1" */
#define STATS_MAX_QUEUES 16
#define STATS_REFUSALS 16

struct stats_queue {
	uint64_t oo_req; /* requests that found no memory when their turn came */
	/* requests taken from the ring, sound or not: reads, writes, flushes and barriers, discards
	 */
	uint64_t rd_req, wr_req, f_req, ds_req;
	uint64_t rd_sect, wr_sect; /* 512-byte sectors given to the storage, to read and to write */
	uint64_t errors;           /* requests answered with an error by storage or grant failure */
	uint64_t refused[STATS_REFUSALS]; /* answered so, by enum blkif_refusal; bad grants are in
	                                     errors, too */
	uint64_t notify;                  /* events sent to the front end */
	uint64_t wakeups;                 /* times the thread slept and woke */
	uint64_t inflight;                /* now */
	uint64_t persistent;              /* pages kept mapped, now */
	/* operations that the storage failed: reads, writes, flushes, discards. One request can be
	 * several */
	uint64_t rd_err, wr_err, f_err, ds_err;
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
