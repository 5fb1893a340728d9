/* SPDX-License-Identifier: MIT */
/*
 * The statistics page, and the same numbers as plain files for scripts. The files are rewritten at
 * most once a second, and only after activity.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/worker.h"

/* Of each counter in struct stats_queue. */
#define OFFSET(name) offsetof(struct stats_queue, name),
static const size_t offsets[] = {STATS_TEXTS(OFFSET)};

/* Sum of one counter over the queues. */
static uint64_t counter_sum(const struct stats_page *page, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STATS_MAX_QUEUES; i++)
		sum += __atomic_load_n(
		    (const uint64_t *)(const void *)((const char *)&page->queue[i] + offset),
		    __ATOMIC_RELAXED);
	return sum;
}

void stats_text_write(struct worker *w)
{
	for (size_t i = 0; i < STATS_NR_TEXTS; i++) {
		char text[STATS_TEXT_BYTES];
		uint64_t word[STATS_TEXT_BYTES / sizeof(uint64_t)];
		int n = snprintf(text, sizeof text, "%llu",
		                 (unsigned long long)counter_sum(w->files.stats, offsets[i]));
		memset(text + n, '\n', sizeof text - (size_t)n);
		memcpy(word, text, sizeof word);
		/* Relaxed, but whole words: a reader sees each eight digits as they are or were. */
		for (size_t k = 0; k < sizeof word / sizeof *word; k++)
			__atomic_store_n(&w->files.text[i][k], word[k], __ATOMIC_RELAXED);
	}
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
	trouble_report(w);
}

void stats_later(struct worker *w)
{
	struct itimerspec in = {.it_value.tv_sec = 1};

	__atomic_store_n(&w->stats_armed, 1, __ATOMIC_SEQ_CST);
	timerfd_settime(w->stats_timer.fd, 0, &in, NULL);
}

bool stopped_text(const struct worker *w, char *text, size_t cap)
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
	session_send(w, &m);
}

static void report_stopped(struct worker *w)
{
	struct wm m = {.version = WM_VERSION, .type = WM_STOPPED};

	if (w->stop_reported || !stopped_text(w, m.text, sizeof m.text))
		return;
	w->stop_reported = true;
	session_send(w, &m);
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
	trouble_report(w);
}

int stats_init(struct worker *w, struct error *err)
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
