/* SPDX-License-Identifier: MIT */
/*
 * Sockets of the xenstore: domain 0's beside the hypervisor's, one per other domain in its own
 * folder. The store itself is a library (xsd.h); here its bytes are moved, and held back on
 * request.
 */
#include "xen/embedded/hv_store.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "xen/embedded/hv_listen.h"

#define INPUT_CHUNK 16384u
#define UNSENT_MAX (256u << 10) /* more than that waits: read no more from this client */

/* Owned by its client: answers that a fault delays. */
struct held {
	struct list link;
	uint64_t due_ns;
	size_t length, sent;
	char data[];
};

/* Owned by the hypervisor: one xenstore client. */
struct store_conn {
	struct loop_fd lfd;
	struct list link;
	struct list dirty; /* in hv->store_dirty while the store has output for it */
	struct hv *hv;
	struct hv_domain *domain; /* not counted: a domain drops its clients before it goes */
	struct xsd_conn *xc;
	uint32_t events; /* that the loop watches */
	struct list held;
	size_t held_bytes;
	struct loop_timer timer;
};

static const char *store_path(const struct hv_domain *d, char *buf, size_t cap)
{
	if (d->domid == 0)
		snprintf(buf, cap, "%s/" HV_STORE_SOCKET, d->hv->dir);
	else
		snprintf(buf, cap, "%s/domains/%u/" HV_STORE_SOCKET, d->hv->dir, d->domid);
	return buf;
}

static void conn_close(struct store_conn *sc)
{
	loop_del(sc->hv->loop, &sc->lfd);
	loop_timer_cancel(&sc->timer);
	xsd_disconnect(sc->xc);
	list_remove(&sc->link);
	list_remove(&sc->dirty);
	list_for_each(it, tmp, &sc->held) free(container_of(it, struct held, link));
	close(sc->lfd.fd);
	free(sc);
}

static void conn_watch(struct store_conn *sc, uint32_t events)
{
	if (events != sc->events && !loop_mod(sc->hv->loop, &sc->lfd, events))
		sc->events = events;
}

/* ---- output ---- */

