/* SPDX-License-Identifier: MIT */
/*
 * The statistics page, and the same numbers as plain files for scripts, under the names that
 * Linux's back end has in sysfs. The files are rewritten at most once a second, and only after
 * activity.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/worker.h"

static const struct {
	const char *name;
	size_t offset; /* of the counter in struct stats_queue */
} files[] = {
    {"oo_req", offsetof(struct stats_queue, oo_req)},
    {"rd_req", offsetof(struct stats_queue, rd_req)},
    {"wr_req", offsetof(struct stats_queue, wr_req)},
    {"f_req", offsetof(struct stats_queue, f_req)},
    {"ds_req", offsetof(struct stats_queue, ds_req)},
    {"rd_sect", offsetof(struct stats_queue, rd_sect)},
    {"wr_sect", offsetof(struct stats_queue, wr_sect)},
};
#define NR_FILES (sizeof files / sizeof *files)

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
	for (size_t i = 0; i < NR_FILES; i++) {
		char path[300], text[32];
		int n = snprintf(text, sizeof text, "%llu\n",
		                 (unsigned long long)counter_sum(w->stats, files[i].offset));
		snprintf(path, sizeof path, "%s/statistics/%s", w->dir, files[i].name);
		/* Counters only grow, so a new text always covers the old one: no truncation, and a
		 * reader never sees half of it. */
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			continue; /* the folder goes away with the disk */
		if (pwrite(fd, text, (size_t)n, 0) != n)
			log_debug("cannot write %s: %s", path, error_name(errno));
		close(fd);
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
	report_stopped(w);
	report_withdrawn(w);
}

int stats_init(struct worker *w, struct error *err)
{
	char path[300];

	snprintf(path, sizeof path, "%s/stats", w->dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, sizeof *w->stats))
		return error_set(err, -errno, "cannot make %s: %s", path, error_name(errno));
	w->stats = mmap(NULL, sizeof *w->stats, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (w->stats == MAP_FAILED)
		return error_set(err, -errno, "cannot map %s: %s", path, error_name(errno));
	w->stats->magic = STATS_MAGIC;
	w->stats->nr_queues = WM_MAX_QUEUES;
	snprintf(path, sizeof path, "%s/statistics", w->dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return error_set(err, -errno, "cannot make %s: %s", path, error_name(errno));
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
