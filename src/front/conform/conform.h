/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: cases that judge a Xen block back end, whichever it is, from the guest's
 * side. It knows of the other end what its xenstore keys, its ring and its answers say, no more.
 *
 * A case's source says who demands the behaviour: "FILE: paragraph, field or macro" of Xen's public
 * headers (blkif.h, ring.h, protocols.h, xenbus.h, grant_table.h), or "convention: …" for what
 * those leave open and the back ends and front ends in use agree on, or where they differ. Where
 * versions of blkif.h differ it is the one of Xen 4.20 (sectors of 512 bytes).
 */
#ifndef FRONT_CONFORM_CONFORM_H
#define FRONT_CONFORM_CONFORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "xenblkfront.h"

struct cf; /* what a case works with: case.h */

/* One behaviour. Constant data. */
struct conform_case {
	const char *name;   /* unique: lower-case-with-hyphens */
	const char *source; /* see above */
	void (*run)(struct cf *c);
	/* for functions that serve several cases */
	unsigned number;
	const char *key, *value;
};

struct conform_group {
	const char *name;
	const struct conform_case *const
	    *cases;   /* arrays that end with a NULL name; NULL at the end */
	bool hostile; /* after each case a fresh connection must serve the right data */
};
extern const struct conform_group conform_groups[]; /* ends with a NULL name */

enum conform_result { CONFORM_PASS, CONFORM_FAIL, CONFORM_SKIP };
const char *conform_result_name(enum conform_result r); /* "pass", "fail", "skip" */

#define CONFORM_DETAIL_MAX 600
struct conform_outcome {
	const struct conform_group *group;
	const struct conform_case *at;
	enum conform_result result;
	char detail[CONFORM_DETAIL_MAX]; /* what was expected and seen, or why it was skipped; one
	                                    printable line */
};

struct conform_options {
	struct xenblkfront_options disk; /* which; ABI, ring order and the like are the cases' */
	unsigned case_ms;    /* how long one case may take in all; 0: six times disk.timeout_ms */
	const char *group;   /* only this group, or NULL */
	const char *pattern; /* only these cases, see conform_matches; or NULL */
	/* Any of them may be NULL. */
	/* A back end that cannot be used any more after a case: brings it back, by whatever means
	 * its host has. false: it could not, and why. Not called after the last case. */
	bool (*revive)(void *arg, const struct conform_case *k, struct error *why);
	bool (*stop)(void *arg); /* asked before each case; true: no more of them */
	void (*begins)(void *arg, const struct conform_group *g, const struct conform_case *k);
	void (*ends)(void *arg, const struct conform_outcome *o);
	void *arg;
};

/* Whether the case is asked for: group and pattern fit. A pattern with *, ? or [ is a glob for the
 * whole name, any other one a part of it. */
bool conform_matches(const struct conform_options *o, const struct conform_group *g,
                     const struct conform_case *k);
unsigned conform_count(const struct conform_options *o); /* how many are */

/*
 * Runs them one after the other, each on a connection of its own. OVERWRITES the disk. 0 if all
 * were run, whatever came out; -ENODEV, -ECONNREFUSED … with *err if there is no disk that answers
 * at the start; -EINTR if stop() said so. *info (may be NULL) is what the back end said at the
 * start. A back end that cannot be connected any more after a case failed, and that revive() does
 * not bring back: the others are skipped.
 */
int conform_run(const struct conform_options *o, struct xenblkfront_info *info, struct error *err);

#endif
