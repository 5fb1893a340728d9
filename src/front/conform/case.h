/* SPDX-License-Identifier: MIT */
/*
 * What a case is written with. A case is a plain function; whatever it finds wrong ends it at once:
 * cf_fail, cf_skip and every helper that checks something do not return then (longjmp to the
 * runner), so a case must own nothing but what the struct holds. Units: sectors of 512 bytes, pages
 * of 4096 bytes.
 */
#ifndef FRONT_CONFORM_CASE_H
#define FRONT_CONFORM_CASE_H

#include <setjmp.h>
#include <stdint.h>

#include "blkif/abi.h"
#include "front/conform/conform.h"
#include "xen/store.h" /* XS_*, no access */

#define CF_PAGE 4096u
#define CF_PAGES 32          /* granted to every connection */
#define CF_RING_MAX 512      /* slots of the largest ring */
#define CF_MIN_SECTORS 8192u /* the smallest disk that can be judged: 4 MiB */
#define CF_QUIET_MS 100      /* how long nothing must happen for "nothing happens" */
#define CF_REFUSE_MS 1000    /* how long a back end may take to say no; silence is a no, too */
#define CF_FAR (1ull << 50)  /* a sector beyond any disk, whatever it is counted in */
#define CF_STATE(s) (1u << (s))
#define CF_CLOSES (CF_STATE(XS_CLOSING) | CF_STATE(XS_CLOSED))

/* One thread's. */
struct cf {
	const struct conform_options *o;
	const struct conform_case *at;
	uint64_t deadline; /* of the case */
	/* the connection; the runner ends it */
	struct xenblkfront *f; /* NULL: not opened */
	struct xenblkfront_info info;
	uint8_t *mem; /* CF_PAGES, writable for the back end; NULL: not connected */
	uint32_t ref[CF_PAGES];
	uint64_t next_id;
	/* how it ended */
	jmp_buf out;
	enum conform_result result;
	char detail[CONFORM_DETAIL_MAX];
};

/* ---- verdicts ---- */

