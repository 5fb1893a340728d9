/* SPDX-License-Identifier: MIT */
/*
 * Event channels, seen from one end. Pending and mask bits stand in a page that both ends share;
 * an end that must wake up has its eventfd written. No system call asks the hypervisor but for
 * making and freeing ports.
 *
 * No wake-up is lost: a sender sets `pending`, then reads `masked`; unmask clears `masked`, then
 * reads `pending`; and the receiver empties its eventfd before it looks at either.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xen/embedded/client_priv.h"

/* Owned by its handle. */
struct port {
	uint32_t number;
	uint32_t epoch; /* of our end: another value there means that the port was taken from us */
	struct hv_end *end, *peer;
	int efd, peer_efd;
};

/* Owned by the thread that uses the handle. */
struct evtchn {
	struct xen_evtchn base;
	int sock;
	int epfd; /* over all ports' eventfds, and the socket: it tells when the hypervisor dies */
	struct hv_line *lines;
	struct port **ports; /* by number */
	uint32_t size, used;
	struct port *recent; /* made or taken last */
};

static struct evtchn *evtchn_of(const struct xen_evtchn *e)
{
	return container_of(e, struct evtchn, base);
}

int embedded_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err)
{
	struct client_call call;
	struct evtchn *e = calloc(1, sizeof *e);
	int rc;

	if (!e)
		return error_set(err, -ENOMEM, "cannot open event channels: out of memory");
	e->base.ops = p->ops;
	e->epfd = -1;
	e->lines = MAP_FAILED;
	rc = e->sock = client_connect(embedded_of(p), HV_EVTCHN, &call, 1, err);
	if (rc < 0)
		goto out;
	rc = 0;
	e->lines = mmap(NULL, HV_LINES * sizeof *e->lines, PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_NORESERVE, call.fds[0], 0);
	if (e->lines == MAP_FAILED)
		rc = -errno;
	close(call.fds[0]);
	struct epoll_event ev = {.events = EPOLLRDHUP}; /* data 0: no port */
	if (!rc && ((e->epfd = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	            epoll_ctl(e->epfd, EPOLL_CTL_ADD, e->sock, &ev)))
		rc = -errno;
	if (rc)
		error_set(err, rc, "cannot set up event channels: %s", error_name(rc));
out:
	if (rc) {
		if (e->sock >= 0)
			close(e->sock);
		if (e->epfd >= 0)
			close(e->epfd);
		if (e->lines != MAP_FAILED)
			munmap(e->lines, HV_LINES * sizeof *e->lines);
		free(e);
		return rc;
	}
	*out = &e->base;
	return 0;
}

int embedded_evtchn_fd(const struct xen_evtchn *base)
{
	return evtchn_of(base)->epfd;
}

static void port_free(struct evtchn *e, struct port *port)
{
	epoll_ctl(e->epfd, EPOLL_CTL_DEL, port->efd, NULL);
	close(port->efd);
	close(port->peer_efd);
	e->ports[port->number] = NULL;
	e->used--;
	if (e->recent == port)
		e->recent = NULL;
	free(port);
}

void embedded_evtchn_close(struct xen_evtchn *base)
{
	struct evtchn *e = evtchn_of(base);

	for (uint32_t i = 0; i < e->size; i++)
		if (e->ports[i])
			port_free(e, e->ports[i]);
	client_disconnect(e->sock);
	close(e->epfd);
	munmap(e->lines, HV_LINES * sizeof *e->lines);
	free(e->ports);
	free(e);
}

/* ---- ports ---- */

static int ports_grow(struct evtchn *e, uint32_t number)
{
	if (number < e->size)
		return 0;
	uint32_t size = number * 2 + 8;
	struct port **ports = realloc(e->ports, size * sizeof *ports);
	if (!ports)
		return -ENOMEM;
	memset(ports + e->size, 0, (size - e->size) * sizeof *ports);
	e->ports = ports;
	e->size = size;
	return 0;
}

static int hv_unbind_call(struct evtchn *e, uint32_t port)
{
	struct client_call call = {.req = {.op = HV_UNBIND, .arg = port}};

	return client_call(e->sock, &call, 0);
}

/* Has the hypervisor make a port; takes it over. */
static int port_make(struct evtchn *e, enum hv_op op, uint16_t domid, uint32_t remote_port)
{
	struct client_call call = {.req = {.op = op, .domid = domid, .arg = remote_port}};
	struct port *port = calloc(1, sizeof *port);

	if (!port)
		return -ENOMEM;
	int rc = client_call(e->sock, &call, 2);
	if (rc < 0) {
		free(port);
		return rc;
	}
	const struct hv_reply *r = &call.reply;
	unsigned side = r->side & 1;
	struct hv_line *line = &e->lines[r->line % HV_LINES];
	*port = (struct port){.number = r->id,
	                      .epoch = r->epoch,
	                      .end = &line->end[side],
	                      .peer = &line->end[!side],
	                      .efd = call.fds[side],
	                      .peer_efd = call.fds[!side]};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = port->number};
	rc = ports_grow(e, port->number);
	if (!rc && epoll_ctl(e->epfd, EPOLL_CTL_ADD, port->efd, &ev))
		rc = -errno;
	if (rc) {
		close(port->efd);
		close(port->peer_efd);
		hv_unbind_call(e, port->number);
		free(port);
		return rc;
	}
	e->ports[port->number] = port;
	e->used++;
	e->recent = port;
	return (int)port->number;
}

