/* SPDX-License-Identifier: MIT */
/*
 * A toolstack and a small back end for the front end's tests: a thread of its own plays the xenbus
 * states as domain 0 and answers requests from an array, honestly or not.
 */
#ifndef TESTS_FRONT_FAKE_H
#define TESTS_FRONT_FAKE_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "blkif/request.h"
#include "blkif/ring.h"
#include "xen/platform.h"
#include "xen/store.h"
#include "xen_process.h"

#define FRONT "/local/domain/1/device/vbd/51712"
#define BACK "/local/domain/0/backend/vbd/1/51712"
#define DISK_BYTES (4u << 20)
#define FAKE_QUEUES 4

enum fake_mood {
	HONEST,
	REFUSES, /* error node and Closing instead of Connected */
	SILENT,  /* never Connected */
	MUTE,    /* takes requests, never answers */
	WRONG_ID,
	STALE_ID, /* the right slot's, but of a request long ago */
	CLOSES,   /* answers one batch, then goes to Closing */
	LEAVES,   /* Closed with requests in flight */
	WRONG_OP,
	TWICE,            /* answers the same id two times */
	OVERRUN,          /* rsp_prod beyond the requests */
	FAILS,            /* ERROR */
	SUPPORTS_NOTHING, /* EOPNOTSUPP */
	/* what the conformance suite must find */
	LEAKS,          /* bytes of its own in the padding of responses */
	NO_EVENT,       /* never sends one */
	EVERY_EVENT,    /* sends one for each response */
	UNITS_OF_SIZE,  /* `sectors` counts sectors of 4096 bytes, requests those of 512 */
	UNITS_OF_WIRE,  /* both count sectors of 4096 bytes */
	WRITES_MORE,    /* the whole page, whatever the segment says */
	REARMS_LATE,    /* req_event is two ahead */
	FORGETS_SECTOR, /* the upper half of sector_number */
	SLOW,           /* 100 ms for each request */
};

struct fake;
/* Another back end in the same thread and device: front_fake_full.h. All are the thread's. */
struct fake_kind {
	void (*start)(struct fake *b);         /* before InitWait; the toolstack's thread */
	void (*front_changed)(struct fake *b); /* its state, or an event that says so */
	void (*drain)(struct fake *b);         /* all queues */
	void (*disconnect)(struct fake *b);    /* for ever */
};

/* The thread's, but mood and stop, and what is read after the thread has ended or is at rest. */
struct fake {
	_Atomic int mood;
	atomic_bool stop;
	int wake;
	pthread_t thread;
	struct xen_platform *platform;
	struct store *store;
	struct xen_gnttab *gnttab;
	struct xen_evtchn *evtchn;
	int state;
	/* the connection */
	struct fake_queue {
		void *shared;
		struct blkif_ring ring;
		uint32_t req_cons, rsp_prod;
		int port;
		unsigned requests;
	} queue[FAKE_QUEUES];
	unsigned nr_queues; /* 0: not connected */
	unsigned order;
	bool order_key;
	char protocol[32];
	/* what happened */
	char front_states[64]; /* as digits, in the order seen; 4 left out: it may be missed */
	atomic_uint requests, flushes, barriers, discards, largest_batch, indirect, most_segments;
	_Atomic uint64_t discarded, secure;
	uint8_t *disk;
	uint64_t bytes;               /* of it */
	const struct fake_kind *kind; /* NULL: this one */
	void *own;                    /* the kind's */
};

static inline bool fake_counts_pages(const struct fake *b)
{
	return b->mood == UNITS_OF_SIZE || b->mood == UNITS_OF_WIRE;
}

static inline void fake_die(const char *what, int rc)
{
	fprintf(stderr, "fake back end: %s: %s\n", what, error_name(rc));
	abort();
}

