/* SPDX-License-Identifier: MIT */
/*
 * What the embedded hypervisor and its clients share: packets on DIR/xen.sock and memory layouts.
 *
 * One SOCK_SEQPACKET connection per handle, HV_HELLO first, then one request, one reply. Whatever a
 * connection made (maps, shares, ports) ends with it, as a Xen device file ends with its process.
 * Clients are one user's processes: they are trusted not to scribble over each other's shared
 * pages, but the hypervisor believes nothing that it reads there or from a socket.
 */
#ifndef XEN_EMBEDDED_HYPERCALL_H
#define XEN_EMBEDDED_HYPERCALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HV_VERSION 1u
#define HV_SOCKET "xen.sock"
#define HV_STORE_SOCKET "xenstored.sock"
#define HV_DIR_MAX 77u     /* so that DIR/domains/32751/xenstored.sock fits a socket address */
#define HV_REFS_MAX 16384u /* references in one packet */
#define HV_TEXT_MAX 256u
#define HV_FDS_MAX 2u

#define HV_PAGE 4096u
#define HV_FRAMES (1u << 18) /* of a domain's memory: 1 GiB, sparse */
#define HV_REFS (1u << 16)   /* in a grant table */
#define HV_FIRST_REF 8u      /* those below are Xen's own */
#define HV_LINES (1u << 16)  /* event channel pairs */
#define HV_SLOTS (1u << 14)  /* gnttab handles */

enum hv_kind { HV_PLATFORM, HV_GNTTAB, HV_EVTCHN, HV_GNTSHR, HV_KINDS };

enum hv_op {
	/* arg: enum hv_kind, serial: HV_VERSION, domid: who calls.
	 * gnttab: fd of the copy slots, id = ours. evtchn: fd of the lines. gntshr: fd of our
	 * memory. */
	HV_HELLO = 1,
	HV_BYE,        /* ends all objects now, so that a close is not seen late by others */
	HV_MEMORY,     /* domid. Reply: serial, fds of its memory and its grant table */
	HV_MAP,        /* domid, flag: writable, payload: references. Reply: id, serial, frames */
	HV_UNMAP,      /* arg: id */
	HV_TAKE_FAULT, /* domid, arg: reference. Reply: id = GNTST_* for one copy, 0 if used up */
	HV_SHARE,      /* domid, flag: writable, arg: count. Reply: id, first frame, references */
	HV_UNSHARE,    /* arg: id */
	HV_REVOKE,     /* payload: references */
	HV_ALLOC_UNBOUND,  /* domid. Reply: port … and both eventfds, side 0 first */
	HV_BIND,           /* domid, arg: its port. Reply as above */
	HV_UNBIND,         /* arg: port */
	HV_DOMAIN_CREATE,  /* domid */
	HV_DOMAIN_DESTROY, /* domid */
	HV_FAULT,          /* payload: text */
	HV_USAGE,          /* Reply: struct xen_usage as words */
	HV_TAKE_REFUSAL,   /* domid. Reply: id = errno for one batch of copies, 0: none is left */
};

struct hv_request {
	uint32_t op;
	uint16_t domid;
	uint16_t flag;
	uint32_t arg;
	uint32_t bytes; /* of payload behind this, in the same packet */
	uint64_t serial;
};

struct hv_reply {
	int32_t rc; /* 0 or -errno */
	uint32_t bytes;
	uint32_t id; /* of the object made: map, share, port, slot */
	uint32_t first_frame;
	uint32_t line, side, epoch; /* of a port */
	uint32_t fds;
	uint64_t serial; /* of the domain incarnation */
};

/* ---- grant table: its hypervisor writes, clients have it read-only ---- */

/* One word, so that a reader sees frame, owner and flags of the same grant. */
#define HV_GRANT_VALID (1ull << 48)
#define HV_GRANT_READONLY (1ull << 49)
#define HV_GRANT_FAULT (1ull << 50) /* ask HV_TAKE_FAULT before use */

static inline uint64_t hv_grant(uint32_t frame, uint16_t domid, uint64_t flags)
{
	return frame | (uint64_t)domid << 32 | flags;
}

static inline uint32_t hv_grant_frame(uint64_t entry)
{
	return (uint32_t)entry;
}

static inline uint16_t hv_grant_domid(uint64_t entry)
{
	return (uint16_t)(entry >> 32);
}

struct hv_table {
	_Atomic uint32_t dead; /* this incarnation of the domain is gone: throw the mapping away */
	_Atomic uint32_t refuse; /* ask HV_TAKE_REFUSAL before each batch of copies */
	uint8_t pad[HV_PAGE - 8];
	_Atomic uint64_t entry[HV_REFS];
};

/* ---- copy slots: which grant a handle is copying just now; written by that handle ---- */

struct hv_slot {
	_Atomic uint64_t grant; /* hv_slot_word, or 0 */
	uint64_t pad[7];        /* a cache line each */
};

static inline uint64_t hv_slot_word(uint16_t domid, uint32_t ref)
{
	return 1ull << 63 | (uint64_t)domid << 32 | ref;
}

/* ---- event channel lines: one per pair of ports, written by both ends and the hypervisor ---- */

struct hv_end {
	_Atomic uint32_t bound; /* epoch of the port at this end; 0: none, events are dropped */
	_Atomic uint32_t pending;
	_Atomic uint32_t masked;
	_Atomic uint32_t drop; /* fault: that many events are lost */
};

struct hv_line {
	struct hv_end end[2];
	uint64_t pad[4];
};

_Static_assert(sizeof(struct hv_slot) == 64 && sizeof(struct hv_line) == 64, "cache lines");
_Static_assert(sizeof(struct hv_request) == 24 && sizeof(struct hv_reply) == 40, "no padding");

/*
 * An event arrives at that end. True if its eventfd must be written, which the caller does.
 * Full order: either we see the end unmasked, or its unmask sees our pending bit.
 */
static inline bool hv_end_raise(struct hv_end *end)
{
	return !atomic_exchange(&end->pending, 1) && !atomic_load(&end->masked);
}

#endif
