/* SPDX-License-Identifier: MIT */
/*
 * Event channels. Sending and receiving happen between the clients, in the line's shared page and
 * two eventfds; here ports are made, joined, and parted when a process dies.
 */
#include "xen/embedded/hv_event.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <stdint.h>
#include <xen/xen.h>

#include "xen/embedded/hv_domain_ref.h"

static struct hv_end *line_end(struct hv *hv, const struct hv_line_info *line, unsigned side)
{
	return &hv->line_mem[line->index].end[side];
}

struct hv_end *hv_port_end(const struct hv_port *p)
{
	return line_end(p->conn->hv, p->line, p->side);
}

void hv_port_raise(struct hv_port *p)
{
	if (hv_end_raise(hv_port_end(p)))
		eventfd_write(p->line->efd[p->side], 1);
}

static void line_free(struct hv *hv, struct hv_line_info *line)
{
	for (int side = 0; side < 2; side++)
		if (line->efd[side] >= 0)
			close(line->efd[side]);
	if (line->index)
		hv_ids_remove(&hv->lines, line->index);
	free(line);
}

static int line_new(struct hv *hv, struct hv_line_info **out)
{
	struct hv_line_info *line = calloc(1, sizeof *line);

	if (!line)
		return -ENOMEM;
	int rc = 0;
	for (int side = 0; side < 2; side++) {
		line->efd[side] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (line->efd[side] < 0)
			rc = -errno;
	}
	if (!rc)
		rc = hv_ids_add(&hv->lines, HV_LINES - 1, line);
	if (rc < 0) {
		line_free(hv, line);
		return rc;
	}
	line->index = (uint32_t)rc;
	*out = line;
	return 0;
}

/* A port of this connection at that end of the line; ready to receive. */
static int port_new(struct hv_conn *c, struct hv_line_info *line, unsigned side,
                    uint16_t remote_domid, bool pending, struct hv_port **out)
{
	struct hv *hv = c->hv;
	struct hv_port *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	*p = (struct hv_port){.conn = c, .remote_domid = remote_domid, .line = line, .side = side};
	int rc = hv_ids_add(&c->domain->ports, 0xffff, p);
	if (rc < 0) {
		free(p);
		return rc;
	}
	p->port = (uint32_t)rc;
	rc = hv_ids_put(&c->ports, p->port, p);
	if (rc) {
		hv_ids_remove(&c->domain->ports, p->port);
		free(p);
		return rc;
	}
	line->end[side] = p;

	struct hv_end *end = line_end(hv, line, side);
	eventfd_t old;
	eventfd_read(line->efd[side], &old); /* meant for the one before */
	atomic_store(&end->drop, 0);
	atomic_store(&end->masked, 0);
	atomic_store(&end->pending, pending);
	if (!++hv->last_epoch)
		hv->last_epoch = 1;
	/* Last: the other end sends only to a bound one. */
	atomic_store(&end->bound, hv->last_epoch);
	if (pending)
		eventfd_write(line->efd[side], 1);
	*out = p;
	return 0;
}

static void port_reply(struct hv_call *call, const struct hv_port *p)
{
	call->reply.id = p->port;
	call->reply.line = p->line->index;
	call->reply.side = p->side;
	call->reply.epoch = atomic_load(&hv_port_end(p)->bound);
	call->fds[0] = p->line->efd[0];
	call->fds[1] = p->line->efd[1];
}

int hv_alloc_unbound(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	struct hv_line_info *line;
	struct hv_port *p;

	if (call->req.domid >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	int rc = line_new(c->hv, &line);
	if (rc)
		return rc;
	rc = port_new(c, line, 0, call->req.domid, false, &p);
	if (rc) {
		line_free(c->hv, line);
		return rc;
	}
	port_reply(call, p);
	return 0;
}

int hv_bind(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	struct hv_domain *d = hv_domain_find(c->hv, call->req.domid);

	if (!d)
		return -ENOENT;
	struct hv_port *remote = hv_ids_get(&d->ports, call->req.arg);
	if (!remote || remote->line->end[!remote->side])
		return -EBUSY;
	if (remote->remote_domid != c->domain->domid)
		return -EINVAL;
	struct hv_port *p;
	int rc = port_new(c, remote->line, !remote->side, d->domid, true, &p);
	if (!rc)
		port_reply(call, p);
	return rc;
}

static void port_close(struct hv_port *p)
{
	struct hv_conn *c = p->conn;
	struct hv_line_info *line = p->line;
	struct hv_port *other = line->end[!p->side];
	struct hv_end *end = hv_port_end(p);

	atomic_store(&end->bound, 0); /* the other end's events are dropped from here on */
	atomic_store(&end->pending, 0);
	atomic_store(&end->masked, 0);
	atomic_store(&end->drop, 0);
	line->end[p->side] = NULL;
	hv_ids_remove(&c->ports, p->port);
	hv_ids_remove(&c->domain->ports, p->port);
	if (other) {
		/* The other end stays, unbound, for the same domain: remote_domid does not change.
		 * We may have died between its pending bit and its eventfd: nobody would write
		 * that any more, because the bit is set. */
		struct hv_end *oe = hv_port_end(other);
		if (atomic_load(&oe->pending) && !atomic_load(&oe->masked))
			eventfd_write(line->efd[other->side], 1);
	} else {
		line_free(c->hv, line);
	}
	free(p);
}

int hv_unbind(struct hv_conn *c, uint32_t port)
{
	struct hv_port *p = hv_ids_get(&c->ports, port);

	if (!p)
		return -EINVAL;
	port_close(p);
	return 0;
}

void hv_ports_end(struct hv_conn *c)
{
	for (uint32_t port = 0; port < c->ports.size; port++)
		hv_unbind(c, port);
}