#define MUST(call)                                 \
	do {                                       \
		int must_rc_ = (call);             \
		if (must_rc_ < 0)                  \
			fake_die(#call, must_rc_); \
	} while (0)

static inline void fake_set_state(struct fake *b, int state)
{
	b->state = state;
	MUST(store_write(b->store, XBT_NULL, BACK, "state", "%d", state));
}

static inline void fake_disconnect(struct fake *b)
{
	for (unsigned i = 0; i < b->nr_queues; i++) {
		struct fake_queue *q = &b->queue[i];
		MUST(xen_evtchn_unbind(b->evtchn, (uint32_t)q->port));
		MUST(xen_gnttab_unmap(b->gnttab, q->shared, 1u << b->order));
	}
	b->nr_queues = 0;
}

static inline void fake_refuse(struct fake *b)
{
	static const char path[] = "/local/domain/0/error/backend/vbd/1/51712";

	MUST(store_write(b->store, XBT_NULL, path, "error", "22 the moon is full"));
	char node[128];
	snprintf(node, sizeof node, "%s/error", path);
	MUST(store_set_perms(b->store, XBT_NULL, node, 0, GUEST));
	fake_set_state(b, XS_CLOSING);
}

static inline void fake_map_ring(struct fake *b, struct fake_queue *q, const char *dir,
                                 enum blkif_protocol proto)
{
	uint32_t refs[16];
	uint64_t v, port;

	for (unsigned i = 0; i < 1u << b->order; i++) {
		char key[24] = "ring-ref";
		if (b->order_key)
			snprintf(key, sizeof key, "ring-ref%u", i);
		MUST(store_read_u64(b->store, XBT_NULL, dir, key, 0, UINT32_MAX, &v));
		refs[i] = (uint32_t)v;
	}
	MUST(store_read_u64(b->store, XBT_NULL, dir, "event-channel", 1, UINT32_MAX, &port));
	MUST(xen_gnttab_map(b->gnttab, GUEST, 1u << b->order, refs, true, &q->shared));
	blkif_ring_attach(&q->ring, q->shared, b->order, proto);
	q->req_cons = q->rsp_prod = blkif_ring_rsp_prod(&q->ring);
	q->requests = 0;
	q->port = xen_evtchn_bind_interdomain(b->evtchn, GUEST, (uint32_t)port);
	MUST(q->port);
}

static inline void fake_map_rings(struct fake *b)
{
	enum blkif_protocol proto = BLKIF_PROTO_X86_32;
	uint64_t v, n = 1;
	char dir[64];

	b->order_key = !store_read_u64(b->store, XBT_NULL, FRONT, "ring-page-order", 0, 4, &v);
	b->order = b->order_key ? (unsigned)v : 0;
	if (store_read(b->store, XBT_NULL, FRONT, "protocol", b->protocol, sizeof b->protocol) < 0)
		b->protocol[0] = 0;
	else
		MUST(blkif_protocol_parse(b->protocol, &proto));
	store_read_u64(b->store, XBT_NULL, FRONT, "multi-queue-num-queues", 1, FAKE_QUEUES, &n);
	for (unsigned i = 0; i < n; i++) {
		snprintf(dir, sizeof dir, n > 1 ? FRONT "/queue-%u" : FRONT, i);
		fake_map_ring(b, &b->queue[i], dir, proto);
	}
	b->nr_queues = (unsigned)n;
}

static inline void fake_connect(struct fake *b)
{
	fake_disconnect(b);
	if (b->mood == SILENT)
		return;
	if (b->mood == REFUSES) {
		fake_refuse(b);
		return;
	}
	fake_map_rings(b);
	const struct {
		const char *key;
		unsigned value;
	} keys[] = {{"sectors", (unsigned)(b->bytes / (fake_counts_pages(b) ? 4096 : 512))},
	            {"sector-size", fake_counts_pages(b) ? 4096 : 512},
	            {"physical-sector-size", 4096},
	            {"info", 0},
	            {"feature-flush-cache", 1},
	            {"feature-barrier", 1},
	            {"feature-discard", 1},
	            {"discard-granularity", 4096},
	            {"discard-secure", 1}};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		MUST(store_write(b->store, XBT_NULL, BACK, keys[i].key, "%u", keys[i].value));
	fake_set_state(b, XS_CONNECTED);
}

static inline void fake_front_changed(struct fake *b)
{
	if (b->kind) {
		b->kind->front_changed(b);
		return;
	}
	int state = store_read_state(b->store, XBT_NULL, FRONT);
	size_t n = strlen(b->front_states);

	if (state && state != XS_CONNECTED && n + 1 < sizeof b->front_states &&
	    (!n || b->front_states[n - 1] != '0' + state))
		b->front_states[n] = (char)('0' + state);
	if (state == XS_INITIALISED && b->state == XS_INITWAIT)
		fake_connect(b);
	else if (state == XS_CLOSING && b->state != XS_CLOSED)
		fake_set_state(b, XS_CLOSING);
	else if (state == XS_CLOSED && b->state != XS_CLOSED) {
		fake_disconnect(b);
		fake_set_state(b, XS_CLOSED);
	} else if (state == XS_INITIALISING && b->state == XS_CLOSED)
		fake_set_state(b, XS_INITWAIT);
}

/* One segment; *at goes on. */
static inline int16_t fake_copy(struct fake *b, bool read, uint32_t ref, unsigned first,
                                unsigned last, uint64_t *at)
{
	uint32_t n = (last - first + 1u) * 512;
	struct xen_copy piece = {.local = b->disk + *at,
	                         .ref = ref,
	                         .offset = (uint16_t)(first * 512),
	                         .length = (uint16_t)n,
	                         .to_guest = read};

	if (*at + n > b->bytes || xen_gnttab_copy(b->gnttab, GUEST, &piece, 1) || piece.status)
		return BLKIF_RSP_ERROR;
	*at += n;
	return BLKIF_RSP_OKAY;
}

static inline int16_t fake_direct(struct fake *b, const struct blkif_req *r)
{
	uint64_t sector = b->mood == FORGETS_SECTOR ? (uint32_t)r->sector : r->sector;
	uint64_t at = sector * (b->mood == UNITS_OF_WIRE ? 4096 : 512);
	int16_t status = BLKIF_RSP_OKAY;

	if (r->nr_segments > BLKIF_DIRECT_SEGS || sector > b->bytes / 512)
		return BLKIF_RSP_ERROR;
	for (unsigned i = 0; i < r->nr_segments && !status; i++) {
		bool read = r->op == BLKIF_OP_READ, more = b->mood == WRITES_MORE && !read;
		status = fake_copy(b, read, r->seg[i].gref, r->seg[i].first,
		                   more ? 7 : r->seg[i].last, &at);
	}
	return status;
}

static inline int16_t fake_indirect(struct fake *b, const struct blkif_req *r)
{
	static struct blkif_request_segment seg[512];
	struct xen_copy piece = {.local = seg, .ref = r->indirect[0], .length = sizeof seg};
	uint64_t at = r->sector * 512;
	int16_t status = BLKIF_RSP_OKAY;

	b->indirect++;
	if (r->nr_segments > b->most_segments)
		b->most_segments = r->nr_segments;
	if (xen_gnttab_copy(b->gnttab, GUEST, &piece, 1) || piece.status)
		return BLKIF_RSP_ERROR;
	for (unsigned i = 0; i < r->nr_segments && !status; i++)
		status = fake_copy(b, r->inner_op == BLKIF_OP_READ, seg[i].gref, seg[i].first_sect,
		                   seg[i].last_sect, &at);
	return status;
}

static inline int16_t fake_serve(struct fake *b, const struct blkif_req *r)
{
	b->requests++;
	if (b->mood == SLOW)
		usleep(100000);
	if (b->mood == FAILS)
		return BLKIF_RSP_ERROR;
	if (b->mood == SUPPORTS_NOTHING)
		return BLKIF_RSP_EOPNOTSUPP;
	switch (r->op) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
		return fake_direct(b, r);
	case BLKIF_OP_INDIRECT:
		return fake_indirect(b, r);
	case BLKIF_OP_FLUSH_DISKCACHE:
		b->flushes++;
		return BLKIF_RSP_OKAY;
	case BLKIF_OP_WRITE_BARRIER:
		b->barriers++;
		return BLKIF_RSP_OKAY;
	case BLKIF_OP_DISCARD:
		b->discards++;
		b->discarded += r->nr_sectors * 512;
		b->secure += r->flag == BLKIF_DISCARD_SECURE;
		memset(b->disk + r->sector * 512, 0, r->nr_sectors * 512);
		return BLKIF_RSP_OKAY;
	}
	return BLKIF_RSP_EOPNOTSUPP;
}

