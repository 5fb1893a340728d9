/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's messages. The socket listens as long as the worker lives: when the supervisor
 * goes, the disk is served on, and its successor connects anew.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/image.h"
#include "worker/peer.h"
#include "worker/report.h"
#include "worker/resize.h"
#include "worker/ring.h"

#define ACCEPT_US 10000 /* when no descriptor is left for a caller */

static void peer_drop(struct worker *w)
{
	if (w->peer.fd < 0)
		return;
	loop_del(&w->loop, &w->peer);
	close(w->peer.fd);
	w->peer.fd = -1;
}

/* Without a supervisor, and with nothing that its successor could want. */
static void end_if_useless(struct worker *w)
{
	if (w->peer.fd < 0 && !w->storage && !w->opening)
		loop_stop(&w->loop);
}

static void reply(struct worker *w, uint32_t serial, enum wm_type type, int rc,
                  const struct error *err, const struct storage_caps *caps)
{
	struct wm m = {.version = WM_VERSION, .type = type, .serial = serial, .rc = rc};

	memcpy(m.text, err->text, sizeof m.text);
	if (rc)
		m.type = WM_FAILED;
	else if (caps)
		m.opened = *caps;
	peer_send(w, &m);
}

/* What there is, for a supervisor that did not see it come. Its first part is understood by those
 * of all versions. */
static void say_state(struct worker *w, const struct wm *request)
{
	struct wm m = {
	    .version = WM_VERSION,
	    .type = WM_STATE,
	    .serial = request->serial,
	    .flags = (w->storage ? WM_HAS_IMAGE : 0) | (w->nr_queues ? WM_HAS_RING : 0) |
	             (w->opening ? WM_OPENING : 0) | (image_waits_for_fence(w) ? WM_FENCING : 0),
	    .pending = w->open_serial,
	    .generation = w->generation,
	};

	m.state.domid = w->domid;
	m.state.devid = w->devid;
	if (w->storage)
		m.state.caps = *storage_caps(w->storage);
	/* Relaxed: what a queue withdraws after this is told by its notice. */
	m.state.withdrawn = __atomic_load_n(&w->shared.withdrawn, __ATOMIC_RELAXED);
	m.state.connect = w->connected;
	report_stopped_text(w, m.text, sizeof m.text);
	peer_send(w, &m);
	peer_pass_claim(w);
}

/* log_fd: the supervisor reads our log there; -1: where it was. */
static void hello(struct worker *w, const struct wm *m, int log_fd)
{
	if (log_fd >= 0 && log_move(log_fd))
		log_warn("the log cannot be moved to the new xenblkd: %s", error_name(errno));
	say_state(w, m);
}

static void quit(struct worker *w)
{
	image_close(w);
	loop_stop(&w->loop);
}

/* fd: lent. */
static void dispatch(struct worker *w, const struct wm *m, int fd)
{
	struct error err = {""};
	int rc;

	switch ((enum wm_type)m->type) {
	case WM_OPEN:
		w->open_serial = m->serial;
		rc = image_open(w, &m->open, fd, &err);
		if (rc)
			reply(w, m->serial, WM_OPENED, rc, &err, NULL);
		return;
	case WM_CONNECT:
		rc = ring_connect(w, &m->connect, &err);
		reply(w, m->serial, WM_CONNECTED, rc, &err, NULL);
		return;
	case WM_DISCONNECT:
		ring_disconnect(w, false);
		reply(w, m->serial, WM_DISCONNECTED, 0, &err, NULL);
		return;
	case WM_CHECK:
		rc = ring_check(w, &m->connect, fd, &err);
		reply(w, m->serial, WM_READY, rc, &err, NULL);
		return;
	case WM_QUIT:
		quit(w);
		return;
	case WM_RESIZE:
		resize_check(w, m->serial);
		return;
	case WM_HELLO:
		hello(w, m, fd);
		report_trouble_again(w);
		return;
	case WM_READY:
	case WM_OPENED:
	case WM_CONNECTED:
	case WM_DISCONNECTED:
	case WM_FAILED:
	case WM_STOPPED:
	case WM_RESIZED:
	case WM_WITHDRAWN:
	case WM_TROUBLE:
	case WM_FORBIDDEN:
	case WM_STATE:
	case WM_CLAIMED:
		break;
	}
	log_warn("message of unknown type %u from the supervisor, ignored", m->type);
}

/* From a supervisor of another version: only what all of them understand. */
static void dispatch_foreign(struct worker *w, const struct wm *m, int fd)
{
	struct error err;

	switch (m->type) {
	case WM_HELLO:
		hello(w, m, fd);
		return;
	case WM_QUIT:
		quit(w);
		return;
	}
	error_set(&err, 0, "xenblkd speaks version %u to its workers, this xenblkd-worker %u",
	          m->version, WM_VERSION);
	log_error("%s", err.text);
	reply(w, m->serial, WM_FAILED, -EPROTO, &err, NULL);
}

static void opened(struct worker *w)
{
	struct storage_caps caps = {0};
	struct error err = {""}, note = {""};
	int rc = image_opened(w, &caps, &note, &err);

	reply(w, w->open_serial, WM_OPENED, rc, rc ? &err : &note, &caps);
	if (w->unfit)
		loop_stop(&w->loop);
	end_if_useless(w);
}

static void opened_ready(struct loop_fd *lfd, uint32_t events)
{
	uint64_t count;

	if (read(lfd->fd, &count, sizeof count) > 0)
		opened(container_of(lfd, struct worker, opened));
}

static void peer_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, peer);
	struct wm m = {0};
	int fd;
	ssize_t n = wm_receive(lfd->fd, &m, &fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* The supervisor is gone; its successor will connect. */
		peer_drop(w);
		end_if_useless(w);
		return;
	}
	w->peer_other = n >= WM_HEAD_BYTES && m.version != WM_VERSION;
	if (w->peer_other)
		dispatch_foreign(w, &m, fd);
	else if (n == sizeof m)
		dispatch(w, &m, fd);
	else
		log_error("%zd bytes from the supervisor are no message", n);
	if (fd >= 0)
		close(fd);
}

/* A supervisor: the socket stands in its folder, which no worker sees. */
static void listener_ready(struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = container_of(lfd, struct worker, listener);
	int fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC);

	/* Without a descriptor for it: the one before it goes first. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		peer_drop(w);
		fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC);
	}
	if (fd < 0) {
		/* The caller stays in the queue: no spin. Data does not come by this thread. */
		if (errno != EAGAIN && errno != EINTR)
			usleep(ACCEPT_US);
		return;
	}
	peer_drop(w);
	w->peer_other = false;
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
	w->opened =
	    (struct loop_fd){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = opened_ready};
	if (w->opened.fd < 0)
		return -errno;
	int rc = loop_add(&w->loop, &w->opened, EPOLLIN);
	return rc ? rc : loop_add(&w->loop, &w->listener, EPOLLIN);
}
