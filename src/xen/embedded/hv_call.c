/* SPDX-License-Identifier: MIT */
/* Calls of clients: they come in, are dispatched and answered; who breaks the rules is
 * disconnected. */
#include "xen/embedded/hv_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/embedded/hv_conn.h"
#include "xen/embedded/hv_domain.h"
#include "xen/embedded/hv_domain_ref.h"
#include "xen/embedded/hv_event.h"
#include "xen/embedded/hv_fault.h"
#include "xen/embedded/hv_grant.h"
#include "xen/embedded/hv_usage.h"

/* ---- requests ---- */

static int op_hello(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	struct hv *hv = c->hv;

	if (call->req.serial != HV_VERSION)
		return -EPROTO;
	if (c->greeted || call->req.arg >= HV_KINDS)
		return -EINVAL;
	struct hv_domain *d = hv_domain_find(hv, call->req.domid);
	if (!d)
		return -ENOENT;
	if (call->req.arg == HV_GNTTAB) {
		int slot = hv_ids_add(&hv->slots, HV_SLOTS - 1, c);
		if (slot < 0)
			return slot;
		atomic_store(&hv->slot_mem[slot].grant, 0);
		call->reply.id = c->slot = (uint32_t)slot;
		call->fds[0] = hv->slots_fd;
	} else if (call->req.arg == HV_EVTCHN) {
		call->fds[0] = hv->lines_fd;
	} else if (call->req.arg == HV_GNTSHR) {
		call->fds[0] = d->memory_fd;
	}
	c->kind = (enum hv_kind)call->req.arg;
	c->domain = d;
	d->users++;
	c->greeted = true;
	return 0;
}

static int op_fault(struct hv_call *call)
{
	if (call->req.bytes > HV_TEXT_MAX)
		return -EINVAL;
	call->in.text[call->req.bytes] = '\0';
	return hv_fault(call->conn->hv, call->in.text);
}

static int op_domain(struct hv_call *call)
{
	struct hv *hv = call->conn->hv;

	if (call->conn->domain->domid != 0)
		return -EPERM;
	if (call->req.op == HV_DOMAIN_DESTROY)
		return hv_domain_destroy(hv, call->req.domid);
	return hv_domain_create(hv, call->req.domid, NULL);
}

static int op_take_fault(struct hv_call *call)
{
	struct hv *hv = call->conn->hv;
	struct hv_domain *d = hv_domain_find(hv, call->req.domid);

	if (d && call->req.arg < HV_REFS)
		call->reply.id = (uint32_t)hv_fault_take(hv, d, call->req.arg);
	return 0;
}

static int op_take_refusal(struct hv_call *call)
{
	struct hv_domain *d = hv_domain_find(call->conn->hv, call->req.domid);

	if (d)
		call->reply.id = (uint32_t)hv_refusal_take(d);
	return 0;
}

/* Perhaps one of the two ends that are in the way is dead, and only we do not know it yet. */
static int op_bind(struct hv_call *call)
{
	int rc = hv_bind(call);

	if (rc == -EBUSY) {
		hv_reap(call->conn->hv, call->conn);
		rc = hv_bind(call);
	}
	/* Xen's word for it. */
	return rc == -EBUSY ? -EINVAL : rc;
}

/* Perhaps who maps it is dead, and only we do not know it yet. */
static int op_unshare(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	int rc = hv_unshare(c, call->req.arg);

	if (rc == -EBUSY) {
		hv_reap(c->hv, c);
		rc = hv_unshare(c, call->req.arg);
	}
	return rc;
}

/* What a kind of handle may ask for. */
static bool op_allowed(enum hv_kind kind, uint32_t op)
{
	switch (op) {
	case HV_BYE:
		return true;
	case HV_MEMORY:
	case HV_MAP:
	case HV_UNMAP:
	case HV_TAKE_FAULT:
	case HV_TAKE_REFUSAL:
		return kind == HV_GNTTAB;
	case HV_SHARE:
	case HV_UNSHARE:
	case HV_REVOKE:
		return kind == HV_GNTSHR;
	case HV_ALLOC_UNBOUND:
	case HV_BIND:
	case HV_UNBIND:
		return kind == HV_EVTCHN;
	case HV_DOMAIN_CREATE:
	case HV_DOMAIN_DESTROY:
	case HV_FAULT:
	case HV_USAGE:
		return kind == HV_PLATFORM;
	}
	return false;
}