static inline void fake_put(struct fake *b, struct fake_queue *q, const struct blkif_req *r,
                            int16_t status)
{
	struct blkif_rsp rsp = {.id = r->id, .op = blkif_response_op(r), .status = status};

	if (b->mood == WRONG_ID)
		rsp.id += 1000;
	if (b->mood == STALE_ID)
		rsp.id -= 1u << 16;
	if (b->mood == WRONG_OP)
		rsp.op++;
	blkif_ring_put_rsp(&q->ring, q->rsp_prod, &rsp);
	if (b->mood == LEAKS) {
		uint32_t at = 64 + (q->rsp_prod & (q->ring.slots - 1)) * q->ring.slot_size;
		((uint8_t *)q->shared)[at + 9] = 0xab;
	}
	q->rsp_prod++;
}

static inline void fake_tell(struct fake *b, struct fake_queue *q, uint32_t from)
{
	bool asked = blkif_ring_publish(&q->ring, from, q->rsp_prod);

	if (b->mood != NO_EVENT && (asked || b->mood == EVERY_EVENT))
		MUST(xen_evtchn_notify(b->evtchn, (uint32_t)q->port));
}

/* Answers a batch in reverse order, so that nobody relies on the ring's. */
static inline void fake_drain(struct fake *b, struct fake_queue *q)
{
	static struct blkif_req batch[512];
	uint8_t raw[BLKIF_SLOT_MAX];
	uint32_t prod;

	/* The mood is looked at after the ring: it was set before the request that it is meant for. */
	while ((prod = blkif_ring_arm_req(&q->ring, q->req_cons)) != q->req_cons &&
	       __atomic_load_n(&b->mood, __ATOMIC_SEQ_CST) != MUTE) {
		uint32_t n = prod - q->req_cons, from = q->rsp_prod;
		if (n > q->ring.slots)
			return;
		if (b->mood == LEAVES || b->mood == CLOSES)
			fake_set_state(b, b->mood == LEAVES ? XS_CLOSED : XS_CLOSING);
		if (b->mood == LEAVES) {
			fake_disconnect(b);
			return;
		}
		if (b->mood == CLOSES)
			usleep(50000); /* the news is there before the answers */
		for (uint32_t i = 0; i < n; i++) {
			blkif_ring_copy_req(&q->ring, q->req_cons++, raw);
			blkif_decode_req(q->ring.proto, raw, &batch[i]);
		}
		q->requests += n;
		if (n > b->largest_batch)
			b->largest_batch = n;
		for (uint32_t i = n; i-- > 0;) {
			int16_t status = fake_serve(b, &batch[i]);
			fake_put(b, q, b->mood == TWICE && i + 1 < n ? &batch[i + 1] : &batch[i],
			         status);
		}
		if (b->mood == OVERRUN)
			q->rsp_prod += q->ring.slots + 1;
		fake_tell(b, q, from);
	}
	if (b->mood == REARMS_LATE && q->req_cons)
		((uint32_t *)q->shared)[1] = q->req_cons + 2;
}

