/* SPDX-License-Identifier: MIT */
/* Inside the xenblkfront tool: its options, and what its commands share. */
#ifndef FRONT_TOOL_H
#define FRONT_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "xenblkfront.h"

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

enum bench_op { BENCH_READ, BENCH_WRITE, BENCH_MIXED };

enum tool_command {
	CMD_INFO,
	CMD_READ,
	CMD_WRITE,
	CMD_FLUSH,
	CMD_DISCARD,
	CMD_BENCH,
	CMD_CONFORM,
};

/* The command line. Written once by main, then read only. */
struct tool_options {
	unsigned command; /* enum tool_command */
	struct xenblkfront_options front;
	bool json, connect, progress, no_flush, secure;
	bool list, overwrite;                 /* conform */
	const char *group, *pattern, *revive; /* … */
	bool have_offset, have_length;
	uint64_t offset, length;
	unsigned op;         /* enum bench_op */
	unsigned sequential; /* or 0: random */
	unsigned depth, seconds;
	unsigned abi; /* what front.abi was made of */
	uint64_t size;
};

/* Reads the command line into *o, which has the defaults. 0; -1: help was asked for and given; else
 * an exit status, and the reason is said. */
int tool_parse(int argc, char **argv, struct tool_options *o);

/* A command gets an open handle, connected if the command asked for it, and returns an exit status.
 * It has said what went wrong. */
int tool_info(struct xenblkfront *f, const struct tool_options *o);
int tool_read(struct xenblkfront *f, const struct tool_options *o);
int tool_write(struct xenblkfront *f, const struct tool_options *o);
int tool_flush(struct xenblkfront *f, const struct tool_options *o);
int tool_discard(struct xenblkfront *f, const struct tool_options *o);
int tool_bench(struct xenblkfront *f, const struct tool_options *o);
/* Judges the back end: handles of its own, signals held. */
int tool_conform(const struct tool_options *o);

#endif
