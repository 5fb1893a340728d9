/* SPDX-License-Identifier: MIT */
/* Event loop of the control processes. Timers are few, so a plain list serves. */
#include "base/loop.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"

int loop_init(struct loop *loop)
{
	*loop = (struct loop){.epfd = epoll_create1(EPOLL_CLOEXEC)};
	list_init(&loop->timers);
	return loop->epfd < 0 ? -errno : 0;
}

void loop_fini(struct loop *loop)
{
	if (loop->epfd >= 0)
		close(loop->epfd);
	loop->epfd = -1;
}

static int loop_ctl(struct loop *loop, int op, struct loop_fd *lfd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = lfd};

	return epoll_ctl(loop->epfd, op, lfd->fd, &ev) ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_ADD, lfd, events);
}

int loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_MOD, lfd, events);
}

void loop_del(struct loop *loop, struct loop_fd *lfd)
{
	loop_ctl(loop, EPOLL_CTL_DEL, lfd, 0);
	/* Its owner may free it now: events already fetched must not reach it. */
	for (int i = loop->batch_at; i < loop->batch_n; i++)
		if (loop->batch[i].data.ptr == lfd)
			loop->batch[i].data.ptr = NULL;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t after_ns)
{
	loop_timer_cancel(timer);
	timer->deadline_ns = clock_ns() + after_ns;
	list_append(&loop->timers, &timer->link);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->link.next)
		list_remove(&timer->link);
}

/* Milliseconds until the next timer, rounded up; -1 if there is none. */
static int timers_timeout(struct loop *loop)
{
	uint64_t next = UINT64_MAX;

	list_for_each(it, tmp, &loop->timers)
	{
		struct loop_timer *t = container_of(it, struct loop_timer, link);
		if (t->deadline_ns < next)
			next = t->deadline_ns;
	}
	if (next == UINT64_MAX)
		return -1;
	uint64_t now = clock_ns();
	return next <= now ? 0 : (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void timers_run(struct loop *loop)
{
	struct list due;
	uint64_t now = clock_ns();

	/* First collect: an expired() may cancel or arm any timer, also a due one. */
	list_init(&due);
	list_for_each(it, tmp, &loop->timers)
	{
		if (container_of(it, struct loop_timer, link)->deadline_ns <= now) {
			list_remove(it);
			list_append(&due, it);
		}
	}
	while (!list_empty(&due)) {
		struct loop_timer *t = container_of(due.next, struct loop_timer, link);
		list_remove(&t->link);
		t->expired(t);
	}
}

int loop_once(struct loop *loop, int timeout_ms)
{
	int timer_ms = timers_timeout(loop);

	if (timer_ms >= 0 && (timeout_ms < 0 || timer_ms < timeout_ms))
		timeout_ms = timer_ms;
	loop->batch_n = epoll_wait(loop->epfd, loop->batch, 64, timeout_ms);
	if (loop->batch_n < 0) {
		loop->batch_n = 0;
		return errno == EINTR ? 0 : -errno;
	}
	for (loop->batch_at = 0; loop->batch_at < loop->batch_n;) {
		struct epoll_event *ev = &loop->batch[loop->batch_at++];
		struct loop_fd *lfd = ev->data.ptr;
		if (lfd)
			lfd->ready(lfd, ev->events);
	}
	timers_run(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int rc = 0;

	while (!loop->stop && !rc)
		rc = loop_once(loop, -1);
	loop->stop = false;
	return rc;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
