/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's messages. The socket listens as long as the worker lives: when the supervisor
 * goes, the disk is served on, and its successor connects anew.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/worker.h"

void session_send(struct worker *w, const struct wm *m)
{
	if (w->peer.fd >= 0 && send(w->peer.fd, m, sizeof *m, MSG_NOSIGNAL) != sizeof *m)
		log_warn("cannot answer the supervisor: %s", error_name(errno));
}

static void peer_drop(struct worker *w)
{
	if (w->peer.fd < 0)
		return;
	loop_del(&w->loop, &w->peer);
	close(w->peer.fd);
	w->peer.fd = -1;
}

static void reply(struct worker *w, const struct wm *request, enum wm_type type, int rc,
                  const struct error *err, const struct storage_caps *caps)
{
	struct wm m = {.version = WM_VERSION, .type = type, .serial = request->serial, .rc = rc};

	if (rc) {
		m.type = WM_FAILED;
		memcpy(m.text, err->text, sizeof m.text);
	} else if (caps) {
		m.opened = *caps;
	}
	session_send(w, &m);
}

static void dispatch(struct worker *w, const struct wm *m, int fd)
{
	struct storage_caps caps = {0};
	struct error err = {""};
	int rc;

	switch ((enum wm_type)m->type) {
	case WM_OPEN:
		rc = disk_open(w, &m->open, fd, &caps, &err);
		reply(w, m, WM_OPENED, rc, &err, &caps);
		return;
	case WM_CONNECT:
		rc = disk_connect(w, &m->connect, &err);
		reply(w, m, WM_CONNECTED, rc, &err, NULL);
		return;
	case WM_DISCONNECT:
		disk_disconnect(w, false);
		reply(w, m, WM_DISCONNECTED, 0, &err, NULL);
		return;
	case WM_QUIT:
		disk_close(w);
		loop_stop(&w->loop);
		return;
	case WM_RESIZE:
		resize_check(w, m->serial);
		return;
	case WM_OPENED:
	case WM_CONNECTED:
	case WM_DISCONNECTED:
	case WM_FAILED:
	case WM_STOPPED:
	case WM_RESIZED:
	case WM_WITHDRAWN:
		break;
	}
	log_warn("message of unknown type %u from the supervisor, ignored", m->type);
}

static void peer_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, peer);
	struct wm m;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = &m, .iov_len = sizeof m};
	struct msghdr h = {.msg_iov = &iov,
	                   .msg_iovlen = 1,
	                   .msg_control = &control,
	                   .msg_controllen = sizeof control};
	ssize_t n = recvmsg(lfd->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* The supervisor is gone; its successor will connect. */
		peer_drop(w);
		return;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	if (n != sizeof m || m.version != WM_VERSION)
		log_error("supervisor and worker are of different versions (%zd bytes, version %u)",
		          n, n >= 4 ? m.version : 0);
	else
		dispatch(w, &m, fd);
	if (fd >= 0)
		close(fd);
}

static void listener_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, listener);
	int fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	peer_drop(w);
	w->peer = (struct loop_fd){.fd = fd, .ready = peer_ready};
	if (loop_add(&w->loop, &w->peer, EPOLLIN)) {
		close(fd);
		w->peer.fd = -1;
	}
}

int session_init(struct worker *w, int listen_fd)
{
	w->peer.fd = -1;
	w->listener = (struct loop_fd){.fd = listen_fd, .ready = listener_ready};
	return loop_add(&w->loop, &w->listener, EPOLLIN);
}