static inline void *fake_main(void *arg)
{
	struct fake *b = arg;
	char path[STORE_PATH_MAX], token[16];
	int port;

	b->state = XS_INITIALISING;
	fake_front_changed(b); /* seen before anybody may move */
	MUST(store_watch(b->store, FRONT "/state", "front"));
	fake_set_state(b, XS_INITWAIT);
	while (!b->stop) {
		struct pollfd p[] = {{.fd = store_fd(b->store), .events = POLLIN},
		                     {.fd = xen_evtchn_fd(b->evtchn), .events = POLLIN},
		                     {.fd = b->wake, .events = POLLIN}};
		eventfd_t woken;
		poll(p, 3, -1);
		eventfd_read(b->wake, &woken);
		while ((port = xen_evtchn_pending(b->evtchn)) > 0)
			MUST(xen_evtchn_unmask(b->evtchn, (uint32_t)port));
		if (b->kind)
			b->kind->drain(b);
		for (unsigned i = 0; i < b->nr_queues && !b->kind; i++)
			fake_drain(b, &b->queue[i]);
		while (store_check_watch(b->store, path, sizeof path, token, sizeof token) > 0)
			fake_front_changed(b);
	}
	if (b->kind)
		b->kind->disconnect(b);
	else
		fake_disconnect(b);
	return NULL;
}

