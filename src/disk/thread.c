/* SPDX-License-Identifier: MIT */
/*
 * The queue's thread: works while there is work, looks on for a bounded time after it, then sleeps
 * in its io_uring, where storage completions, the event channel and the control thread wake it.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "disk/crash.h"
#include "disk/invariants.h"

#define SPIN_MIN_NS 2000u
#define SPIN_MAX_NS 50000u
#define REFUSED_DOUBLINGS 6 /* pauses of 2 to 64 ms */

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void event_ready(struct uring_op *op, int res)
{
	struct queue *q = container_of(op, struct queue, poll_op);

	int port;

	q->poll_armed = false;
	/* The port stays masked until the thread sleeps again: events meanwhile cost the guest
	 * nothing. */
	while ((port = xen_evtchn_pending(q->evtchn)) > 0)
		q->masked = true;
	/* Readable for ever, with nothing to read: the domain, or Xen itself, is gone. */
	if (port != -EAGAIN)
		queue_stop_ring(q, "its event channel does not exist any more");
}

static void wake_arm(struct queue *q)
{
	struct io_uring_sqe *sqe = uring_sqe(&q->uring);

	io_uring_prep_read(sqe, q->wake_fd, &q->wake_value, sizeof q->wake_value, 0);
	uring_set_op(sqe, &q->wake_op);
}

static void woken(struct uring_op *op, int res)
{
	struct queue *q = container_of(op, struct queue, wake_op);

	/* Also while it stops: what it waits for may be another queue's. */
	if (res >= 0)
		wake_arm(q);
}

/* What the kernel does not take now stays in the submission queue. */
static void submitted(struct queue *q, int rc)
{
	q->refused = uring_short(rc) ? q->refused + 1 : 0;
}

/* One round without waiting; true if anything moved. */
static bool work(struct queue *q)
{
	bool moved = queue_take(q) > 0;

	if (q->block_waiters)
		request_granted(q);
	queue_start_ready(q);
	queue_copies(q);
	if (io_uring_sq_ready(&q->uring))
		submitted(q, io_uring_submit(&q->uring));
	moved |= uring_reap(&q->uring) > 0;
	queue_copies(q);
	moved |= queue_answer(q);
	return moved;
}

/* Ask the control thread to show new numbers a second from now; once per second of activity. */
static void stats_touch(struct queue *q)
{
	struct itimerspec in = {.it_value.tv_sec = 1};

	if (!__atomic_load_n(q->c.stats_armed, __ATOMIC_RELAXED) &&
	    !__atomic_exchange_n(q->c.stats_armed, 1, __ATOMIC_RELAXED))
		timerfd_settime(q->c.stats_timer_fd, 0, &in, NULL);
}

/* Whether requests in the ring are of any interest: a stopped ring's index may differ for good. */
static bool taking(const struct queue *q)
{
	return !q->stopped && !__atomic_load_n(&q->stopping, __ATOMIC_ACQUIRE);
}

/* Looks for work for a time that grows while looking pays and shrinks while it does not. */
static bool spin(struct queue *q)
{
	uint64_t until = clock_ns() + q->spin_ns;

	struct io_uring_cqe *cqe;
	bool look = taking(q);

	do {
		/* peek, not cq_ready: it also lets the kernel post what it holds back for us. */
		if ((look && blkif_ring_req_prod(&q->ring) != (uint32_t)q->cons) ||
		    !io_uring_peek_cqe(&q->uring, &cqe)) {
			q->spin_ns = q->spin_ns * 2 > SPIN_MAX_NS ? SPIN_MAX_NS : q->spin_ns * 2;
			return true;
		}
		cpu_relax();
	} while (clock_ns() < until);
	q->spin_ns = q->spin_ns / 2 < SPIN_MIN_NS ? SPIN_MIN_NS : q->spin_ns / 2;
	return false;
}

/* The kernel is short of memory: until something completes, or it is worth another try. Events are
 * not heard of if what waits for them could not be submitted, hence no longer. */
