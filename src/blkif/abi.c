/* SPDX-License-Identifier: MIT */
/*
 * Wire layouts of blkif requests and responses, as byte offsets: one table row per ABI, no struct
 * is ever laid over a ring slot.
 */
#include "blkif/abi.h"

#include <errno.h>
#include <string.h>
#include <xen/io/protocols.h>

/* The same in every ABI. */
enum {
	AT_OP = 0,
	AT_NR_SEGMENTS = 1, /* u8; also: discard flag, indirect's inner operation */
	AT_HANDLE = 2,      /* u16; not in indirect requests */
	AT_INDIRECT_NR = 2, /* u16 */
	AT_RSP_ID = 0,
	AT_RSP_OP = 8,
	AT_RSP_STATUS = 10,
	SEG_SIZE = 8, /* gref u32, first u8, last u8, two bytes of padding */
	SEG_FIRST = 4,
	SEG_LAST = 5,
};

/* Constant data. Where the two ABIs differ: u64 members lie on multiples of 4 or of 8 bytes. */
struct layout {
	uint8_t slot_size;
	uint8_t id, sector;
	uint8_t seg;                             /* read, write, flush, barrier, unknown */
	uint8_t nr_sectors;                      /* discard */
	uint8_t indirect_handle, indirect_grefs; /* indirect */
};

static const struct layout layout_x86_32 = {
    .slot_size = 108,
    .id = 4,
    .sector = 12,
    .seg = 20,
    .nr_sectors = 20,
    .indirect_handle = 20,
    .indirect_grefs = 24,
};

static const struct layout layout_x86_64 = {
    .slot_size = 112,
    .id = 8,
    .sector = 16,
    .seg = 24,
    .nr_sectors = 24,
    .indirect_handle = 24,
    .indirect_grefs = 28,
};

static const struct layout *layout_of(enum blkif_protocol p)
{
	return p == BLKIF_PROTO_X86_32 ? &layout_x86_32 : &layout_x86_64;
}

/* Raw slots may lie anywhere (a journal slot, a packed test buffer), hence memcpy. */
#define DEFINE_ACCESS(type)                         \
	static type get_##type(const uint8_t *at)   \
	{                                           \
		type v;                             \
		memcpy(&v, at, sizeof v);           \
		return v;                           \
	}                                           \
	static void put_##type(uint8_t *at, type v) \
	{                                           \
		memcpy(at, &v, sizeof v);           \
	}
DEFINE_ACCESS(uint16_t)
DEFINE_ACCESS(uint32_t)
DEFINE_ACCESS(uint64_t)
DEFINE_ACCESS(int16_t)

const char *blkif_protocol_name(enum blkif_protocol p)
{
	return p == BLKIF_PROTO_X86_32 ? XEN_IO_PROTO_ABI_X86_32 : XEN_IO_PROTO_ABI_X86_64;
}

int blkif_protocol_parse(const char *s, enum blkif_protocol *out)
{
	static const struct {
		const char *name;
		enum blkif_protocol proto;
	} names[] = {
	    {XEN_IO_PROTO_ABI_X86_32, BLKIF_PROTO_X86_32},
	    {XEN_IO_PROTO_ABI_X86_64, BLKIF_PROTO_X86_64},
	    {XEN_IO_PROTO_ABI_NATIVE, BLKIF_PROTO_NATIVE}, /* "arm-abi" when built for ARM */
	    {"native", BLKIF_PROTO_NATIVE},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(s, names[i].name)) {
			*out = names[i].proto;
			return 0;
		}
	}
	return -EINVAL;
}

size_t blkif_slot_size(enum blkif_protocol p)
{
	return layout_of(p)->slot_size;
}

