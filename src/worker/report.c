/* SPDX-License-Identifier: MIT */
/* What happens in the queues' threads and is told here: statistics at most once a second, and only
 * after activity; trouble of the storage at once, but not more than twice a second. */
#include "worker/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/peer.h"
#include "worker/stats_text.h"

#define TROUBLE_NS (NS_PER_S / 2)

/* A second from now: the files, and reports that had to wait. */
static void later(struct worker *w)
{
	struct itimerspec in = {.it_value.tv_sec = 1};

	__atomic_store_n(&w->stats_armed, 1, __ATOMIC_SEQ_CST);
	timerfd_settime(w->stats_timer.fd, 0, &in, NULL);
}

void report_trouble(struct worker *w)
{
	struct wm m = {.version = WM_VERSION, .type = WM_TROUBLE};
	uint64_t now = clock_ns();

	trouble_look(&w->shared.trouble, m.trouble);
	if (w->peer.fd < 0 || w->peer_other ||
	    !memcmp(m.trouble, w->trouble_reported, sizeof m.trouble))
		return;
	if (now - w->trouble_ns < TROUBLE_NS) {
		later(w);
		return;
	}
	w->trouble_ns = now;
	memcpy(w->trouble_reported, m.trouble, sizeof m.trouble);
	peer_send(w, &m);
}

void report_trouble_again(struct worker *w)
{
	memset(w->trouble_reported, 0, sizeof w->trouble_reported);
	w->trouble_ns = 0;
	report_trouble(w);
}

static void timer_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, stats_timer);
	uint64_t count;

	if (read(lfd->fd, &count, sizeof count) < 0)
		return;
	/* Before the sum: a queue that counts from now on arms the timer again. */
	__atomic_store_n(&w->stats_armed, 0, __ATOMIC_SEQ_CST);
	stats_text_write(w);
	report_trouble(w);
}

bool report_stopped_text(const struct worker *w, char *text, size_t cap)
{
	text[0] = '\0';
	for (unsigned i = 0; i < w->nr_queues && !text[0]; i++) {
		const char *reason = queue_stopped_reason(w->queue[i]);
		if (reason)
			snprintf(text, cap, "queue %u stopped for good: %s", i, reason);
	}
	return text[0];
}

static void report_withdrawn(struct worker *w)
{
	struct wm m = {.version = WM_VERSION, .type = WM_WITHDRAWN};

	/* Relaxed: the eventfd that was read orders it after the queue's store. */
	m.withdrawn = __atomic_load_n(&w->shared.withdrawn, __ATOMIC_RELAXED);
	if (!(m.withdrawn & ~w->withdrawn_reported))
		return;
	w->withdrawn_reported = m.withdrawn;
	peer_send(w, &m);
}

static void report_stopped(struct worker *w)
{
	struct wm m = {.version = WM_VERSION, .type = WM_STOPPED};

	if (w->stop_reported || !report_stopped_text(w, m.text, sizeof m.text))
		return;
	w->stop_reported = true;
	peer_send(w, &m);
}

static void notice_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, notice);
	uint64_t count;

	if (read(lfd->fd, &count, sizeof count) < 0)
		return;
	/* One of another version would take it for the wrong program's; the next one asks. */
	if (w->peer_other)
		return;
	report_stopped(w);
	report_withdrawn(w);
	report_trouble(w);
}

int report_init(struct worker *w, struct error *err)
{
	w->files.stats->magic = STATS_MAGIC;
	w->files.stats->nr_queues = WM_MAX_QUEUES;
	stats_text_write(w);
	w->stats_timer = (struct loop_fd){
	    .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
	    .ready = timer_ready,
	};
	w->notice =
	    (struct loop_fd){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = notice_ready};
	if (w->stats_timer.fd < 0 || w->notice.fd < 0)
		return error_set(err, -errno, "out of descriptors");
	int rc = loop_add(&w->loop, &w->stats_timer, EPOLLIN);
	return rc ? rc : loop_add(&w->loop, &w->notice, EPOLLIN);
}
