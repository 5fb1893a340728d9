/* SPDX-License-Identifier: MIT */
/* A request in flight and the queue's insides, shared by the files of the data plane only. */
#ifndef DISK_REQUEST_H
#define DISK_REQUEST_H

#include <pthread.h>
#include <semaphore.h>

#include "base/list.h"
#include "blkif/ring.h"
#include "disk/buffers.h"
#include "disk/grants.h"
#include "disk/queue.h"

#define COPY_BATCH                                                                    \
	BLKIF_MAX_INDIRECT_SEGS /* pieces per grant-copy call; a request's fit in one \
	                         */

/* Owned by the queue's thread. Index in queue->request = its journal slot. */
struct request {
	struct storage_io io;
	struct blkif_req req; /* decoded from the journal's private copy */
	struct blkif_plan plan;
	const struct blkif_seg *seg; /* req.seg, or its descriptors */
	/* What is asked of the storage, bytes: the plan's range, or the whole blocks around it. */
	uint64_t at, span;
	char *buf; /* span bytes once it has started, NULL if it moves no data */
	struct block_range range;
	struct queue *queue;
	struct request *next; /* on exactly one list, or in flight at the storage */
	uint32_t slot;
	int16_t status;
	uint16_t nr_copies; /* pieces of it in the batch of copies */
	uint8_t step;       /* index into the kind's steps */
	uint8_t tries;      /* how often the kernel had no memory for its copies */
	uint64_t due_ns;    /* when these are tried again */
	int unreadable;  /* why its descriptors could not be copied: -EFAULT: by the guest's fault,
	                  * or what the kernel was short of; or 0 */
	bool locked;     /* range is held or waited for */
	bool started;    /* passed its turn: it was not finished before */
	uint8_t refusal; /* enum blkif_refusal; BLKIF_OK: it was not */
	bool replayed;   /* a worker before us took it, and counted it */
	bool waited;     /* … for memory */
	bool suspect;    /* a worker fell with it in hand */
	bool alone;      /* starts when nothing else is in flight, holds back all later ones */
};

/* Adds to a field of struct stats_queue, which others read meanwhile. */
#define COUNT(field, n) __atomic_store_n(&(field), (field) + (n), __ATOMIC_RELAXED)

/* Singly linked FIFO. */
struct fifo {
	struct request *head, **tail;
};

static inline void fifo_init(struct fifo *f)
{
	f->head = NULL;
	f->tail = &f->head;
}

static inline void fifo_put(struct fifo *f, struct request *r)
{
	r->next = NULL;
	*f->tail = r;
	f->tail = &r->next;
}

static inline struct request *fifo_get(struct fifo *f)
{
	struct request *r = f->head;

	if (r && !(f->head = r->next))
		f->tail = &f->head;
	return r;
}

/* Owned by its thread once that runs; `stopping` and `stopped` are the only words shared with the
 * control thread. */
struct queue {
	struct queue_config c;
	/* ring and counters (64 bit; the ring's index is the low half) */
	struct blkif_ring ring;
	void *ring_pages;
	uint64_t cons; /* requests taken */
	uint64_t pvt;  /* responses written */
	uint64_t pub;  /* responses published */
	struct journal journal;
	uint32_t *free_slots; /* stack */
	uint32_t nr_free;
	/* requests */
	struct request *request; /* one per slot */
	uint32_t
	    block; /* bytes: what the storage reads and writes; more than a sector: see blocks.h */
	uint32_t block_waiters;
	struct buffers buffers;
	struct blkif_seg *descriptors; /* of indirect requests: BLKIF_MAX_INDIRECT_SEGS per slot */
	bool descriptors_touched;
	struct grants grants; /* persistent ones; off unless the front end has the feature */
	struct fifo taken;    /* not accepted yet, in order */
	struct fifo waiting;  /* accepted, not started, in order */
	struct fifo copy_in, copy_out, finished;
	struct fifo parked;   /* the kernel had no memory for their copies: until due_ns of each */
	struct fifo answered; /* responses written, not published: their slots are freed then */
	uint32_t inflight;    /* started, not answered */
	bool alone_running;
	struct xen_copy copies[COPY_BATCH];
	/* world */
	struct xen_gnttab *gnttab;
	struct xen_evtchn *evtchn;
	uint32_t port;
	bool masked;
	bool poll_armed;
	struct io_uring uring;
	struct storage_queue *storage;
	struct uring_op poll_op, wake_op;
	uint64_t wake_value;
	int wake_fd; /* eventfd, written by the control thread */
	uint64_t spin_ns;
	unsigned refused; /* submissions in a row that the kernel had no memory for */
	uint64_t idle_ns; /* when to tidy up if nothing happens; 0: nothing to do */
	/* control */
	pthread_t thread;
	bool running;
	int start_rc;
	struct error start_err;
	sem_t ready;         /* the thread is there, or start_rc says why not */
	sem_t go;            /* it may begin, or end */
	bool going;          /* set before go is posted: begin */
	bool stopping;       /* atomic: set by the control thread */
	const char *stopped; /* atomic: set by the queue's thread, why it takes no more for good */
};

/* request.c: one request between start and finish */
bool request_prepare(struct queue *q, struct request *r); /* false: no memory for it now */
void request_begin(struct queue *q, struct request *r);   /* starts its first step */
void request_next(struct queue *q, struct request *r);    /* its next step */
void request_granted(struct queue *q);                    /* goes on with what has its blocks now */
void request_finish(struct queue *q, struct request *r, int16_t status); /* to be answered */

/* Tells those who look after the host, as if the storage had failed it with rc (-errno). */
void request_note_failed(struct queue *q, const struct request *r, int rc);

/* copies.c: data from and to the guest's pages */
void queue_copies(struct queue *q); /* runs the waiting copies, both ways */
/* r's copies failed. True: for want of memory, by rc, and they are to be tried again at r->due_ns.
 */
bool copies_again(struct request *r, int rc);
/* When the next copies are to be tried again, by clock_ns; 0: none are. */
uint64_t queue_copies_due(const struct queue *q);

/* accept.c: between taking and starting */
/* Decides what becomes of each request of q->taken, in their order, as far as there is memory. */
void queue_accept(struct queue *q);
/* Of a request that was not started. */
void request_finish_at_once(struct queue *q, struct request *r, int16_t status);

/* ring_side.c: between the ring and the requests */
uint32_t queue_take(struct queue *q);    /* copies new requests in; how many */
void queue_start_ready(struct queue *q); /* starts what order allows */
bool queue_answer(struct queue *q);      /* answers and publishes what is finished */
void queue_stop_ring(struct queue *q, const char *reason);
void queue_replay(struct queue *q, const struct journal_recovery *rec);

/* idle.c: memory and mapped pages that only a busy queue needs */
void queue_busy(struct queue *q); /* something was done: sets idle_ns */
void queue_tidy(struct queue *q); /* idle_ns has passed: gives back what it may, sets it anew */
size_t queue_descriptor_bytes(const struct queue *q);

/* thread.c */
void sem_wait_for(sem_t *sem); /* whatever signals come */
void *queue_thread(void *arg);

#endif