/* ---- the toolstack ---- */

static inline void device_nodes(struct store *s)
{
	MUST(store_mkdir(s, XBT_NULL, "/local/domain/1"));
	MUST(store_set_perms(s, XBT_NULL, "/local/domain/1", 0, GUEST));
	MUST(store_mkdir(s, XBT_NULL, FRONT));
	MUST(store_set_perms(s, XBT_NULL, FRONT, GUEST, 0));
	MUST(store_mkdir(s, XBT_NULL, BACK));
	MUST(store_set_perms(s, XBT_NULL, BACK, 0, GUEST));
	MUST(store_write(s, XBT_NULL, FRONT, "backend", "%s", BACK));
	MUST(store_write(s, XBT_NULL, FRONT, "backend-id", "0"));
	MUST(store_write(s, XBT_NULL, FRONT, "device-type", "disk"));
	MUST(store_write(s, XBT_NULL, FRONT, "virtual-device", "51712"));
	MUST(store_write(s, XBT_NULL, BACK, "frontend", "%s", FRONT));
	MUST(store_write(s, XBT_NULL, BACK, "frontend-id", "1"));
	MUST(store_write(s, XBT_NULL, BACK, "online", "1"));
	MUST(store_write(s, XBT_NULL, BACK, "mode", "w"));
	MUST(store_write(s, XBT_NULL, BACK, "max-ring-page-order", "4"));
	MUST(store_write(s, XBT_NULL, BACK, "state", "1"));
	MUST(store_write(s, XBT_NULL, FRONT, "state", "1"));
}

static inline void device_nodes_gone(struct store *s)
{
	MUST(store_rm(s, XBT_NULL, FRONT, NULL));
	MUST(store_rm(s, XBT_NULL, BACK, NULL));
	MUST(store_rm(s, XBT_NULL, "/local/domain/0/error", NULL));
}

/* kind, own: NULL for the one above; own must live until fake_stop. */
static inline struct fake *fake_start_kind(const char *dir, enum fake_mood mood,
                                           const struct fake_kind *kind, void *own)
{
	struct fake *b = calloc(1, sizeof *b);
	struct error err = {""};

	b->mood = mood;
	b->kind = kind;
	b->own = own;
	b->bytes = fake_counts_pages(b) ? 8 * DISK_BYTES : DISK_BYTES;
	b->disk = malloc(b->bytes);
	for (uint32_t i = 0; i < b->bytes; i++)
		b->disk[i] = (uint8_t)(i * 2654435761u >> 13);
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	MUST(xen_platform_open(dir, 0, &b->platform, &err));
	MUST(store_open(xen_platform_store_path(b->platform), &b->store, &err));
	MUST(xen_gnttab_open(b->platform, &b->gnttab, &err));
	MUST(xen_evtchn_open(b->platform, &b->evtchn, &err));
	device_nodes(b->store);
	if (kind)
		kind->start(b);
	MUST(-pthread_create(&b->thread, NULL, fake_main, b));
	return b;
}

static inline struct fake *fake_start(const char *dir, enum fake_mood mood)
{
	return fake_start_kind(dir, mood, NULL, NULL);
}

static inline void fake_stop(struct fake *b)
{
	b->stop = true;
	MUST(eventfd_write(b->wake, 1));
	pthread_join(b->thread, NULL);
	device_nodes_gone(b->store);
	xen_evtchn_close(b->evtchn);
	xen_gnttab_close(b->gnttab);
	store_close(b->store);
	xen_platform_close(b->platform);
	close(b->wake);
	free(b->disk);
	free(b);
}

#endif