static int dispatch(struct hv_call *call)
{
	struct hv_conn *c = call->conn;

	if (call->req.op == HV_HELLO)
		return op_hello(call);
	if (!op_allowed(c->kind, call->req.op))
		return -EINVAL;
	/* The caller's domain was destroyed under it: it can only let go of what it maps. */
	if (!c->domain->alive && call->req.op != HV_UNMAP && call->req.op != HV_BYE)
		return -ENODEV;
	switch ((enum hv_op)call->req.op) {
	case HV_HELLO:
	case HV_BYE:
		return 0;
	case HV_MEMORY:
		return hv_memory(call);
	case HV_MAP:
		return hv_map(call);
	case HV_UNMAP:
		return hv_unmap(c, call->req.arg);
	case HV_TAKE_FAULT:
		return op_take_fault(call);
	case HV_TAKE_REFUSAL:
		return op_take_refusal(call);
	case HV_SHARE:
		return hv_share(call);
	case HV_UNSHARE:
		return op_unshare(call);
	case HV_REVOKE:
		return hv_revoke(call);
	case HV_ALLOC_UNBOUND:
		return hv_alloc_unbound(call);
	case HV_BIND:
		return op_bind(call);
	case HV_UNBIND:
		return hv_unbind(c, call->req.arg);
	case HV_DOMAIN_CREATE:
	case HV_DOMAIN_DESTROY:
		return op_domain(call);
	case HV_FAULT:
		return op_fault(call);
	case HV_USAGE:
		hv_usage(c->hv, call);
		return 0;
	}
	return -EINVAL;
}

/* ---- connections ---- */

/* 0, or -errno: the client does not take its answers. */
static int reply_send(struct hv_call *call)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof call->fds)];
	} ctl = {0};
	struct iovec iov[2] = {{&call->reply, sizeof call->reply}, {call->out, call->reply.bytes}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	for (unsigned i = 0; i < HV_FDS_MAX && call->fds[i] >= 0; i++)
		call->reply.fds++;
	if (call->reply.fds) {
		size_t bytes = call->reply.fds * sizeof(int);
		msg.msg_control = ctl.room;
		msg.msg_controllen = CMSG_SPACE(bytes);
		struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(cm), call->fds, bytes);
	}
	return sendmsg(call->conn->lfd.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* 1: a request is in call, 0: nothing came, -errno: the connection is over. */
static int request_receive(struct hv_call *call)
{
	/* No room for control data: descriptors that a client sends are closed by the kernel. */
	struct iovec iov[2] = {{&call->req, sizeof call->req}, {&call->in, sizeof call->in.words}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = recvmsg(call->conn->lfd.fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if ((msg.msg_flags & MSG_TRUNC) || (size_t)n < sizeof call->req ||
	    (size_t)n - sizeof call->req != call->req.bytes ||
	    (!call->conn->greeted && call->req.op != HV_HELLO)) {
		log_debug("a client sent a packet of %zd bytes that is no request: disconnected",
		          n);
		return -EPROTO;
	}
	return 1;
}

static void conn_ready(struct loop_fd *lfd, uint32_t events)
{
	struct hv_conn *c = container_of(lfd, struct hv_conn, lfd);
	struct hv_call *call = c->hv->call;

	call->conn = c;
	int rc = request_receive(call);
	if (rc == 0)
		return;
	if (rc < 0) {
		hv_conn_close(c);
		return;
	}
	memset(&call->reply, 0, sizeof call->reply);
	call->fds[0] = call->fds[1] = -1;
	rc = dispatch(call);
	if (rc < 0) {
		call->reply.bytes = 0;
		call->fds[0] = call->fds[1] = -1;
	}
	call->reply.rc = rc;
	if (call->req.op != HV_BYE) {
		/* A failed hello may be followed by a better one; a lost answer by nothing. */
		if (reply_send(call))
			hv_conn_close(c);
		return;
	}
	hv_ports_end(c);
	hv_maps_end(c);
	hv_shares_end(c);
	reply_send(call);
	hv_conn_close(c);
}

void hv_call_accepted(struct hv_listener *l, int fd)
{
	struct hv_conn *c = calloc(1, sizeof *c);

	if (!c) {
		close(fd);
		return;
	}
	c->hv = l->hv;
	c->lfd = (struct loop_fd){.fd = fd, .ready = conn_ready};
	if (loop_add(c->hv->loop, &c->lfd, EPOLLIN)) {
		close(fd);
		free(c);
		return;
	}
	list_append(&c->hv->conns, &c->link);
}
