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

#include "xen/events.h"

#define MEMORY_US 10000 /* until memory is asked for again */

struct drain {
	struct xs_handle *xs;
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

static void *run(void *arg)
{
	struct drain *d = arg;
	struct pollfd p[2] = {{.fd = xs_fileno(d->xs), .events = POLLIN},
	                      {.fd = d->stop_fd, .events = POLLIN}};
	int rc = 0;

	while (!rc && !d->stopping)
		if (poll(p, 2, -1) > 0)
			rc = take_all(d);
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

int drain_start(struct xs_handle *xs, struct drain **out)
{
	struct drain *d = calloc(1, sizeof *d);
	int rc = 0;

	if (!d)
		return -ENOMEM;
	d->xs = xs;
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
