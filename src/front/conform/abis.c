/* SPDX-License-Identifier: MIT */
/* Group ABIs: the layouts of requests and responses. Values are chosen so that another layout would
 * show. */
#include <errno.h>
#include <string.h>

#include "front/conform/case.h"

static const char *const abis[] = {"x86_64", "x86_32", "native"};

static void connect_abi(struct cf *c)
{
	cf_connect(c, CF_OPTIONS(.abi = abis[c->at->number]));
}

static void connect_abi_rw(struct cf *c)
{
	cf_connect_rw(c, CF_OPTIONS(.abi = abis[c->at->number]));
}

static void serves(struct cf *c)
{
	connect_abi(c);
	cf_works(c, "with this layout");
}

static void id_64_bits(struct cf *c)
{
	static const uint64_t ids[] = {0xfedcba9876543210, 0x0123456789abcdef, 0xffffffff00000000,
	                               0x00000000ffffffff, UINT64_MAX};

	connect_abi(c);
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
		c->next_id = ids[i];
		cf_want(c, &r, BLKIF_RSP_OKAY, "reading");
	}
}

/* All eleven descriptors, each with a page of its own. */
static void eleven_segments(struct cf *c)
{
	connect_abi_rw(c);
	cf_put(c, 128, 11, 11);
	cf_check(c, 128, 11, 11, "reading 11 segments");
}

/* The last descriptor's page is not beside the others. */
static void last_descriptor(struct cf *c)
{
	connect_abi_rw(c);
	cf_put(c, 128, 10, 12);
	cf_put(c, 128 + 80, 1, 13);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 128, 0, 11);
	r.seg[10].gref = c->ref[20];
	memset(c->mem, 0, 21 * CF_PAGE);
	cf_want(c, &r, BLKIF_RSP_OKAY, "reading 11 segments");
	cf_same(c, c->mem, 10 * CF_PAGE, 12, "the first ten");
	cf_same(c, c->mem + 20 * CF_PAGE, CF_PAGE, 13, "the eleventh");
	cf_all(c, c->mem + 10 * CF_PAGE, CF_PAGE, 0, "the page that no descriptor names");
}

static void sector_64_bits(struct cf *c)
{
	connect_abi(c);
	if (c->info.sectors > 1ull << 32)
		cf_skip(c, "the disk has more than 2^32 sectors");
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 1ull << 32, 0, 1);
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading sector 2^32, beyond the end");
}

/* Where a response's members are in the slot, byte by byte. */
static void response_layout(struct cf *c)
{
	uint64_t id = 0x8877665544332211;
	uint8_t slot[XENBLKFRONT_SLOT_MAX];
	int16_t status;
	uint64_t is;

	connect_abi(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, CF_FAR, 0, 1);
	c->next_id = id;
	cf_want(c, &r, BLKIF_RSP_ERROR, "reading beyond the end");
	cf_must(c, xenblkfront_get_slot(c->f, 0, slot), "looking at the slot");
	memcpy(&is, slot, 8);
	memcpy(&status, slot + 10, 2);
	if (is != id || slot[8] != BLKIF_OP_READ || status != BLKIF_RSP_ERROR)
		cf_fail(c,
		        "expected id %#llx at 0, operation 0 at 8, status -1 at 10, saw %#llx, "
		        "%u, %d",
		        (unsigned long long)id, (unsigned long long)is, slot[8], status);
}

static void discard_layout(struct cf *c)
{
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD};

	connect_abi_rw(c);
	if (!c->info.discard)
		cf_skip(c, "not offered: feature-discard");
	d.nr_sectors = (8ull << 32) + 8; /* in 32 bits a good one */
	struct xenblkfront_response rsp = cf_ask(c, &d);
	if (rsp.status == BLKIF_RSP_OKAY)
		cf_fail(c, "discarding 8 * 2^32 + 8 sectors: expected ERROR, saw OKAY");
	d.nr_sectors = 8;
	d.sector = 1ull << 32;
	if (c->info.sectors <= d.sector && cf_ask(c, &d).status == BLKIF_RSP_OKAY)
		cf_fail(c, "discarding at sector 2^32: expected ERROR, saw OKAY");
	cf_put(c, 2048, 2, 13);
	d.sector = 2048 + 8;
	cf_want_optional(c, &d, "discarding 8 sectors at 2056");
	cf_check(c, 2048, 1, 13, "reading the page before the discarded one");
}

