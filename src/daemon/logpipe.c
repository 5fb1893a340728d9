/* SPDX-License-Identifier: MIT */
/*
 * What a worker logs comes through a pipe, and becomes lines with its disk's name here: a worker
 * that a guest has taken over cannot speak for others, nor cut the log short, nor fill the disk it
 * is on. It may say much at once, and little for long. A pipe that is not read fills, and then the
 * worker drops its lines and counts them.
 */
#include "daemon/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* A line costs its length and LINE_COST: some 60 usual lines a second, some 600 at once. */
#define LINE_COST 100
#define RATE 10000 /* a second */
#define BURST 100000
#define PAUSE_NS NS_PER_S
#define READ_BYTES 1024 /* hence so much beyond the budget, at most */
#define LINE_BYTES 1000
#define ERROR_MARK "error: " /* as of log_error */

struct logpipe {
	struct daemon *d;
	char id[DEVICE_ID_MAX];
	struct loop_fd fd; /* the end to read from; -1: nobody writes any more */
	struct loop_timer more;
	bool paused, told;
	int64_t budget;
	uint64_t budget_ns; /* when it was reckoned */
	size_t length;
	char line[LINE_BYTES];
	struct error last;
};

static void refill(struct logpipe *l)
{
	uint64_t now = clock_ns(), ns = now - l->budget_ns;

	l->budget_ns = now;
	l->budget += ns > 60 * NS_PER_S ? BURST : (int64_t)(ns * RATE / NS_PER_S);
	if (l->budget > BURST)
		l->budget = BURST;
}

static void put_line(struct logpipe *l)
{
	l->line[l->length] = '\0';
	if (l->length)
		log_from(l->id, l->line);
	if (!strncmp(l->line, ERROR_MARK, strlen(ERROR_MARK)))
		error_set(&l->last, 0, "%s", l->line + strlen(ERROR_MARK));
	l->budget -= LINE_COST;
	l->length = 0;
}

static void take(struct logpipe *l, const char *data, size_t n)
{
	l->budget -= (int64_t)n;
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n' || l->length == LINE_BYTES - 1)
			put_line(l);
		if (data[i] != '\n')
			l->line[l->length++] = data[i] ? data[i] : '?';
	}
}

static void stop_reading(struct logpipe *l)
{
	if (l->fd.fd < 0)
		return;
	loop_del(&l->d->loop, &l->fd);
	close(l->fd.fd);
	l->fd.fd = -1;
}

/* Until there is nothing, or nothing may be read. */
static void read_some(struct logpipe *l)
{
	char data[READ_BYTES];
	ssize_t n;

	refill(l);
	while (l->fd.fd >= 0 && l->budget > 0) {
		n = read(l->fd.fd, data, sizeof data);
		if (n > 0) {
			take(l, data, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (!n || errno != EAGAIN)
			stop_reading(l);
		break;
	}
	if (l->budget == BURST)
		l->told = false;
}

static void ready(struct loop_fd *lfd, uint32_t events)
{
	struct logpipe *l = container_of(lfd, struct logpipe, fd);

	read_some(l);
	if (l->fd.fd < 0 || l->budget > 0)
		return;
	if (!l->told)
		log_warn("%s: its worker logs too much: more than %d bytes a second are lost",
		         l->id, RATE);
	l->told = l->paused = true;
	loop_del(&l->d->loop, &l->fd);
	loop_timer_arm(&l->d->loop, &l->more, PAUSE_NS);
}

static void more(struct loop_timer *t)
{
	struct logpipe *l = container_of(t, struct logpipe, more);

	l->paused = false;
	if (l->fd.fd >= 0 && loop_add(&l->d->loop, &l->fd, EPOLLIN))
		loop_timer_arm(&l->d->loop, &l->more, PAUSE_NS);
}

struct logpipe *logpipe_new(struct daemon *d, const char *id, int *write_fd)
{
	struct logpipe *l = calloc(1, sizeof *l);
	int end[2], rc;

	if (!l || pipe2(end, O_CLOEXEC | O_NONBLOCK)) {
		rc = l ? errno : ENOMEM;
		free(l);
		errno = rc;
		return NULL;
	}
	l->d = d;
	strncpy(l->id, id, sizeof l->id - 1);
	l->fd = (struct loop_fd){.fd = end[0], .ready = ready};
	l->more.expired = more;
	l->budget = BURST;
	l->budget_ns = clock_ns();
	rc = loop_add(&d->loop, &l->fd, EPOLLIN);
	if (!rc) {
		*write_fd = end[1];
		return l;
	}
	close(end[0]);
	close(end[1]);
	free(l);
	errno = -rc;
	return NULL;
}

void logpipe_flush(struct logpipe *l)
{
	if (l)
		read_some(l);
}

void logpipe_last_error(struct logpipe *l, struct error *last)
{
	logpipe_flush(l);
	*last = l ? l->last : (struct error){""};
}

void logpipe_free(struct logpipe *l)
{
	if (!l)
		return;
	/* Its last words. */
	read_some(l);
	if (l->length)
		put_line(l);
	loop_timer_cancel(&l->more);
	stop_reading(l);
	free(l);
}
