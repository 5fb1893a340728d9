/* SPDX-License-Identifier: MIT */
/* Making, starting, stopping and freeing a queue: the control thread's half. */
#include "disk/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/another_ring.h"
#include "disk/crash.h"
#include "disk/invariants.h"
#include "disk/uring.h"

/* Of a connection that goes on: a dead worker's end of the channel may linger, and a guest that
 * resumes takes its ring back before it tells where the next one is. So long until the first try
 * again, twice as long until the next, and so on. */
#define RETRY_FIRST_NS 250000L
#define RETRIES 14 /* one second */

#define QUEUE_STACK_BYTES (256u << 10)
/* What a platform remembers of a page that it has mapped. */
#define MAPPED_PAGE_BYTES 128
/* The engine's thread and memory, and what malloc keeps for each thread. */
#define QUEUE_SPARE_BYTES (2u << 20)

static bool try_again(const struct queue *q, int tries)
{
	struct timespec pause = {.tv_nsec = RETRY_FIRST_NS << (tries < 10 ? tries : 10)};

	if (!q->c.resume || tries + 1 >= RETRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

size_t queue_memory(uint32_t slots, uint32_t persistent_grants)
{
	size_t slot = sizeof(struct request) + sizeof(uint32_t) +
	              BLKIF_MAX_INDIRECT_SEGS * sizeof(struct blkif_seg);
	/* The table has up to four entries for each. */
	size_t grant = sizeof(struct grant) + 5 * sizeof(uint32_t) + MAPPED_PAGE_BYTES;

	return sizeof(struct queue) + slots * slot + persistent_grants * grant + BUFFERS_BYTES +
	       QUEUE_STACK_BYTES + QUEUE_SPARE_BYTES;
}

static int queue_alloc(struct queue *q, struct error *err)
{
	uint32_t n = q->ring.slots;

	q->request = calloc(n, sizeof *q->request);
	q->free_slots = calloc(n, sizeof *q->free_slots);
	/* Untouched pages cost nothing. */
	q->descriptors = mmap(NULL, queue_descriptor_bytes(q), PROT_READ | PROT_WRITE,
	                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (q->descriptors == MAP_FAILED)
		q->descriptors = NULL;
	if (!q->request || !q->free_slots || !q->descriptors || buffers_make(&q->buffers) ||
	    grants_make(&q->grants, q->gnttab, q->c.domid, q->c.persistent_grants,
	                q->c.persistent_idle_ns))
		return error_set(err, -ENOMEM, "out of memory for a ring of %u requests", n);
	for (uint32_t i = 0; i < n; i++) {
		q->request[i].slot = i;
		q->request[i].queue = q;
	}
	fifo_init(&q->taken);
	fifo_init(&q->waiting);
	fifo_init(&q->parked);
	fifo_init(&q->copy_in);
	fifo_init(&q->copy_out);
	fifo_init(&q->finished);
	fifo_init(&q->answered);
	return 0;
}

static int map_ring(struct queue *q, struct error *err)
{
	uint32_t pages = 1u << q->c.order;
	int tries = 0, rc;

	do
		rc = xen_gnttab_map(q->gnttab, q->c.domid, pages, q->c.wire.refs, true,
		                    &q->ring_pages);
	while (rc && try_again(q, tries++));
	if (rc)
		return error_set(err, rc, "cannot map ring of %u page%s, first reference %u: %s",
		                 pages, pages > 1 ? "s" : "", q->c.wire.refs[0], error_name(rc));
	blkif_ring_attach(&q->ring, q->ring_pages, q->c.order, q->c.protocol);
	return 0;
}

/* Slots that recovery does not need are free. */
static void fill_free_slots(struct queue *q)
{
	for (uint32_t i = q->ring.slots; i-- > 0;)
		if (q->journal.slot[i].state == JOURNAL_FREE)
			q->free_slots[q->nr_free++] = i;
}

/* A connection that was ours before: its journal says what was done. */
static int resume_journal(struct queue *q, struct journal_recovery *rec, struct error *err)
{
	int rc = journal_open(&q->journal, q->c.journal, &q->c.identity, q->ring.slots, err);

	if (rc)
		return rc;
	/* Now that nobody else publishes; once, as the guest may change it. */
	uint32_t rsp_prod = blkif_ring_rsp_prod(&q->ring);
	rc = journal_inspect(&q->journal, rec, err);
	if (!rc && another_ring(&q->journal, rec, &q->ring, rsp_prod))
		rc = error_set(err, -ECONNRESET, "the front end has made its ring anew");
	if (!rc)
		rc = journal_recover(&q->journal, rsp_prod, q->c.fault_epoch, rec, err);
	if (rc)
		return rc;
	q->cons = rec->cons;
	q->pub = q->pvt = rec->published;
	return 0;
}

static int new_journal(struct queue *q, struct error *err)
{
	uint32_t req = blkif_ring_req_prod(&q->ring), rsp = blkif_ring_rsp_prod(&q->ring);

	if (req - rsp > q->ring.slots)
		return error_set(err, -EPROTO,
		                 "the ring is inconsistent: req_prod %u, rsp_prod %u, %u slots",
		                 req, rsp, q->ring.slots);
	/* Answers overwrite requests out of order: what stands in such a ring may be no request. */
	if (q->c.resume && req != rsp)
		return error_set(
		    err, -EBADMSG,
		    "the journal is lost and %u requests are in the ring: nobody knows which "
		    "were executed; detach the disk or restart the guest",
		    req - rsp);
	journal_create(&q->journal, q->c.journal, &q->c.identity, q->ring.slots, rsp);
	q->cons = q->pub = q->pvt = rsp;
	return 0;
}

/* Finds where to go on. */
static int attach_journal(struct queue *q, struct journal_recovery *rec, bool *recovered,
                          struct error *err)
{
	int rc = q->c.resume ? resume_journal(q, rec, err) : -ENOENT;

	*recovered = !rc;
	if (rc == -ENOENT)
		rc = new_journal(q, err);
	if (!rc)
		fill_free_slots(q);
	return rc;
}

static int bind_port(struct queue *q, struct error *err)
{
	int tries = 0, rc;

	do
		rc = xen_evtchn_bind_interdomain(q->evtchn, q->c.domid, q->c.wire.port);
	while (rc <= 0 && try_again(q, tries++));
	if (rc > 0) {
		q->port = (uint32_t)rc;
		return 0;
	}
	return error_set(err, rc, "cannot bind event-channel %u of domain %u: %s", q->c.wire.port,
	                 q->c.domid, error_name(rc));
}

int queue_open(const struct queue_config *config, struct queue **out, struct error *err)
{
	struct queue *q = calloc(1, sizeof *q);
	int rc;

	if (!q)
		return error_set(err, -ENOMEM, "out of memory");
	q->c = *config;
	q->block = storage_caps(config->storage)->logical_block;
	q->wake_fd = -1;
	q->uring.ring_fd = -1;
	sem_init(&q->ready, 0, 0);
	sem_init(&q->go, 0, 0);
	blkif_ring_attach(&q->ring, NULL, q->c.order, q->c.protocol);
	rc = xen_gnttab_open(q->c.platform, &q->gnttab, err);
	if (!rc)
		rc = xen_evtchn_open(q->c.platform, &q->evtchn, err);
	if (!rc && (rc = uring_make(&q->uring, q->ring.slots, err)))
		q->uring.ring_fd = -1;
	if (!rc && (q->wake_fd = eventfd(0, EFD_CLOEXEC)) < 0)
		rc = error_set(err, -errno, "cannot make an eventfd: %s", error_name(errno));
	if (rc)
		queue_free(q, true);
	else
		*out = q;
	return rc;
}

int queue_attach(struct queue *q, struct error *err)
{
	struct journal_recovery *rec = malloc(sizeof *rec);
	bool recovered = false;
	int rc = rec ? 0 : error_set(err, -ENOMEM, "out of memory");

	if (!rc)
		rc = map_ring(q, err);
	if (!rc)
		rc = queue_alloc(q, err);
	if (!rc)
		rc = attach_journal(q, rec, &recovered, err);
	if (!rc)
		rc = bind_port(q, err);
	if (!rc && recovered) {
		crash_point(CRASH_RECOVER_BIND, q->port);
		log_info("queue %u: goes on, %u answers to give and %u requests to do again",
		         q->c.index, rec->nr_answered, rec->nr_taken);
		queue_replay(q, rec);
	}
	if (!rc) {
		invariants_check_all(q);
		q->c.shared->wake_fd[q->c.index] = q->wake_fd;
	}
	free(rec);
	return rc;
}

int queue_spawn(struct queue *q, struct error *err)
{
	pthread_attr_t attr;
	int rc = -pthread_attr_init(&attr);

	if (!rc)
		rc = -pthread_attr_setstacksize(&attr, QUEUE_STACK_BYTES);
	if (!rc)
		rc = -pthread_create(&q->thread, &attr, queue_thread, q);
	pthread_attr_destroy(&attr);
	if (rc)
		return error_set(err, rc, "cannot start the thread of queue %u: %s", q->c.index,
		                 error_name(rc));
	sem_wait_for(&q->ready);
	if (q->start_rc) {
		pthread_join(q->thread, NULL);
		*err = q->start_err;
		return q->start_rc;
	}
	q->running = true;
	return 0;
}

void queue_start(struct queue *q)
{
	q->going = true;
	sem_post(&q->go);
}

void queue_stop_soon(struct queue *q)
{
	if (!q->running || q->stopping)
		return;
	/* Pairs with the thread's acquire loads: it takes nothing after it saw this. */
	__atomic_store_n(&q->stopping, true, __ATOMIC_RELEASE);
	if (q->going)
		shared_wake(q->c.shared, q->c.index);
	else
		sem_post(&q->go);
}

void queue_stop(struct queue *q)
{
	if (!q->running)
		return;
	queue_stop_soon(q);
	pthread_join(q->thread, NULL);
	q->running = false;
}

void queue_free(struct queue *q, bool keep_journal)
{
	if (!q)
		return;
	if (q->uring.ring_fd >= 0)
		io_uring_queue_exit(&q->uring);
	xen_evtchn_close(q->evtchn);
	grants_free(&q->grants);
	if (q->ring_pages)
		xen_gnttab_unmap(q->gnttab, q->ring_pages, 1u << q->c.order);
	xen_gnttab_close(q->gnttab);
	journal_close(&q->journal, !keep_journal);
	if (q->descriptors)
		munmap(q->descriptors, queue_descriptor_bytes(q));
	buffers_free(&q->buffers);
	if (q->wake_fd >= 0) {
		q->c.shared->wake_fd[q->c.index] = -1;
		close(q->wake_fd);
	}
	free(q->free_slots);
	free(q->request);
	sem_destroy(&q->ready);
	sem_destroy(&q->go);
	free(q);
}

const char *queue_stopped_reason(const struct queue *q)
{
	return __atomic_load_n(&q->stopped, __ATOMIC_ACQUIRE);
}

void queue_note_fault(struct queue *q, int sig)
{
	if (q->journal.h)
		journal_fault(&q->journal, sig);
}
