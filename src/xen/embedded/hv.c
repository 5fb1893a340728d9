/* SPDX-License-Identifier: MIT */
/* The hypervisor's life: start, connections, dispatch of requests, end. */
#include "xen/embedded/hv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/platform.h"

int hv_memfd(const char *name, size_t size, void **mem)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	/* A client must not be able to shrink it under us: we would get SIGBUS. */
	if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	if (!mem)
		return fd;
	*mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (*mem == MAP_FAILED) {
		int rc = -errno;
		*mem = NULL;
		close(fd);
		return rc;
	}
	return fd;
}

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
	case HV_SHARE:
		return hv_share(call);
	case HV_UNSHARE:
		return hv_unshare(c, call->req.arg);
	case HV_REVOKE:
		return hv_revoke(call);
	case HV_ALLOC_UNBOUND:
		return hv_alloc_unbound(call);
	case HV_BIND:
		return hv_bind(call);
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

void hv_conn_close(struct hv_conn *c)
{
	struct hv *hv = c->hv;

	loop_del(hv->loop, &c->lfd);
	hv_ports_end(c);
	/* A killed process may have died in the middle of a copy. */
	if (c->slot) {
		atomic_store(&hv->slot_mem[c->slot].grant, 0);
		hv_ids_remove(&hv->slots, c->slot);
	}
	hv_maps_end(c);
	hv_shares_end(c);
	list_remove(&c->link);
	close(c->lfd.fd);
	if (c->domain)
		hv_domain_put(c->domain);
	hv_ids_free(&c->maps);
	hv_ids_free(&c->shares);
	hv_ids_free(&c->ports);
	free(c);
}

void hv_reap(struct hv *hv, const struct hv_conn *except)
{
	list_for_each(it, tmp, &hv->conns)
	{
		struct hv_conn *c = container_of(it, struct hv_conn, link);
		struct pollfd p = {.fd = c->lfd.fd, .events = POLLRDHUP};
		if (c != except && poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP)))
			hv_conn_close(c);
	}
}

static void conn_accepted(struct hv_listener *l, int fd)
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

/* ---- listening ---- */

static int spare_fd_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(struct loop_fd *lfd, uint32_t events)
{
	struct hv_listener *l = container_of(lfd, struct hv_listener, lfd);
	struct hv *hv = l->hv;
	int fd = accept4(lfd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->accepted(l, fd);
		return;
	}
	if ((errno != EMFILE && errno != ENFILE) || hv->spare_fd < 0)
		return;
	/* Out of descriptors: turn the client away, or it would wake us for ever. */
	log_warn("too many open files: a client was turned away; raise the limit (ulimit -n)");
	close(hv->spare_fd);
	fd = accept4(lfd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	hv->spare_fd = spare_fd_open();
}

int hv_listen(struct hv *hv, struct hv_listener *l, int type, const char *path,
              void (*accepted)(struct hv_listener *l, int fd), struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	*l = (struct hv_listener){.lfd = {-1, listener_ready}, .hv = hv, .accepted = accepted};
	if (strlen(path) >= sizeof addr.sun_path)
		return error_set(err, -ENAMETOOLONG, "socket path '%s' is too long", path);
	strcpy(addr.sun_path, path);
	unlink(path); /* what a killed predecessor left */
	l->lfd.fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->lfd.fd < 0)
		goto fail;
	if (bind(l->lfd.fd, (struct sockaddr *)&addr, sizeof addr) || chmod(path, 0600) ||
	    listen(l->lfd.fd, SOMAXCONN))
		goto fail;
	rc = loop_add(hv->loop, &l->lfd, EPOLLIN);
	if (!rc)
		return 0;
	errno = -rc;
fail:
	rc = -errno;
	error_set(err, rc, "cannot listen on '%s': %s", path, error_name(rc));
	if (l->lfd.fd >= 0)
		close(l->lfd.fd);
	l->lfd.fd = -1;
	return rc;
}