_Noreturn void cf_fail(struct cf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void cf_skip(struct cf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For a case that passes with something to say. Returns. */
void cf_note(struct cf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A call of the library: negative fails the case with `what` and the library's words. */
int cf_must(struct cf *c, int rc, const char *what);
const char *cf_status(int status); /* "OKAY" … */
/* Milliseconds that are left for the case, at most max; fails it if there are none. */
int cf_ms(struct cf *c, int max);

/* ---- connections; each replaces the one before ---- */

#define CF_OPTIONS(...) (&(struct xenblkfront_options){__VA_ARGS__})
/* Opens only. more: abi, ring_order and the like; NULL: the defaults. */
void cf_open(struct cf *c, const struct xenblkfront_options *more);
/* … and connects, reads info, grants c->mem. */
void cf_connect(struct cf *c, const struct xenblkfront_options *more);
/* … and skips on a read-only disk. */
void cf_connect_rw(struct cf *c, const struct xenblkfront_options *more);
/* … with n queues, from 2 to 16; skips if the back end offers fewer. Queue 0 is selected. */
void cf_connect_queues(struct cf *c, unsigned n, const struct xenblkfront_options *more);
void cf_select(struct cf *c, unsigned queue);
/* Opened, back end in InitWait, ring and port published, our state Initialising: what is left is to
 * spoil keys and write Initialised. */
void cf_offer(struct cf *c, const struct xenblkfront_options *more);
/* After an offer: waits for Connected, writes Connected, then as cf_connect. */
void cf_finish(struct cf *c);
/* Orderly: the back end must reach Closed. The handle stays open. */
void cf_disconnect(struct cf *c);
/* The guest vanishes: nothing is said to the back end. */
void cf_abandon(struct cf *c);
void cf_state(struct cf *c, int state); /* writes ours */
/* Waits until the back end's state is in the mask and returns it. why: after what. */
int cf_wait(struct cf *c, unsigned mask, const char *why);
/* After an offer was spoilt and Initialised written: Connected fails the case. */
void cf_refused(struct cf *c, const char *what);
void cf_key(struct cf *c, const char *key, const char *value); /* of ours; NULL: removes it */
/* Of the back end; false: absent. buf has room for 256. */
bool cf_back_key(struct cf *c, const char *key, char *buf);
/* … a decimal number: false: absent; else the case fails if it is none, or larger than max. */
bool cf_back_number(struct cf *c, const char *key, uint64_t max, uint64_t *out);
void cf_want_sector_512(struct cf *c); /* skips on a disk with larger ones */

/* ---- requests ---- */

/* A request over whole pages c->mem[first …]. */
struct xenblkfront_request cf_rw(struct cf *c, uint8_t op, uint64_t sector, unsigned first,
                                 unsigned pages);
/* Puts it on the ring, with the next id. Not pushed. Returns the id. */
uint64_t cf_queue(struct cf *c, const struct xenblkfront_request *req);
void cf_kick(struct cf *c);
/* Takes exactly n responses, in the order they came. */
void cf_collect(struct cf *c, unsigned n, struct xenblkfront_response *rsp);
/* Sends one and takes its response, which must have its id. */
struct xenblkfront_response cf_ask(struct cf *c, const struct xenblkfront_request *req);
/* … and demands the status. what: the request in words, "reading sector 8". */
void cf_want(struct cf *c, const struct xenblkfront_request *req, int status, const char *what);
/* … OKAY; an EOPNOTSUPP skips: blkif.h allows it at any time for barrier, flush and discard. */
void cf_want_optional(struct cf *c, const struct xenblkfront_request *req, const char *what);
/* An indirect request of n segments, whole pages c->mem[first …] over and over; their descriptors
 * are written into the pages of c->mem that end with the last one (so n is at most 2048, and the
 * data must stay out of them). Skips if that many are not offered. */
struct xenblkfront_request cf_indirect(struct cf *c, uint8_t inner_op, uint64_t sector,
                                       unsigned first, unsigned pages, unsigned n);
/* Rewrites one of its descriptors. */
void cf_descriptor(struct cf *c, const struct xenblkfront_request *r, unsigned at, uint32_t gref,
                   uint8_t first, uint8_t last);
/* A response's status, for those that were collected. */
void cf_check_status(struct cf *c, const struct xenblkfront_response *rsp, int status,
                     const char *what);

/* ---- data ---- */

/* Bytes that depend on their place and on the tag. length: a multiple of 8. */
void cf_fill(void *buf, size_t length, uint64_t tag);
/* The same bytes there? */
void cf_same(struct cf *c, const void *buf, size_t length, uint64_t tag, const char *what);
/* Every byte this one? */
void cf_all(struct cf *c, const void *buf, size_t length, uint8_t byte, const char *what);
/* Writes pages (at most 11) of the pattern `tag` to the disk, in one request, through c->mem[0 …].
 */
void cf_put(struct cf *c, uint64_t sector, unsigned pages, uint64_t tag);
/* Reads them, through the last pages of c->mem (the first 21 stay as they are), and compares. */
void cf_check(struct cf *c, uint64_t sector, unsigned pages, uint64_t tag, const char *what);
/* Some request is answered, with whatever status. */
void cf_answers(struct cf *c);
/* The connection works: a page goes there and back (a read-only disk: a read is OKAY). */
void cf_works(struct cf *c, const char *when);

/* ---- the files of cases ---- */
extern const struct conform_case conform_negotiation[], conform_keys[], conform_walks[],
    conform_rings[], conform_events[], conform_abis[], conform_segments[], conform_operations[],
    conform_discards[], conform_readonly[], conform_ordering[], conform_limits[], conform_errors[],
    conform_hostile_ring[], conform_hostile_keys[], conform_hostile_states[], conform_queues[],
    conform_queue_keys[], conform_queue_order[], conform_hostile_queues[], conform_indirect[],
    conform_indirect_errors[], conform_persistent[];

#endif