void blkif_decode_req(enum blkif_protocol p, const void *raw, struct blkif_req *req)
{
	const struct layout *l = layout_of(p);
	const uint8_t *at = raw;

	memset(req, 0, sizeof *req);
	req->op = at[AT_OP];
	req->id = get_uint64_t(at + l->id);
	req->sector = get_uint64_t(at + l->sector);
	switch (req->op) {
	case BLKIF_OP_DISCARD:
		req->flag = at[AT_NR_SEGMENTS];
		req->handle = get_uint16_t(at + AT_HANDLE);
		req->nr_sectors = get_uint64_t(at + l->nr_sectors);
		break;
	case BLKIF_OP_INDIRECT:
		req->inner_op = at[AT_NR_SEGMENTS];
		req->nr_segments = get_uint16_t(at + AT_INDIRECT_NR);
		req->handle = get_uint16_t(at + l->indirect_handle);
		for (int i = 0; i < BLKIF_INDIRECT_PAGES; i++)
			req->indirect[i] = get_uint32_t(at + l->indirect_grefs + 4 * i);
		break;
	default: /* what a guest may write has 256 values */
		req->nr_segments = at[AT_NR_SEGMENTS];
		req->handle = get_uint16_t(at + AT_HANDLE);
		for (int i = 0; i < BLKIF_DIRECT_SEGS; i++) {
			const uint8_t *seg = at + l->seg + SEG_SIZE * i;
			req->seg[i].gref = get_uint32_t(seg);
			req->seg[i].first = seg[SEG_FIRST];
			req->seg[i].last = seg[SEG_LAST];
		}
		break;
	}
}

void blkif_encode_req(enum blkif_protocol p, const struct blkif_req *req, void *raw)
{
	const struct layout *l = layout_of(p);
	uint8_t *at = raw;

	memset(at, 0, l->slot_size);
	at[AT_OP] = req->op;
	put_uint64_t(at + l->id, req->id);
	put_uint64_t(at + l->sector, req->sector);
	switch (req->op) {
	case BLKIF_OP_DISCARD:
		at[AT_NR_SEGMENTS] = req->flag;
		put_uint16_t(at + AT_HANDLE, req->handle);
		put_uint64_t(at + l->nr_sectors, req->nr_sectors);
		break;
	case BLKIF_OP_INDIRECT:
		at[AT_NR_SEGMENTS] = req->inner_op;
		put_uint16_t(at + AT_INDIRECT_NR, req->nr_segments);
		put_uint16_t(at + l->indirect_handle, req->handle);
		for (int i = 0; i < BLKIF_INDIRECT_PAGES; i++)
			put_uint32_t(at + l->indirect_grefs + 4 * i, req->indirect[i]);
		break;
	default:
		at[AT_NR_SEGMENTS] = (uint8_t)req->nr_segments;
		put_uint16_t(at + AT_HANDLE, req->handle);
		for (int i = 0; i < BLKIF_DIRECT_SEGS; i++) {
			uint8_t *seg = at + l->seg + SEG_SIZE * i;
			put_uint32_t(seg, req->seg[i].gref);
			seg[SEG_FIRST] = req->seg[i].first;
			seg[SEG_LAST] = req->seg[i].last;
		}
		break;
	}
}

void blkif_decode_rsp(enum blkif_protocol p, const void *raw, struct blkif_rsp *rsp)
{
	const uint8_t *at = raw;

	(void)p; /* the ABIs differ only in the padding behind the status */
	memset(rsp, 0, sizeof *rsp);
	rsp->id = get_uint64_t(at + AT_RSP_ID);
	rsp->op = at[AT_RSP_OP];
	rsp->status = get_int16_t(at + AT_RSP_STATUS);
}

void blkif_encode_rsp(enum blkif_protocol p, const struct blkif_rsp *rsp, void *raw)
{
	uint8_t *at = raw;

	memset(at, 0, layout_of(p)->slot_size);
	put_uint64_t(at + AT_RSP_ID, rsp->id);
	at[AT_RSP_OP] = rsp->op;
	put_int16_t(at + AT_RSP_STATUS, rsp->status);
}