void hv_unlisten(struct hv_listener *l, const char *path)
{
	if (!l->hv || l->lfd.fd < 0)
		return;
	loop_del(l->hv->loop, &l->lfd);
	close(l->lfd.fd);
	l->lfd.fd = -1;
	unlink(path);
}

/* ---- start and end ---- */

/* Domain directories of a predecessor that was killed. */
static void sweep(const char *dir)
{
	char path[512];
	struct dirent *de;

	snprintf(path, sizeof path, "%s/domains", dir);
	DIR *dp = opendir(path);
	if (!dp)
		return;
	while ((de = readdir(dp))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/domains/%s/" HV_STORE_SOCKET, dir, de->d_name);
		unlink(path);
		snprintf(path, sizeof path, "%s/domains/%s", dir, de->d_name);
		rmdir(path);
	}
	closedir(dp);
}

int hv_new(struct loop *loop, const char *dir, struct hv **out, struct error *err)
{
	char path[128];
	struct hv *hv = calloc(1, sizeof *hv);
	int rc = -ENOMEM;

	if (!hv)
		return error_set(err, rc, "cannot start: out of memory");
	hv->loop = loop;
	hv->dir = dir;
	hv->lines_fd = hv->slots_fd = -1;
	list_init(&hv->conns);
	list_init(&hv->faults);
	list_init(&hv->store_conns);
	list_init(&hv->store_dirty);
	hv_memory_init(hv);
	hv->spare_fd = spare_fd_open();
	if (!(hv->call = calloc(1, sizeof *hv->call)))
		goto memory;
	rc = hv->lines_fd =
	    hv_memfd("xen-lines", HV_LINES * sizeof(struct hv_line), (void **)&hv->line_mem);
	if (rc < 0)
		goto memory;
	rc = hv->slots_fd =
	    hv_memfd("xen-slots", HV_SLOTS * sizeof(struct hv_slot), (void **)&hv->slot_mem);
	if (rc < 0)
		goto memory;
	snprintf(path, sizeof path, "%s/domains", dir);
	if (mkdir(path, 0700) && errno != EEXIST) {
		rc = error_set(err, -errno, "cannot make '%s': %s", path, error_name(errno));
		goto out;
	}
	sweep(dir);
	if ((rc = hv_store_init(hv, err)) || (rc = hv_domain_create(hv, 0, err)))
		goto out;
	snprintf(path, sizeof path, "%s/" HV_SOCKET, dir);
	rc = hv_listen(hv, &hv->calls, SOCK_SEQPACKET, path, conn_accepted, err);
	goto out;
memory:
	error_set(err, rc, "cannot make shared memory: %s", error_name(rc));
out:
	if (rc < 0) {
		hv_free(hv);
		return rc;
	}
	*out = hv;
	return 0;
}

void hv_free(struct hv *hv)
{
	char path[128];

	if (!hv)
		return;
	snprintf(path, sizeof path, "%s/" HV_SOCKET, hv->dir);
	hv_unlisten(&hv->calls, path);
	list_for_each(it, tmp, &hv->conns) hv_conn_close(container_of(it, struct hv_conn, link));
	for (unsigned i = 0; i <= XEN_DOMID_MAX; i++)
		if (hv->domains[i])
			hv_domain_destroy(hv, (uint16_t)i);
	hv_store_fini(hv);
	hv_memory_fini(hv);
	hv_faults_forget(hv, -1);
	snprintf(path, sizeof path, "%s/domains", hv->dir);
	rmdir(path);
	if (hv->line_mem)
		munmap(hv->line_mem, HV_LINES * sizeof(struct hv_line));
	if (hv->slot_mem)
		munmap(hv->slot_mem, HV_SLOTS * sizeof(struct hv_slot));
	if (hv->lines_fd >= 0)
		close(hv->lines_fd);
	if (hv->slots_fd >= 0)
		close(hv->slots_fd);
	if (hv->spare_fd >= 0)
		close(hv->spare_fd);
	hv_ids_free(&hv->lines);
	hv_ids_free(&hv->slots);
	free(hv->call);
	free(hv);
}
