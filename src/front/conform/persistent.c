/* SPDX-License-Identifier: MIT */
/* Group operations: pages that the back end may keep mapped, and those that it may not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/conform/case.h"

#define AT 4096u /* sectors: where these cases work */

static void connect(struct cf *c)
{
	cf_connect_rw(c, CF_OPTIONS(.persistent = true));
	if (!c->info.persistent)
		cf_skip(c, "not offered: feature-persistent");
}

/* The same page with other data each time: a mapping is kept, not the data. */
static void reused_pages(struct cf *c)
{
	connect(c);
	for (unsigned i = 0; i < 100; i++) {
		cf_put(c, AT + 8 * (i % 4), 1, 1500 + i);
		cf_check(c, AT + 8 * (i % 4), 1, 1500 + i, "a page that is used over and over");
	}
}

static void read_then_written(struct cf *c)
{
	connect(c);
	cf_put(c, AT, 1, 1600);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 5, 1);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading into a page");
	struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8, 5, 1);
	cf_want(c, &w, BLKIF_RSP_OKAY, "writing from the page that was read into");
	cf_check(c, AT + 8, 1, 1600, "its copy");
}

static void fresh_pages(struct cf *c)
{
	uint32_t ref[8];
	void *mem;

	connect(c);
	for (unsigned i = 0; i < 20; i++) {
		cf_must(c, xenblkfront_alloc(c->f, 8, true, &mem, ref), "granting pages");
		struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT, 0, 8);
		cf_fill(mem, 8 * CF_PAGE, 1700 + i);
		for (unsigned k = 0; k < 8; k++)
			w.seg[k].gref = ref[k];
		cf_want(c, &w, BLKIF_RSP_OKAY, "writing from pages that were not used before");
		cf_check(c, AT, 8, 1700 + i, "what was written from them");
	}
}

static void full_ring(struct cf *c)
{
	struct xenblkfront_response rsp[32];

	connect(c);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request w = cf_rw(c, BLKIF_OP_WRITE, AT + 8 * i, i, 1);
			cf_fill(c->mem + i * CF_PAGE, CF_PAGE, 1800 + 32 * round + i);
			cf_queue(c, &w);
		}
		cf_kick(c);
		cf_collect(c, 32, rsp);
		for (unsigned i = 0; i < 32; i++)
			cf_check_status(c, &rsp[i], BLKIF_RSP_OKAY, "a write in a full ring");
		for (unsigned i = 0; i < 32; i++)
			cf_check(c, AT + 8 * i, 1, 1800 + 32 * round + i, "a write in a full ring");
	}
}

static void with_error(struct cf *c)
{
	connect(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 3);
	r.seg[1].gref = 0xfffffff0;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading into a reference that was not granted");
	cf_works(c, "after a bad reference among persistent ones");
}

static void on_and_off(struct cf *c)
{
	for (unsigned i = 0; i < 4; i++) {
		cf_connect(c, CF_OPTIONS(.persistent = i % 2 == 0));
		cf_works(c, i % 2 ? "without feature-persistent" : "with feature-persistent");
		cf_disconnect(c);
	}
}

static void come_back_at_closed(struct cf *c)
{
	connect(c);
	if (!c->o->disk.run_dir)
		cf_skip(c, "a real Xen does not tell the front end who maps its pages");
	cf_works(c, "before the end");
	uint8_t *mem = c->mem;
	cf_disconnect(c);
	cf_must(c, xenblkfront_free(c->f, mem, CF_PAGES), "taking persistent pages back");
}

/* Linux's front end says it loudly if that is not so. */
static void unmapped_before_response(struct cf *c)
{
	uint32_t ref[11];
	void *mem;

	cf_connect(c, NULL);
	if (!c->o->disk.run_dir)
		cf_skip(c, "a real Xen does not tell the front end who maps its pages");
	for (unsigned i = 0; i < 20; i++) {
		cf_must(c, xenblkfront_alloc(c->f, 11, true, &mem, ref), "granting pages");
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, AT, 0, 11);
		for (unsigned k = 0; k < 11; k++)
			r.seg[k].gref = ref[k];
		cf_want(c, &r, BLKIF_RSP_OKAY, "reading");
		cf_must(c, xenblkfront_free(c->f, mem, 11),
		        "taking pages back right after the response");
	}
}

#define PERSISTENT "blkif.h: feature-persistent"

const struct conform_case conform_persistent[] = {
    {"pages-unmapped-before-response",
     "convention: without feature-persistent the pages are the guest's again with the response "
     "(Linux's front end checks it)",
     unmapped_before_response},
    {"persistent-on-and-off", PERSISTENT ": an option of each connection", on_and_off},
    {"persistent-pages-used-again",
     "blkif.h: Note 7: data is copied from and to the page where the grant is mapped",
     reused_pages},
    {"persistent-read-then-written",
     "blkif.h: Note 8: all grants are mapped with write access, for either use", read_then_written},
    {"persistent-fresh-pages",
     PERSISTENT ": over its limit a back end falls back to non-persistent mode", fresh_pages},
    {"persistent-full-ring", PERSISTENT, full_ring},
    {"persistent-bad-gref", PERSISTENT "; grant_table.h: only what was granted", with_error},
    {"persistent-pages-come-back",
     "convention: Closed: nothing of the guest's is mapped any more (XSA-371)",
     come_back_at_closed},
    {0},
};