static void wait_for_memory(struct queue *q)
{
	unsigned doublings = q->refused < REFUSED_DOUBLINGS ? q->refused : REFUSED_DOUBLINGS;
	struct __kernel_timespec ts = {.tv_nsec = (long long)(NS_PER_MS << doublings)};
	struct io_uring_cqe *cqe;

	io_uring_wait_cqe_timeout(&q->uring, &cqe, &ts);
}

/* Of two times, 0 being none. */
static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

/* Until something completes, or there is something to tidy up, or to copy. */
static void wait_in_uring(struct queue *q)
{
	struct io_uring_cqe *cqe;
	uint64_t now;
	int rc;

	if (q->refused) {
		wait_for_memory(q);
		/* work() submits only what it finds queued. */
		q->refused = io_uring_sq_ready(&q->uring) ? q->refused : 0;
		return;
	}
	uint64_t until = earliest(q->idle_ns, queue_copies_due(q));
	if (!until) {
		submitted(q, io_uring_submit_and_wait(&q->uring, 1));
		return;
	}
	now = clock_ns();
	uint64_t ns = until > now ? until - now : 0;
	struct __kernel_timespec ts = {.tv_sec = (long long)(ns / NS_PER_S),
	                               .tv_nsec = (long long)(ns % NS_PER_S)};
	rc = io_uring_submit_and_wait_timeout(&q->uring, &cqe, 1, &ts, NULL);
	submitted(q, rc);
	if (rc == -ETIME && q->idle_ns && q->idle_ns <= clock_ns())
		queue_tidy(q);
}

static void sleep_until_event(struct queue *q)
{
	if (taking(q)) {
		/* Only if the ring is still empty after it asked for an event may it sleep. */
		uint32_t prod = blkif_ring_arm_req(&q->ring, (uint32_t)q->cons);
		crash_point(CRASH_SLEEP_ARM, q->cons);
		if (prod != (uint32_t)q->cons)
			return;
		if (!q->poll_armed) {
			struct io_uring_sqe *sqe = uring_sqe(&q->uring);
			io_uring_prep_poll_add(sqe, xen_evtchn_fd(q->evtchn), POLLIN);
			uring_set_op(sqe, &q->poll_op);
			q->poll_armed = true;
		}
		if (q->masked) {
			q->masked = false;
			xen_evtchn_unmask(q->evtchn, q->port);
		}
	}
	__atomic_store_n(&q->c.stats->inflight, q->inflight, __ATOMIC_RELAXED);
	__atomic_store_n(&q->c.stats->persistent, q->grants.count, __ATOMIC_RELAXED);
	wait_in_uring(q);
	__atomic_store_n(&q->c.stats->wakeups, q->c.stats->wakeups + 1, __ATOMIC_RELAXED);
}

static bool drained(const struct queue *q)
{
	return __atomic_load_n(&q->stopping, __ATOMIC_ACQUIRE) && !q->inflight &&
	       !q->waiting.head && !q->taken.head;
}

static int thread_setup(struct queue *q)
{
	int rc = storage_queue_open(q->c.storage, &q->uring, &q->storage, &q->start_err);

	if (rc)
		return rc;
	q->poll_op.done = event_ready;
	q->wake_op.done = woken;
	wake_arm(q);
	q->spin_ns = SPIN_MIN_NS;
	return 0;
}

/* Not by sysconf(), which opens files. */
static bool several_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) > 1;
}

void sem_wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR) {
	}
}

void *queue_thread(void *arg)
{
	struct queue *q = arg;
	bool may_spin = several_processors(), worked = false;

	prctl(PR_SET_NAME, q->c.thread_name);
	q->start_rc = thread_setup(q);
	sem_post(&q->ready);
	if (q->start_rc)
		return NULL;
	sem_wait_for(&q->go);
	if (!q->going) {
		storage_queue_close(q->storage);
		return NULL;
	}
	while (!drained(q)) {
		if (work(q)) {
			stats_touch(q);
			worked = true;
			continue;
		}
		if (may_spin && spin(q))
			continue;
		if (worked)
			queue_busy(q);
		worked = false;
		sleep_until_event(q);
	}
	invariants_check_all(q);
	__atomic_store_n(&q->c.stats->inflight, 0, __ATOMIC_RELAXED);
	storage_queue_close(q->storage);
	return NULL;
}
