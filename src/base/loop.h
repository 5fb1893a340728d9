/* SPDX-License-Identifier: MIT */
/* Event loop of the control processes: file descriptors and timers on one epoll. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"

/* A descriptor that the loop watches; embedded in its owner. The owner closes fd, after
 * loop_del. */
struct loop_fd {
	int fd;
	void (*ready)(struct loop_fd *lfd, uint32_t events); /* EPOLLIN … */
};

/* A one-shot timer; embedded in its owner. Zero-initialised (or list_init'ed link) means not armed.
 */
struct loop_timer {
	struct list link;
	uint64_t deadline_ns; /* clock_ns() */
	void (*expired)(struct loop_timer *timer);
};

/* All of it belongs to the thread that calls loop_run. */
struct loop {
	int epfd;
	bool stop;
	struct list timers;
	struct epoll_event batch[64];
	int batch_n, batch_at;
};

int loop_init(struct loop *loop); /* 0 or -errno */
void loop_fini(struct loop *loop);

/* events: EPOLLIN … level-triggered. 0 or -errno. */
int loop_add(struct loop *loop, struct loop_fd *lfd, uint32_t events);
int loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events);
/* After it, ready() is not called any more, not even for an event already fetched. */
void loop_del(struct loop *loop, struct loop_fd *lfd);

/* (Re)arms; expired() is set beforehand by the owner. */
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t after_ns);
/* Idempotent; expired() is not called any more. */
void loop_timer_cancel(struct loop_timer *timer);

/* Dispatches until loop_stop(). 0 or -errno of epoll_wait. */
int loop_run(struct loop *loop);
/* One round: waits at most timeout_ms (-1: until something happens). */
int loop_once(struct loop *loop, int timeout_ms);
void loop_stop(struct loop *loop);

#endif
