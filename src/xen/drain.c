/* SPDX-License-Identifier: MIT */
/* The thread, and what it hands over. libxenstore may be called by several threads at once. */
#include "xen/drain.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "xen/events.h"

#define SLOW_NS (3 * NS_PER_S) /* for an answer; the usual one takes less than a millisecond */
#define LOOK_MS 2000           /* and so often it is looked whether one is waited for */
#define MEMORY_US 10000        /* until memory is asked for again */

struct drain {
	struct xs_handle *xs;
	const _Atomic uint64_t *asked_ns;
	uint64_t told_ns; /* *asked_ns of the call that was logged; 0: none */
	pthread_t thread;
	atomic_bool stopping;
	int stop_fd;          /* wakes the thread */
	int fd;               /* says that events wait */
	pthread_mutex_t lock; /* of what follows */
	struct events *events;
	int gone; /* -errno: the thread has ended */
};

static void tell(struct drain *d)
{
	uint64_t one = 1;

	/* Full is as good as told. */
	if (write(d->fd, &one, sizeof one) < 0)
		return;
}

static void put(struct drain *d, char **event)
{
	int rc;

	do {
		pthread_mutex_lock(&d->lock);
		rc = events_add(d->events, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		tell(d);
		pthread_mutex_unlock(&d->lock);
		if (rc)
			usleep(MEMORY_US);
	} while (rc && !d->stopping);
}

/* All that there are. 0, or -errno: there will be no more. */
static int take_all(struct drain *d)
{
	char **event;

	while (!d->stopping && (event = xs_check_watch(d->xs))) {
		put(d, event);
		free(event);
	}
	if (d->stopping || errno == EAGAIN)
		return 0;
	return errno == EINVAL ? -ENOTCONN : -errno; /* EINVAL: its socket is closed */
}

/* Who asked cannot say it: it waits. */
static void check_answer(struct drain *d)
{
	uint64_t now = clock_ns(), asked = *d->asked_ns;

	if (d->told_ns && asked != d->told_ns) {
		log_info("xenstored answers again");
		d->told_ns = 0;
	} else if (!d->told_ns && asked && now > asked + SLOW_NS) {
		log_warn(
		    "xenstored has not answered for %u s: no disk connects or disconnects, and "
		    "commands wait, until it does; guests' requests are served",
		    (unsigned)((now - asked) / NS_PER_S));
		d->told_ns = asked;
	}
}

static void *run(void *arg)
{
	struct drain *d = arg;
	struct pollfd p[2] = {{.fd = xs_fileno(d->xs), .events = POLLIN},
	                      {.fd = d->stop_fd, .events = POLLIN}};
	int rc = 0;

	while (!rc && !d->stopping) {
		if (poll(p, 2, LOOK_MS) > 0)
			rc = take_all(d);
		check_answer(d);
	}
	pthread_mutex_lock(&d->lock);
	d->gone = rc;
	tell(d);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void drain_free(struct drain *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	events_free(d->events);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int drain_start(struct xs_handle *xs, const _Atomic uint64_t *asked_ns, struct drain **out)
{
	struct drain *d = calloc(1, sizeof *d);
	int rc = 0;

	if (!d)
		return -ENOMEM;
	d->xs = xs;
	d->asked_ns = asked_ns;
	pthread_mutex_init(&d->lock, NULL);
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->fd < 0 || d->stop_fd < 0)
		rc = -errno;
	d->events = events_new();
	if (!rc && !d->events)
		rc = -ENOMEM;
	if (!rc)
		rc = -pthread_create(&d->thread, NULL, run, d);
	if (rc)
		drain_free(d);
	else
		*out = d;
	return rc;
}

void drain_stop(struct drain *d)
{
	uint64_t one = 1;

	if (!d)
		return;
	d->stopping = true;
	if (write(d->stop_fd, &one, sizeof one) < 0)
		return;
	pthread_join(d->thread, NULL);
	drain_free(d);
}

int drain_fd(const struct drain *d)
{
	return d->fd;
}

int drain_take(struct drain *d, char *path, size_t path_cap, char *token, size_t token_cap)
{
	uint64_t told;
	int rc = 1;

	pthread_mutex_lock(&d->lock);
	if (!events_take(d->events, path, path_cap, token, token_cap)) {
		rc = d->gone;
		/* The end stays told. */
		if (!rc && read(d->fd, &told, sizeof told) < 0)
			rc = 0;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}
