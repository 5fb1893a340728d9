/* SPDX-License-Identifier: MIT */
/* Group errors: a bad request fails by itself, and says no more than it should. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 3072u /* sectors: where these cases work */

/* A reference that was never granted: number. */
static void bad_gref(struct cf *c)
{
	char what[64];

	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	r.seg[0].gref = c->at->number;
	snprintf(what, sizeof what, "reading into reference %u, which was not granted",
	         c->at->number);
	cf_want(c, &r, BLKIF_RSP_ERROR, what);
}

static void bad_gref_written(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 1, 800);
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 1);
	w.seg[0].gref = 0xfffffff0;
	cf_want(c, &w, BLKIF_RSP_ERROR, "writing from a reference that was not granted");
	cf_check(c, AT, 1, 800, "the page it was to be written to");
}

static void bad_gref_at_last(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 11);
	r.seg[10].gref = 0xfffffff0;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading 11 segments, the last reference not granted");
}

static void bad_gref_writes_nothing(struct cf *c)
{
	cf_connect_rw(c, NULL);
	cf_put(c, AT, 3, 801);
	cf_fill(c->mem, 3 * CF_PAGE, 802);
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 3);
	w.seg[1].gref = 0xfffffff0;
	cf_want(c, &w, BLKIF_RSP_ERROR, "writing three segments, the second not granted");
	cf_check(c, AT, 3, 801, "the disk, after a write with a bad reference");
}

static void freed_gref(struct cf *c)
{
	uint32_t ref;
	void *page;

	cf_connect(c, NULL);
	cf_must(c, xenblkfront_alloc(c->f, 1, true, &page, &ref), "granting a page");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 1);
	cf_must(c, xenblkfront_free(c->f, page, 1), "taking the page back");
	r.seg[0].gref = ref;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading into a page that was taken back");
}

static void revoked_gref(struct cf *c)
{
	cf_connect(c, NULL);
	int rc = xenblkfront_revoke(c->f, &c->ref[5], 1);
	if (rc == -ENOTSUP)
		cf_skip(c, "a real Xen does not revoke grants");
	cf_must(c, rc, "revoking a grant");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 5, 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading into a page whose grant was revoked");
}

/* number: what is wrong with every third of 32 requests. */
static void neighbours_fine(struct cf *c)
{
	struct xenblkfront_response rsp[32];
	uint64_t first;

	cf_connect(c, NULL);
	first = c->next_id;
	for (unsigned i = 0; i < 32; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 8 * i, i, 1);
		if (i % 3 == 1 && c->at->number == 0)
			r.seg[0].gref = 0xfffffff0 - i;
		else if (i % 3 == 1 && c->at->number == 1)
			r.sector = CF_FAR + 8 * i;
		else if (i % 3 == 1)
			r.nr_segments = 200;
		cf_queue(c, &r);
	}
	cf_kick(c);
	cf_collect(c, 32, rsp);
	for (unsigned i = 0; i < 32; i++) {
		bool bad = (rsp[i].id - first) % 3 == 1;
		cf_check_status(c, &rsp[i], bad ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY,
		                bad ? "a bad request among good ones"
		                    : "a good request among bad ones");
	}
}

static void neighbours_data(struct cf *c)
{
	struct xenblkfront_response rsp[16];

	cf_connect_rw(c, NULL);
	for (unsigned i = 0; i < 16; i++) {
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
		cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 810 + i);
		if (i % 2)
			w.seg[0].gref = 0xfffffff0 - i;
		cf_queue(c, &w);
	}
	cf_kick(c);
	cf_collect(c, 16, rsp);
	for (unsigned i = 0; i < 16; i += 2)
		cf_check(c, AT + 8 * i, 1, 810 + i, "a good write among bad ones");
}

static void good_after_bad(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading beyond the end");
	cf_works(c, "after a bad request");
}

static void many_bad(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 1);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 32; i++)
			cf_queue(c, &r);
		cf_kick(c);
		cf_collect(c, 32, rsp);
		for (unsigned i = 0; i < 32; i++)
			cf_check_status(c, &rsp[i], BLKIF_RSP_ERROR, "one of 320 bad requests");
	}
	cf_works(c, "after 320 bad requests");
}

static void stays_connected(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 12);
	for (unsigned i = 0; i < 20; i++)
		cf_ask(c, &r);
	int rc =
	    xenblkfront_wait_backend(c->f, ~CF_STATE(XS_CONNECTED) & 0x1ff, cf_ms(c, CF_QUIET_MS));
	if (rc != -ETIMEDOUT)
		cf_fail(c, "expected the back end to stay Connected after bad requests, saw %s",
		        xenbus_state_name(rc));
}

