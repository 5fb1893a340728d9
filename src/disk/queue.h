/* SPDX-License-Identifier: MIT */
/*
 * One queue of a disk: a ring, its thread, its io_uring, its journal. The control thread makes it,
 * starts it, asks it to stop and joins it; all else happens in the queue's own thread.
 */
#ifndef DISK_QUEUE_H
#define DISK_QUEUE_H

#include "base/error.h"
#include "blkif/request.h"
#include "disk/journal.h"
#include "disk/shared.h"
#include "disk/stats.h"
#include "storage/storage.h"
#include "xen/platform.h"

struct queue;

struct queue_config {
	unsigned index;
	char thread_name[16];
	uint16_t domid;
	enum blkif_protocol protocol;
	unsigned order;
	struct wm_queue wire;
	struct blkif_limits limits;
	struct journal_identity identity;
	void *journal;              /* its place, see disk/journal.h; lent until queue_free */
	uint32_t persistent_grants; /* pages to keep mapped; 0: the front end does not offer it */
	uint64_t persistent_idle_ns;
	bool resume;
	uint64_t fault_epoch;
	struct xen_platform *platform; /* lent until queue_free */
	struct storage *storage;       /* lent until queue_free */
	struct disk_shared *shared;    /* lent until queue_free, that of the other queues, too */
	struct stats_queue *stats;     /* lent; written by the queue's thread only */
	int notice_fd;      /* eventfd of the control thread: written when the ring was stopped or
	                       something      was withdrawn; lent */
	int stats_timer_fd; /* timerfd of the control thread, armed once there is something to show;
	                       lent */
	int *stats_armed;   /* atomic flag belonging to it */
};

/*
 * A queue comes up in four steps, all by the control thread: open, spawn, attach, start. The first
 * two take what a process in its sandbox cannot get any more, descriptors and threads, and touch
 * nothing of the guest's. After a failure it can only be freed.
 */
/* The ways to Xen, the io_uring, the eventfd. On failure nothing is left. */
int queue_open(const struct queue_config *config, struct queue **out, struct error *err);
/* The thread, with its queue of the storage. It waits then for queue_start. */
int queue_spawn(struct queue *q, struct error *err);
/* Maps the ring, makes or recovers the journal, binds the port. Nothing is taken from the ring yet.
 * On failure a journal of an older worker stays for a later try, if it is freed with keep_journal.
 */
int queue_attach(struct queue *q, struct error *err);
void queue_start(struct queue *q);
/* Bytes of private memory that a queue of so many slots needs at most. */
size_t queue_memory(uint32_t slots, uint32_t persistent_grants);
/* Takes no more, answers all that was taken, joins the thread. Waits for the storage. Idempotent.
 */
void queue_stop(struct queue *q);
/* The same, without waiting for it: where several are stopped, none is to go on taking requests
 * while another one is waited for. Idempotent. */
void queue_stop_soon(struct queue *q);
/* After queue_stop of all the disk's queues: unmaps, unbinds, closes the journal and (keep_journal
 * false) deletes it. */
void queue_free(struct queue *q, bool keep_journal);
/* From a signal handler, on any thread: its journal notes the fault that ends the worker. */
void queue_note_fault(struct queue *q, int sig);
/* Why the ring was stopped for good, or NULL. Control thread, after a notice. */
const char *queue_stopped_reason(const struct queue *q);

#endif
