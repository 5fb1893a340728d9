/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own state, which its files share.
 * All of it belongs to the one thread that runs the loop.
 */
#ifndef XEN_EMBEDDED_HV_STATE_H
#define XEN_EMBEDDED_HV_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/loop.h"
#include "xen/embedded/hv_ids.h"
#include "xen/embedded/hypercall.h"
#include "xen/embedded/xsd.h"

/* Owned by struct hv_domain: one page of its memory. */
struct hv_frame {
	enum {
		FRAME_FREE,
		FRAME_SHARED,
		FRAME_ORPHAN
	} state;       /* orphan: freed when nobody uses it */
	uint32_t pins; /* maps of it */
	uint32_t ref;  /* under which it is or was granted; 0: none yet */
};

/* Owned by the hypervisor: a socket that is listened on. */
struct hv_listener {
	struct loop_fd lfd; /* fd -1: not open */
	struct hv *hv;
	void (*accepted)(struct hv_listener *l, int fd); /* fd is its own from then on */
};

/* Owned by the hypervisor; lives on behind its destruction while a map or connection needs it. */
struct hv_domain {
	struct hv *hv;
	uint16_t domid;
	bool alive;
	uint32_t users; /* being alive, connections, maps, waiting frames */
	uint64_t serial;
	int memory_fd, table_fd;
	struct hv_table *table;
	struct hv_frame *frames;
	uint32_t next_frame;
	uint32_t *free_refs; /* stack */
	uint32_t free_refs_n, next_ref;
	struct hv_share **ref_share; /* which share a reference belongs to */
	struct hv_ids ports;         /* of struct hv_port */
	struct hv_listener store;
	uint32_t refusals; /* of batches of copies, still to come, with refusal_errno */
	int refusal_errno;
};

/* Owned by the connection that made it. */
struct hv_map {
	struct hv_domain *domain;
	uint32_t count;
	uint32_t frames[];
};

/* Owned by the connection that made it. */
struct hv_share {
	struct hv_conn *conn;
	struct hv_domain *domain;
	uint32_t first_frame, count;
	uint32_t refs[];
};

/* Owned by the connection that made it; known to its domain and to its line. */
struct hv_port {
	struct hv_conn *conn;
	uint16_t remote_domid; /* who may bind, or has bound */
	uint32_t port;         /* number in the domain, and in the connection */
	struct hv_line_info *line;
	unsigned side;
};

/* Owned by the hypervisor while either end has a port. */
struct hv_line_info {
	uint32_t index;
	struct hv_port *end[2];
	int efd[2];
};

/* Owned by the hypervisor: one client handle. */
struct hv_conn {
	struct loop_fd lfd;
	struct list link;
	struct hv *hv;
	bool greeted;
	enum hv_kind kind;
	struct hv_domain *domain;
	struct hv_ids maps, shares;
	struct hv_ids ports; /* by number; same objects as in the domain */
	uint32_t slot;       /* gnttab: its copy slot */
};

/* Owned by the hypervisor: COUNT uses of a reference that fail. */
struct hv_grant_fault {
	struct list link;
	uint16_t domid;
	uint32_t ref, count;
	int16_t status;
};

struct hv {
	struct loop *loop;
	const char *dir;
	struct hv_listener calls;
	struct list conns;
	struct hv_domain *domains[0x7ff0];
	uint64_t last_serial;
	struct hv_ids lines, slots;
	int lines_fd, slots_fd;
	struct hv_line *line_mem;
	struct hv_slot *slot_mem;
	uint32_t last_epoch;
	struct list waiting; /* frames that a copy still uses */
	struct loop_timer waiting_timer;
	struct list faults;
	int spare_fd; /* given up to turn away a client when descriptors run out */
	/* hv_store.c */
	struct xsd *xsd;
	struct list store_conns, store_dirty;
	uint64_t store_delay_ns;
	struct hv_call *call; /* the one being served; too big for a stack */
};

/* A request as received, and where its answer is put together. */
struct hv_call {
	struct hv_conn *conn;
	struct hv_request req;
	union {
		uint32_t words[HV_REFS_MAX];
		char text[HV_TEXT_MAX + 1];
	} in;
	struct hv_reply reply;
	uint32_t out[HV_REFS_MAX];
	int fds[HV_FDS_MAX];
};

#endif
