/* SPDX-License-Identifier: MIT */
/*
 * The blkif request and response layouts of the three ABIs, and their neutral form.
 * Source: xen/io/blkif.h (struct blkif_request*, blkif_response) and xen/io/protocols.h, where
 * x86_32 has 4-byte alignment of 64-bit members. Pure functions: no I/O, no allocation.
 */
#ifndef BLKIF_ABI_H
#define BLKIF_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <xen/io/blkif.h> /* BLKIF_OP_*, BLKIF_RSP_*, BLKIF_DISCARD_SECURE, VDISK_* */

/* BLKIF_OP_INDIRECT, BLKIF_OP_DISCARD … come from the public header. */

enum blkif_protocol {
	BLKIF_PROTO_X86_32 = 1,
	BLKIF_PROTO_X86_64 = 2, /* also ARM */
#if defined(__i386__)
	BLKIF_PROTO_NATIVE = BLKIF_PROTO_X86_32,
#else
	BLKIF_PROTO_NATIVE = BLKIF_PROTO_X86_64,
#endif
};
const char *blkif_protocol_name(enum blkif_protocol p); /* "x86_32-abi" or "x86_64-abi" */
/* From the xenstore key `protocol`: "x86_32-abi", "x86_64-abi", "arm-abi" (on ARM only), "native".
 * 0 or -EINVAL. */
int blkif_protocol_parse(const char *s, enum blkif_protocol *out);

#define BLKIF_SLOT_MAX 112     /* bytes of the largest slot of any ABI */
#define BLKIF_SECTOR_SHIFT 9   /* all sector numbers on the wire: 512 bytes, xen 221f2748e8 */
#define BLKIF_DIRECT_SEGS 11   /* BLKIF_MAX_SEGMENTS_PER_REQUEST */
#define BLKIF_INDIRECT_PAGES 8 /* BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST */
#define BLKIF_SECTS_PER_PAGE 8

/* Also the layout of a descriptor in an indirect request's page, which is the same in every ABI. */
struct blkif_seg {
	uint32_t gref;
	uint8_t first, last; /* 512-byte sectors within the page, both included */
	uint8_t pad[2];
};
_Static_assert(sizeof(struct blkif_seg) == 8 && offsetof(struct blkif_seg, first) == 4 &&
                   offsetof(struct blkif_seg, last) == 5,
               "as in xen/io/blkif.h");

/* A request in neutral form; nothing in it is checked yet. */
struct blkif_req {
	uint8_t op;           /* BLKIF_OP_* or anything else */
	uint8_t inner_op;     /* INDIRECT only */
	uint8_t flag;         /* DISCARD only */
	uint16_t nr_segments; /* as the guest wrote it; may exceed seg[] */
	uint16_t handle;
	uint64_t id;
	uint64_t sector;                         /* 512-byte units */
	uint64_t nr_sectors;                     /* DISCARD only, 512-byte units */
	struct blkif_seg seg[BLKIF_DIRECT_SEGS]; /* all 11 decoded, whatever nr_segments says */
	uint32_t indirect[BLKIF_INDIRECT_PAGES]; /* INDIRECT only */
};

struct blkif_rsp {
	uint64_t id;
	uint8_t op;
	int16_t status; /* BLKIF_RSP_* */
};

size_t blkif_slot_size(enum blkif_protocol p); /* bytes of a ring slot: 108 or 112 */

/* raw: a private copy of one slot, blkif_slot_size(p) bytes, any alignment. Total: every bit
 * pattern decodes. Unused members of *req are zero. */
void blkif_decode_req(enum blkif_protocol p, const void *raw, struct blkif_req *req);
/* Writes all blkif_slot_size(p) bytes, padding zeroed. */
void blkif_encode_req(enum blkif_protocol p, const struct blkif_req *req, void *raw);
void blkif_decode_rsp(enum blkif_protocol p, const void *raw, struct blkif_rsp *rsp);
/* Writes a whole slot with zeroed padding (XSA-216). */
void blkif_encode_rsp(enum blkif_protocol p, const struct blkif_rsp *rsp, void *raw);

#endif