int embedded_evtchn_bind_interdomain(struct xen_evtchn *base, uint16_t domid, uint32_t remote_port)
{
	return port_make(evtchn_of(base), HV_BIND, domid, remote_port);
}

int embedded_evtchn_bind_unbound(struct xen_evtchn *base, uint16_t domid)
{
	return port_make(evtchn_of(base), HV_ALLOC_UNBOUND, domid, 0);
}

static struct port *port_find(struct evtchn *e, uint32_t number)
{
	return number < e->size ? e->ports[number] : NULL;
}

int embedded_evtchn_unbind(struct xen_evtchn *base, uint32_t number)
{
	struct evtchn *e = evtchn_of(base);
	struct port *port = port_find(e, number);

	if (!port)
		return -EINVAL;
	port_free(e, port);
	return hv_unbind_call(e, number);
}

/* False: our domain was destroyed, the line may belong to others by now. */
static bool port_ours(const struct port *port)
{
	return atomic_load(&port->end->bound) == port->epoch;
}

/* ---- events ---- */

/* A fault wants this event to be lost. */
static bool event_dropped(struct hv_end *end)
{
	uint32_t left = atomic_load_explicit(&end->drop, memory_order_relaxed);

	/* Exact also against the hypervisor setting it. */
	while (left)
		if (atomic_compare_exchange_weak(&end->drop, &left, left - 1))
			return true;
	return false;
}

int embedded_evtchn_notify(struct xen_evtchn *base, uint32_t number)
{
	struct port *port = port_find(evtchn_of(base), number);

	if (!port)
		return -EINVAL;
	if (!port_ours(port))
		return -EIO;
	/* Cleared by the hypervisor when the other end goes, set last when one comes. */
	if (!atomic_load(&port->peer->bound) || event_dropped(port->peer))
		return 0;
	if (hv_end_raise(port->peer))
		eventfd_write(port->peer_efd, 1);
	return 0;
}

/* True: it was pending and is masked now. */
static bool port_take(struct evtchn *e, struct port *port)
{
	eventfd_t old;

	if (!port_ours(port)) {
		epoll_ctl(e->epfd, EPOLL_CTL_DEL, port->efd, NULL);
		return false;
	}
	/* Emptied first: whatever a sender sets after our look writes it again. */
	eventfd_read(port->efd, &old);
	if (!atomic_load(&port->end->pending) || atomic_load(&port->end->masked))
		return false;
	/* Masked first: an event from here on stays in `pending` for unmask to find. */
	atomic_store(&port->end->masked, 1);
	atomic_store(&port->end->pending, 0);
	return true;
}

int embedded_evtchn_pending(struct xen_evtchn *base)
{
	struct evtchn *e = evtchn_of(base);
	struct epoll_event ev;

	/* A short cut for the common case of one port. */
	if (e->used == 1 && e->recent && atomic_load(&e->recent->end->pending) &&
	    port_take(e, e->recent))
		return (int)e->recent->number;
	for (;;) {
		int n = epoll_wait(e->epfd, &ev, 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EAGAIN;
		if (ev.data.u64 == 0)
			return -EIO; /* the hypervisor is gone */
		struct port *port = port_find(e, (uint32_t)ev.data.u64);
		if (port && port_take(e, port)) {
			e->recent = port;
			return (int)port->number;
		}
	}
}

int embedded_evtchn_unmask(struct xen_evtchn *base, uint32_t number)
{
	struct port *port = port_find(evtchn_of(base), number);

	if (!port)
		return -EINVAL;
	if (!port_ours(port))
		return -EIO;
	/* Full order: either a sender sees us unmasked, or we see its pending bit. */
	atomic_store(&port->end->masked, 0);
	if (atomic_load(&port->end->pending))
		eventfd_write(port->efd, 1);
	return 0;
}
