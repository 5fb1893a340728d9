/* SPDX-License-Identifier: MIT */
/*
 * A verifying writer: a front end in a process of its own that keeps a ring full of reads, writes,
 * flushes, barriers and discards, and knows at any time which bytes may be where. Each sector
 * names its disk, block and version. It connects again and again; in each connection it checks
 * every answer, at its end every block through the front end, and then the image itself.
 */
#ifndef TESTS_LIB_WRITER_H
#define TESTS_LIB_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WRITER_BLOCK 4096u
#define WRITER_BLOCKS 512u /* of the image; larger ones are used this far */
#define WRITER_BYTES (WRITER_BLOCK * WRITER_BLOCKS)

/* Memory that the test shares with the writer. */
struct writer_board {
	unsigned round; /* connections begun: by the writer */
	unsigned ios;   /* requests answered: by the writer */
	bool stop;      /* by the test: end after this connection */
	bool hold;      /* by the test: no new connection and no end of this one */
	bool rest;      /* by the test: nothing in flight, connected, until it is false again */
	bool resting;   /* by the writer: so it is */
};

struct writer_options {
	const char *run_dir;
	unsigned domid;
	const char *vdev;  /* NULL: xvda */
	const char *image; /* for the last look; NULL: none (a target that forgets) */
	const char *abi;
	unsigned ring_order;
	unsigned queues; /* asked for; 0: one, and no key for it */
	bool persistent; /* feature-persistent */
	bool indirect;   /* half of its reads and writes are indirect requests */
	uint64_t seed;
	unsigned round_ms;    /* of a connection, at least; up to twice that. 0: 250 */
	unsigned patience_ms; /* for an answer. 0: 30 s */
	/* These may answer ERROR (a storage that fails on request): what a failed write left is
	 * then one of two versions, sector by sector. */
	bool errors;
	struct writer_board *board;
};

/* A board for n writers; munmap by exit. */
struct writer_board *writer_boards(unsigned n);
/* Starts one. What it finds wrong it says on stderr, and ends with status 1. */
pid_t writer_start(const struct writer_options *opt);
/* Fails the test if the process has ended. */
void writer_check(pid_t writer);
/* Asks it to end and waits; fails the test unless it was content. */
void writer_finish(pid_t writer, struct writer_board *board);

#endif