static void other_layout_reads_it(struct cf *c)
{
	cf_connect_rw(c, CF_OPTIONS(.abi = "x86_64"));
	cf_put(c, 256, 11, 14);
	cf_connect(c, CF_OPTIONS(.abi = "x86_32"));
	cf_check(c, 256, 11, 14, "reading with x86_32 what x86_64 wrote");
	cf_put(c, 256, 11, 15);
	cf_connect(c, CF_OPTIONS(.abi = "x86_64"));
	cf_check(c, 256, 11, 15, "reading with x86_64 what x86_32 wrote");
}

/* A read in the x86_64 layout is, in the x86_32 one, a read of nonsense that answers with half the
 * id somewhere else: the answer tells. */
static void protocol_absent(struct cf *c)
{
	uint64_t id = 0x1122334455667788;
	struct xenblkfront_response rsp;

	cf_offer(c, CF_OPTIONS(.abi = "x86_64"));
	cf_key(c, "protocol", NULL);
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	struct xenblkfront_request r = cf_rw(c, BLKIF_OP_READ, 0, 0, 1);
	c->next_id = id;
	cf_queue(c, &r);
	cf_kick(c);
	cf_collect(c, 1, &rsp);
	if (rsp.id == id) {
		cf_check_status(c, &rsp, BLKIF_RSP_OKAY, "reading in the x86_64 layout");
		cf_works(c, "in the x86_64 layout");
		cf_note(c, "taken as x86_64");
		return;
	}
	cf_connect(c, CF_OPTIONS(.abi = "none"));
	cf_works(c, "in the x86_32 layout, as the x86_64 one was not understood");
	cf_note(c, "taken as x86_32");
}

#define LAYOUT "blkif.h: protocol, "
#define REQUEST LAYOUT "struct blkif_request"
#define RESPONSE LAYOUT "struct blkif_response"
#define DISCARD LAYOUT "struct blkif_request_discard"

const struct conform_case conform_abis[] = {
    {"x86_64-serves", LAYOUT "protocols.h: XEN_IO_PROTO_ABI_X86_64", serves, 0},
    {"x86_32-serves", LAYOUT "protocols.h: XEN_IO_PROTO_ABI_X86_32", serves, 1},
    {"native-serves", LAYOUT "protocols.h: XEN_IO_PROTO_ABI_NATIVE", serves, 2},
    {"protocol-absent",
     "convention: blkif.h says native; on x86, xen-blkback, QEMU and tapdisk take x86_32, FreeBSD "
     "and NetBSD native",
     protocol_absent},
    {"x86_64-id-64-bits", REQUEST ": id, echoed in the response", id_64_bits, 0},
    {"x86_32-id-64-bits", REQUEST ": id, echoed in the response", id_64_bits, 1},
    {"x86_64-eleven-segments", REQUEST ": seg", eleven_segments, 0},
    {"x86_32-eleven-segments", REQUEST ": seg", eleven_segments, 1},
    {"x86_64-last-descriptor", REQUEST ": seg[10]", last_descriptor, 0},
    {"x86_32-last-descriptor", REQUEST ": seg[10]", last_descriptor, 1},
    {"x86_64-sector-64-bits", REQUEST ": sector_number", sector_64_bits, 0},
    {"x86_32-sector-64-bits", REQUEST ": sector_number", sector_64_bits, 1},
    {"x86_64-response-layout", RESPONSE, response_layout, 0},
    {"x86_32-response-layout", RESPONSE, response_layout, 1},
    {"x86_64-discard-layout", DISCARD, discard_layout, 0},
    {"x86_32-discard-layout", DISCARD, discard_layout, 1},
    {"other-layout-reads-it", "blkif.h: protocol: it is about requests and responses, not data",
     other_layout_reads_it},
    {0},
};