/* Bytes sent, 0: the socket is full, -errno. */
static ssize_t send_some(struct store_conn *sc, const void *data, size_t n)
{
	ssize_t r = send(sc->lfd.fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r >= 0)
		return r;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Takes what the store has now; it is due after the delay. */
static int hold_output(struct store_conn *sc)
{
	const void *data;
	size_t n;

	while ((n = xsd_output(sc->xc, &data)) > 0) {
		struct held *h = malloc(sizeof *h + n);
		if (!h)
			return -ENOMEM;
		*h = (struct held){.due_ns = clock_ns() + sc->hv->store_delay_ns, .length = n};
		memcpy(h->data, data, n);
		list_append(&sc->held, &h->link);
		sc->held_bytes += n;
		xsd_consume(sc->xc, n);
	}
	return 0;
}

/* 1: everything held is sent, 0: some must wait (for time or for room), -errno. */
static int send_held(struct store_conn *sc, bool *full)
{
	while (!list_empty(&sc->held)) {
		struct held *h = container_of(sc->held.next, struct held, link);
		uint64_t now = clock_ns();
		if (h->due_ns > now) {
			loop_timer_arm(sc->hv->loop, &sc->timer, h->due_ns - now);
			return 0;
		}
		ssize_t r = send_some(sc, h->data + h->sent, h->length - h->sent);
		if (r <= 0) {
			*full = r == 0;
			return (int)r;
		}
		h->sent += (size_t)r;
		sc->held_bytes -= (size_t)r;
		if (h->sent < h->length)
			continue;
		list_remove(&h->link);
		free(h);
	}
	return 1;
}

/* Sends what can be sent. -errno: the client is gone. */
static int conn_send(struct store_conn *sc)
{
	const void *data;
	bool full = false;
	size_t n = 0;

	/* Order is kept: nothing overtakes what is held back. */
	if (sc->hv->store_delay_ns || !list_empty(&sc->held)) {
		int rc = hold_output(sc);
		if (rc)
			return rc;
	}
	int rc = send_held(sc, &full);
	if (rc < 0)
		return rc;
	while (rc == 1 && !full && (n = xsd_output(sc->xc, &data)) > 0) {
		ssize_t r = send_some(sc, data, n);
		if (r < 0)
			return (int)r;
		full = r == 0;
		xsd_consume(sc->xc, (size_t)r);
	}
	/* A client that does not take its answers is not asked for more. */
	bool stuffed = sc->held_bytes > UNSENT_MAX || full;
	conn_watch(sc, (stuffed ? 0 : EPOLLIN) | (full ? EPOLLOUT : 0));
	return 0;
}

static void output_ready(void *arg)
{
	struct store_conn *sc = arg;

	/* We may be deep inside the store, in another client's request: send later. */
	if (list_empty(&sc->dirty))
		list_append(&sc->hv->store_dirty, &sc->dirty);
}

void hv_store_flush(struct hv *hv)
{
	/* Closing a client may make output for others. */
	while (!list_empty(&hv->store_dirty)) {
		struct store_conn *sc =
		    container_of(hv->store_dirty.next, struct store_conn, dirty);
		list_remove(&sc->dirty);
		if (conn_send(sc))
			conn_close(sc);
	}
}

static void timer_expired(struct loop_timer *timer)
{
	struct store_conn *sc = container_of(timer, struct store_conn, timer);

	output_ready(sc);
	hv_store_flush(sc->hv);
}

void hv_store_delay(struct hv *hv, uint64_t ns)
{
	hv->store_delay_ns = ns;
	if (ns)
		return;
	list_for_each(it, tmp, &hv->store_conns)
	{
		struct store_conn *sc = container_of(it, struct store_conn, link);
		list_for_each(h, next, &sc->held) container_of(h, struct held, link)->due_ns = 0;
		output_ready(sc);
	}
	hv_store_flush(hv);
}

/* ---- input ---- */

/* Reads once. -errno: the client is to be closed. */
static int conn_receive(struct store_conn *sc)
{
	char buf[INPUT_CHUNK];
	ssize_t n = recv(sc->lfd.fd, buf, sizeof buf, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	return xsd_input(sc->xc, buf, (size_t)n);
}

static void conn_ready(struct loop_fd *lfd, uint32_t events)
{
	struct store_conn *sc = container_of(lfd, struct store_conn, lfd);
	struct hv *hv = sc->hv;
	int rc = 0;

	/* Hung up and unwatched for input: whatever it still asks for, it does not take answers. */
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		rc = -ECONNRESET;
	else if (events & EPOLLIN)
		rc = conn_receive(sc);
	if (rc) {
		log_debug("xenstore client of domain %u disconnected: %s", sc->domain->domid,
		          error_name(rc));
		conn_close(sc);
	} else if (events & EPOLLOUT) {
		output_ready(sc);
	}
	hv_store_flush(hv);
}

static void conn_accepted(struct hv_listener *l, int fd)
{
	struct hv *hv = l->hv;
	struct store_conn *sc = calloc(1, sizeof *sc);

	if (!sc)
		goto fail;
	*sc = (struct store_conn){.lfd = {fd, conn_ready}, .hv = hv, .events = EPOLLIN};
	sc->domain = container_of(l, struct hv_domain, store);
	sc->timer.expired = timer_expired;
	list_init(&sc->held);
	list_init(&sc->dirty);
	sc->xc = xsd_connect(hv->xsd, sc->domain->domid, output_ready, sc);
	if (!sc->xc)
		goto fail;
	if (loop_add(hv->loop, &sc->lfd, EPOLLIN)) {
		xsd_disconnect(sc->xc);
		goto fail;
	}
	list_append(&hv->store_conns, &sc->link);
	return;
fail:
	free(sc);
	close(fd);
}

/* ---- domains ---- */

int hv_store_domain_add(struct hv_domain *d, struct error *err)
{
	char path[128];

	if (d->domid) {
		snprintf(path, sizeof path, "%s/domains/%u", d->hv->dir, d->domid);
		if (mkdir(path, 0700) && errno != EEXIST)
			return error_set(err, -errno, "cannot make '%s': %s", path,
			                 error_name(errno));
	}
	return hv_listen(d->hv, &d->store, SOCK_STREAM, store_path(d, path, sizeof path),
	                 conn_accepted, err);
}

void hv_store_domain_remove(struct hv_domain *d)
{
	char path[128];

	hv_unlisten(&d->store, store_path(d, path, sizeof path));
	list_for_each(it, tmp, &d->hv->store_conns)
	{
		struct store_conn *sc = container_of(it, struct store_conn, link);
		if (sc->domain == d)
			conn_close(sc);
	}
	if (d->domid) {
		snprintf(path, sizeof path, "%s/domains/%u", d->hv->dir, d->domid);
		rmdir(path);
	}
}

void hv_store_reap(struct hv *hv)
{
	list_for_each(it, tmp, &hv->store_conns)
	{
		struct store_conn *sc = container_of(it, struct store_conn, link);
		struct pollfd p = {.fd = sc->lfd.fd, .events = POLLRDHUP};
		int rc = 0;
		if (poll(&p, 1, 0) != 1 || !(p.revents & (POLLRDHUP | POLLHUP)))
			continue;
		/* What it asked for before it went still counts. */
		while (!rc)
			rc = conn_receive(sc);
		conn_close(sc);
	}
	hv_store_flush(hv);
}

int hv_store_init(struct hv *hv, struct error *err)
{
	int rc = xsd_new(&hv->xsd);

	return rc ? error_set(err, rc, "cannot make the xenstore: %s", error_name(rc)) : 0;
}

void hv_store_fini(struct hv *hv)
{
	if (hv->xsd)
		xsd_free(hv->xsd);
	hv->xsd = NULL;
}