static void bad_echo(struct cf *c)
{
	cf_connect(c, NULL);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_WRITE, CF_FAR, 0, 12);
	c->next_id = 0xabcdef0123456789;
	struct xenblkfront_response rsp = cf_ask(c, &r);
	if (rsp.op != BLKIF_OP_WRITE)
		cf_fail(c, "expected operation 1 in the response to a bad write, saw %u", rsp.op);
}

/* A read that failed must not have brought somebody else's bytes: what is not zero in the page must
 * be ours or the disk's. */
static void failed_read_leaves_page(struct cf *c)
{
	cf_connect(c, NULL);
	memset(c->mem, 0x66, CF_PAGE);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading beyond the end");
	cf_all(c, c->mem, CF_PAGE, 0x66, "the page of a read that failed");
}

/* ---- the padding of responses ---- */

/* The slot has been ours before: each byte that is not part of the response must be what stood
 * there, or zero. Padding in the x86_64 layout: byte 9, 12 to 15; x86_32: byte 9. */
static void padding(struct cf *c)
{
	bool is_64 = c->at->number & 1, bad = c->at->number & 2;
	uint8_t before[XENBLKFRONT_SLOT_MAX], after[XENBLKFRONT_SLOT_MAX];
	struct xenblkfront_response rsp;

	cf_connect(c, CF_OPTIONS(.abi = is_64 ? "x86_64" : "x86_32"));
	for (unsigned i = 0; i < 32; i++) {
		uint64_t sector = bad ? CF_FAR : 8 * i;
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, sector, i, 1);
		c->next_id = 0x5a5a5a5a5a5a5a00 + i;
		cf_queue(c, &r);
		int size = cf_must(c, xenblkfront_get_slot(c->f, i, before), "looking at the slot");
		cf_kick(c);
		cf_collect(c, 1, &rsp);
		cf_must(c, xenblkfront_get_slot(c->f, i, after), "looking at the slot");
		for (int at = 9; at < size; at++) {
			if (at == 10 || at == 11 || after[at] == before[at] || !after[at])
				continue;
			cf_fail(c,
			        "byte %d of the response's slot: expected %#x as it was, or 0, "
			        "saw %#x",
			        at, before[at], after[at]);
		}
	}
}

#define GREF "grant_table.h: grant references: only what was granted; blkif.h: BLKIF_RSP_ERROR"
#define ALONE "blkif.h: struct blkif_response: a status for each request"
#define PADDING                                                                             \
	"convention: no bytes of the back end's memory in a response's padding (XSA-216); " \
	"blkif.h: struct blkif_response has no members there"

const struct conform_case conform_errors[] = {
    {"gref-unknown-refused", GREF, bad_gref, 0xffff},
    {"gref-out-of-table-refused", GREF, bad_gref, 0xfffffff0},
    {"gref-all-ones-refused", GREF, bad_gref, 0xffffffff},
    {"gref-unknown-write-refused", GREF, bad_gref_written},
    {"gref-last-of-11-refused", GREF, bad_gref_at_last},
    {"bad-gref-writes-nothing",
     "convention: all pages are mapped or copied before anything is written (xen-blkback, QEMU)",
     bad_gref_writes_nothing},
    {"freed-gref-refused", GREF, freed_gref},
    {"revoked-gref-refused", GREF, revoked_gref},
    {"neighbours-of-bad-gref-fine", ALONE " (XSA-361, XSA-365)", neighbours_fine, 0},
    {"neighbours-of-bad-sector-fine", ALONE, neighbours_fine, 1},
    {"neighbours-of-bad-count-fine", ALONE, neighbours_fine, 2},
    {"neighbours-of-bad-gref-write", ALONE, neighbours_data},
    {"good-after-bad", ALONE, good_after_bad},
    {"many-bad-requests", ALONE, many_bad},
    {"stays-connected-after-errors",
     "convention: an error is the request's; the device goes on (xen-blkback, QEMU, tapdisk)",
     stays_connected},
    {"error-echoes-id-and-op",
     "blkif.h: struct blkif_response: id and operation, copied from request", bad_echo},
    {"failed-read-leaves-page", "convention: a refused read moves no data",
     failed_read_leaves_page},
    {"x86_64-padding", PADDING, padding, 1},
    {"x86_32-padding", PADDING, padding, 0},
    {"x86_64-padding-of-error", PADDING, padding, 3},
    {"x86_32-padding-of-error", PADDING, padding, 2},
    {0},
};
