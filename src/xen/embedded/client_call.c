/* SPDX-License-Identifier: MIT */
/* Requests to the embedded hypervisor, and the registry of regions that they made. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "xen/embedded/client_priv.h"

static int call_send(int sock, const struct client_call *call)
{
	struct iovec iov[2] = {{(void *)&call->req, sizeof call->req},
	                       {(void *)call->payload, call->req.bytes}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -EIO : 0;
}

static void fds_close(struct client_call *call)
{
	for (unsigned i = 0; i < HV_FDS_MAX; i++) {
		if (call->fds[i] >= 0)
			close(call->fds[i]);
		call->fds[i] = -1;
	}
}

/* Number of descriptors received. */
static unsigned fds_take(struct client_call *call, struct msghdr *msg)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);

	if (!cm || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
		return 0;
	size_t bytes = cm->cmsg_len - CMSG_LEN(0);
	memcpy(call->fds, CMSG_DATA(cm), bytes); /* the room bounds it */
	return (unsigned)(bytes / sizeof(int));
}

static int call_receive(int sock, struct client_call *call, unsigned fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * HV_FDS_MAX)];
	} ctl;
	struct iovec iov[2] = {{&call->reply, sizeof call->reply}, {call->out, call->out_bytes}};
	struct msghdr msg = {.msg_iov = iov,
	                     .msg_iovlen = 2,
	                     .msg_control = ctl.room,
	                     .msg_controllen = sizeof ctl.room};
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof call->reply)
		return -EIO;
	unsigned got = fds_take(call, &msg);
	if (call->reply.rc < 0)
		return call->reply.rc;
	/* Also when we ran out of descriptors: the kernel cuts them off. */
	if (got != fds)
		return msg.msg_flags & MSG_CTRUNC ? -EMFILE : -EIO;
	if ((msg.msg_flags & MSG_TRUNC) || call->reply.bytes != call->out_bytes ||
	    (size_t)n != sizeof call->reply + call->out_bytes)
		return -EIO;
	return call->reply.rc;
}

int client_call(int sock, struct client_call *call, unsigned fds)
{
	for (unsigned i = 0; i < HV_FDS_MAX; i++)
		call->fds[i] = -1;
	int rc = call_send(sock, call);
	if (!rc)
		rc = call_receive(sock, call, fds);
	if (rc < 0)
		fds_close(call);
	return rc;
}

static int hello_error(const struct embedded *e, int rc, struct error *err)
{
	switch (rc) {
	case -ENOENT:
		return error_set(err, rc,
		                 "embedded Xen in '%s' has no domain %u: attach a disk to it, "
		                 "or create it, first",
		                 e->dir, e->domid);
	case -EPROTO:
		return error_set(err, rc, "embedded Xen in '%s' is of another version: restart it",
		                 e->dir);
	case -ENOSPC:
		return error_set(
		    err, rc, "embedded Xen in '%s' has too many handles open: close some", e->dir);
	default:
		return error_set(err, rc,
		                 "embedded Xen in '%s' refuses the connection: %s; look at its "
		                 "messages",
		                 e->dir, error_name(rc));
	}
}

int client_connect(const struct embedded *e, enum hv_kind kind, struct client_call *call,
                   unsigned fds, struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int rc;

	if (sock < 0)
		return error_set(err, -errno, "cannot make a socket: %s", error_name(errno));
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", e->hv_path);
	do {
		rc = connect(sock, (struct sockaddr *)&addr, sizeof addr) ? -errno : 0;
	} while (rc == -EINTR);
	if (rc) {
		close(sock);
		return error_set(err, rc,
		                 "no embedded Xen answers in '%s' (%s): start xenblkd-xen on it",
		                 e->dir, error_name(rc));
	}
	*call = (struct client_call){
	    .req = {.op = HV_HELLO, .domid = e->domid, .arg = kind, .serial = HV_VERSION}};
	rc = client_call(sock, call, fds);
	if (rc < 0) {
		close(sock);
		return hello_error(e, rc, err);
	}
	return sock;
}

void client_disconnect(int sock)
{
	struct client_call call = {.req.op = HV_BYE};

	client_call(sock, &call, 0);
	close(sock);
}

/* ---- regions ---- */

static struct region **bucket(struct regions *r, const void *addr)
{
	uintptr_t page = (uintptr_t)addr / HV_PAGE;

	return &r->bucket[(page ^ page >> 8) % REGION_BUCKETS];
}

int regions_add(struct regions *r, void *addr, uint32_t count, uint32_t id)
{
	struct region **b = bucket(r, addr), *region = malloc(sizeof *region);

	if (!region)
		return -ENOMEM;
	*region = (struct region){.next = *b, .addr = addr, .count = count, .id = id};
	*b = region;
	return 0;
}

struct region *regions_find(struct regions *r, const void *addr, uint32_t count)
{
	for (struct region *it = *bucket(r, addr); it; it = it->next)
		if (it->addr == addr)
			return it->count == count ? it : NULL;
	return NULL;
}

void regions_remove(struct regions *r, struct region *region)
{
	struct region **at = bucket(r, region->addr);

	while (*at != region)
		at = &(*at)->next;
	*at = region->next;
	free(region);
}

void regions_unmap_all(struct regions *r)
{
	for (unsigned i = 0; i < REGION_BUCKETS; i++) {
		while (r->bucket[i]) {
			struct region *region = r->bucket[i];
			munmap(region->addr, (size_t)region->count * HV_PAGE);
			regions_remove(r, region);
		}
	}
}
