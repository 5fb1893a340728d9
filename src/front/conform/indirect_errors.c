/* SPDX-License-Identifier: MIT */
/* Group errors: indirect requests that are none. */
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 3584u /* sectors: where these cases work */

static struct xenblkfront_request good(struct cf *c, unsigned n)
{
	cf_connect(c, NULL);
	return cf_indirect(c, BLKIF_OP_READ, AT, 0, 16, n);
}

static void want_refused(struct cf *c, const struct xenblkfront_request *r, const char *what)
{
	struct xenblkfront_response rsp = cf_ask(c, r);

	if (rsp.status == BLKIF_RSP_OKAY)
		cf_fail(c, "%s: expected ERROR, saw OKAY", what);
	struct xenblkfront_request next = cf_indirect(c, BLKIF_OP_READ, AT, 0, 16, 12);
	cf_want(c, &next, BLKIF_RSP_OKAY, "a good indirect request after a bad one");
}

static void bad_inner_op(struct cf *c)
{
	struct xenblkfront_request r = good(c, 12);
	char what[64];

	r.inner_op = (uint8_t)c->at->number;
	snprintf(what, sizeof what, "an indirect request with inner operation %u", c->at->number);
	want_refused(c, &r, what);
}

static void no_segments(struct cf *c)
{
	struct xenblkfront_request r = good(c, 1);

	r.nr_segments = 0;
	want_refused(c, &r, "an indirect request of 0 segments");
}

static void over_maximum(struct cf *c)
{
	struct xenblkfront_request r = good(c, 12);

	/* All eight pages have descriptors: the number alone is wrong. */
	for (unsigned k = 0; k < 8; k++)
		r.indirect[k] = r.indirect[0];
	r.nr_segments =
	    c->at->number ? (uint16_t)c->at->number : (uint16_t)(c->info.max_indirect_segments + 1);
	for (unsigned i = 0; i < 512; i++) {
		uint8_t *d = c->mem + 31 * CF_PAGE + 8 * i;
		memcpy(d, &c->ref[i % 16], 4);
		d[4] = 0;
		d[5] = 7;
	}
	r.sector = 0;
	want_refused(c, &r, "an indirect request of more segments than are offered");
}

static void bad_page_gref(struct cf *c)
{
	struct xenblkfront_request r = good(c, 12);

	r.indirect[0] = 0xfffffff0;
	want_refused(c, &r, "an indirect request, its descriptors' page not granted");
}

static void bad_segment_gref(struct cf *c)
{
	struct xenblkfront_request r = good(c, 16);

	cf_descriptor(c, &r, 13, 0xfffffff0, 0, 7);
	want_refused(c, &r, "an indirect request, one of its pages not granted");
}

static void bad_range(struct cf *c)
{
	struct xenblkfront_request r = good(c, 16);

	cf_descriptor(c, &r, 13, c->ref[0], (uint8_t)(c->at->number >> 8), (uint8_t)c->at->number);
	want_refused(c, &r, "an indirect request, one of its segments no range in its page");
}

static void across_the_end(struct cf *c)
{
	struct xenblkfront_request r = good(c, 16);

	r.sector = c->info.sectors - 8 * 15;
	want_refused(c, &r, "an indirect read, the last of 16 pages beyond the end");
}

static void readonly_disk(struct cf *c)
{
	struct xenblkfront_request r = good(c, 12);

	if (!(c->info.info & VDISK_READONLY))
		cf_skip(c, "the disk is not read-only");
	r.inner_op = BLKIF_OP_WRITE;
	want_refused(c, &r, "an indirect write to a read-only disk");
}

static void id_echo(struct cf *c)
{
	struct xenblkfront_request r = good(c, 12);

	r.nr_segments = 0;
	c->next_id = 0xfedcba9876543210;
	cf_ask(c, &r);
}

#define INDIRECT "blkif.h: BLKIF_OP_INDIRECT"

const struct conform_case conform_indirect_errors[] = {
    {"indirect-of-flush-refused", "blkif.h: struct blkif_request_indirect: BLKIF_OP_{READ/WRITE}",
     bad_inner_op, BLKIF_OP_FLUSH_DISKCACHE},
    {"indirect-of-discard-refused", "blkif.h: struct blkif_request_indirect: BLKIF_OP_{READ/WRITE}",
     bad_inner_op, BLKIF_OP_DISCARD},
    {"indirect-of-indirect-refused",
     "blkif.h: struct blkif_request_indirect: BLKIF_OP_{READ/WRITE}", bad_inner_op,
     BLKIF_OP_INDIRECT},
    {"indirect-of-0-segments-refused",
     "convention: a read or write without data is an error (xen-blkback)", no_segments},
    {"indirect-over-maximum-refused", INDIRECT ", feature-max-indirect-segments", over_maximum, 0},
    {"indirect-of-65535-refused", INDIRECT ", BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST", over_maximum,
     65535},
    {"indirect-page-not-granted", INDIRECT "; grant_table.h: only what was granted", bad_page_gref},
    {"indirect-segment-not-granted", INDIRECT "; grant_table.h: only what was granted",
     bad_segment_gref},
    {"indirect-first-beyond-last", "blkif.h: struct blkif_request_segment", bad_range, 4 << 8 | 3},
    {"indirect-last-8", "blkif.h: struct blkif_request_segment: last sector in frame", bad_range,
     8},
    {"indirect-across-the-end", INDIRECT "; sectors", across_the_end},
    {"indirect-readonly-disk", "blkif.h: mode, VDISK_READONLY", readonly_disk},
    {"indirect-id-echo", "blkif.h: struct blkif_response: id, copied from request", id_echo},
    {0},
};
