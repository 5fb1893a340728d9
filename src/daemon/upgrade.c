/* SPDX-License-Identifier: MIT */
/*
 * A worker is replaced by the program that is installed now. That is started beside it and asked
 * whether it could go on with this connection: if not, nothing was touched. Only then the old one
 * drains and ends, and the new one, which waited for that, opens the image. Nothing of this needs
 * to be remembered: a new worker that loses its supervisor before it has the image ends, and
 * whoever dies at whatever step, the disk is one whose worker ended.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/command.h"
#include "daemon/device.h"
#include "daemon/logpipe.h"
#include "daemon/steps.h"

#define CHECK_NS (5 * NS_PER_S)   /* for the new program's answer */
#define DRAIN_NS (10 * NS_PER_S)  /* then it is killed: its journal says the rest */
#define SETTLE_NS (30 * NS_PER_S) /* then whoever asked is told that it takes long */

/* Owned by the supervisor's thread. */
struct upgrade {
	struct device *dev;
	uint64_t client; /* who asked, see control.c; 0: nobody */
	int prog_fd;
	struct spawned next; /* the new process; pid 0: it is the worker by now, or gone */
	struct loop_fd exit_fd, sock;
	struct loop_timer timer;
	bool checked, drained, had_ring;
	pid_t old_pid;
	uint64_t start_ns; /* of the pause */
};

static void standby_unwatch(struct upgrade *u)
{
	loop_del(&u->dev->d->loop, &u->exit_fd);
	loop_del(&u->dev->d->loop, &u->sock);
}

/* It has no image and no ring: it dies at once. */
static void standby_kill(struct upgrade *u)
{
	if (!u->next.pid)
		return;
	standby_unwatch(u);
	worker_unspawn(u->dev->d, &u->next);
}

static void answer(struct upgrade *u, json_t *text)
{
	if (u->client)
		control_answer(u->dev->d, u->client, text);
	else
		json_decref(text);
}

static void upgrade_free(struct upgrade *u)
{
	char path[SOCKET_PATH_MAX];

	standby_kill(u);
	loop_timer_cancel(&u->timer);
	if (u->prog_fd >= 0)
		close(u->prog_fd);
	snprintf(path, sizeof path, "%s/" NEXT_SOCK, u->dev->folder);
	unlink(path);
	u->dev->upgrade = NULL;
	free(u);
}

void upgrade_failed(struct device *dev, const char *why)
{
	struct upgrade *u = dev->upgrade;

	if (!u)
		return;
	log_warn("%s: upgrade: %s", dev->id, why);
	answer(u, command_error("disk %s: %s", dev->id, why));
	upgrade_free(u);
}

static void refused(struct upgrade *u, const char *why)
{
	struct error err;

	error_set(&err, 0, "the worker stays what it is: %s", why);
	if (u->dev->worker.other)
		snprintf(u->dev->worker.why_other, sizeof u->dev->worker.why_other, "%.180s", why);
	device_dirty(u->dev);
	upgrade_failed(u->dev, err.text);
}

void upgrade_settled(struct device *dev)
{
	struct upgrade *u = dev->upgrade;

	if (!u || !u->drained)
		return;
	double ms = (double)(clock_ns() - u->start_ns) / 1e6;
	/* Without a front end, none may be needed. */
	if (dev->worker.pid)
		device_log(dev, "worker %d replaced by %d in %.1f ms", u->old_pid, dev->worker.pid,
		           ms);
	else
		device_log(dev, "worker %d ended; the next one is the installed program",
		           u->old_pid);
	json_t *pid = dev->worker.pid ? json_integer(dev->worker.pid) : json_null();
	answer(u, command_result(json_pack("{s:s, s:i, s:o, s:f}", "id", dev->id, "old_worker_pid",
	                                   u->old_pid, "worker_pid", pid, "pause_ms", ms)));
	upgrade_free(u);
}

/* The new program would go on: the old one may end. Others that start from now on are new, too. */
static void drain(struct upgrade *u)
{
	struct daemon *d = u->dev->d;

	upgrade_step(STEP_CHECKED, u->dev->worker.pid, u->next.pid);
	if (!u->dev->worker.pid || u->dev->worker.killed) {
		refused(u, "it is ending just now");
		return;
	}
	close(d->worker_fd);
	d->worker_fd = u->prog_fd;
	u->prog_fd = -1;
	u->checked = true;
	u->start_ns = clock_ns();
	loop_timer_arm(&d->loop, &u->timer, SETTLE_NS);
	worker_quit(u->dev, DRAIN_NS);
	upgrade_step(STEP_DRAINING, u->dev->worker.pid, u->next.pid);
}

static void sock_ready(struct loop_fd *lfd, uint32_t events)
{
	struct upgrade *u = container_of(lfd, struct upgrade, sock);
	struct wm m = {0};
	char why[ERROR_TEXT_MAX];
	ssize_t n = recv(lfd->fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* Its end says more. */
		loop_del(&u->dev->d->loop, lfd);
		return;
	}
	if (u->checked)
		return;
	if (n >= WM_HEAD_BYTES && m.version != WM_VERSION) {
		snprintf(why, sizeof why,
		         "the installed xenblkd-worker speaks version %u, this xenblkd %u; upgrade "
		         "xenblkd first (`xenblkctl upgrade`)",
		         m.version, WM_VERSION);
		refused(u, why);
	} else if (n == (ssize_t)sizeof m && m.type == WM_READY) {
		drain(u);
	} else {
		snprintf(
		    why, sizeof why, "%.*s",
		    (int)(n == (ssize_t)sizeof m && m.type == WM_FAILED ? sizeof m.text - 1 : 0),
		    m.text);
		refused(u, why[0] ? why : "the new one makes no sense");
	}
}

static void exit_ready(struct loop_fd *lfd, uint32_t events)
{
	struct upgrade *u = container_of(lfd, struct upgrade, exit_fd);
	bool checked = u->checked;
	struct error last, why;

	logpipe_last_error(u->next.log, &last);
	error_set(&why, 0, "the new xenblkd-worker ended at once: %s",
	          last.text[0] ? last.text : "it gave no reason");
	standby_kill(u);
	/* After the check the old worker is ending: another new one will be started. */
	if (!checked)
		refused(u, why.text);
}

static void expired(struct loop_timer *t)
{
	struct upgrade *u = container_of(t, struct upgrade, timer);

	if (u->checked)
		upgrade_failed(u->dev, "takes long; see its status");
	else
		refused(u, "the new one does not answer");
}

static int start_standby(struct upgrade *u, struct error *err)
{
	struct device *dev = u->dev;
	int rc = worker_spawn(dev, u->prog_fd, RECORD_NEXT, &u->next, err);

	if (rc)
		return rc;
	u->exit_fd = (struct loop_fd){.fd = u->next.pidfd, .ready = exit_ready};
	u->sock = (struct loop_fd){.fd = u->next.sock, .ready = sock_ready};
	rc = loop_add(&dev->d->loop, &u->exit_fd, EPOLLIN);
	if (!rc)
		rc = loop_add(&dev->d->loop, &u->sock, EPOLLIN);
	return rc ? error_set(err, rc, "cannot watch the new worker: %s", error_name(rc)) : 0;
}

static int ask_standby(struct upgrade *u, struct error *err)
{
	struct device *dev = u->dev;
	struct wm m = {.type = WM_CHECK};

	if (u->had_ring) {
		int rc = ring_describe(dev, &m.connect);
		m.connect.resume = true;
		if (rc)
			return error_set(err, rc, "cannot read what its front end was told: %s",
			                 error_name(rc));
	}
	/* One that has ended already is heard of by its pidfd, which says more. */
	if (!wm_send(u->sock.fd, &m, 1, u->had_ring ? dev->claim : -1) || errno == ECONNRESET ||
	    errno == EPIPE)
		return 0;
	return error_set(err, -errno, "the new xenblkd-worker takes no message: %s",
	                 error_name(errno));
}

int upgrade_begin(struct device *dev, int prog_fd, uint64_t client, struct error *err)
{
	struct upgrade *u;
	int rc = 0;

	if (dev->upgrade)
		rc = error_set(err, -EBUSY, "it is being upgraded already");
	else if (!dev->worker.pid || dev->worker.adopting || dev->worker.killed ||
	         dev->image != IMAGE_OPEN ||
	         (dev->ring != RING_CONNECTED && dev->ring != RING_IDLE))
		rc = error_set(err, -EAGAIN, "it is on its way up or down; try again");
	u = rc ? NULL : calloc(1, sizeof *u);
	if (!u) {
		close(prog_fd);
		return rc ? rc : error_set(err, -ENOMEM, "out of memory");
	}
	*u = (struct upgrade){
	    .dev = dev,
	    .client = client,
	    .prog_fd = prog_fd,
	    .had_ring = dev->ring == RING_CONNECTED,
	    .old_pid = dev->worker.pid,
	    .timer = {.expired = expired},
	};
	dev->upgrade = u;
	rc = start_standby(u, err);
	upgrade_step(STEP_STARTED, dev->worker.pid, u->next.pid);
	if (!rc)
		rc = ask_standby(u, err);
	if (rc)
		upgrade_free(u);
	else
		loop_timer_arm(&dev->d->loop, &u->timer, CHECK_NS);
	return rc;
}

bool upgrade_take_over(struct device *dev)
{
	struct upgrade *u = dev->upgrade;
	char from[SOCKET_PATH_MAX], to[SOCKET_PATH_MAX];
	pid_t pid;

	if (!u || !u->checked || !u->next.pid)
		return false;
	snprintf(from, sizeof from, "%s/" NEXT_SOCK, dev->folder);
	snprintf(to, sizeof to, "%s/" WORKER_SOCK, dev->folder);
	pid = u->next.pid;
	/* The next supervisor looks for it there. Killed between the two, it finds one that does
	 * not listen, and ends it: it has no image yet. */
	if (record_set(dev, RECORD_WORKER, pid) || rename(from, to)) {
		standby_kill(u);
		return false;
	}
	record_set(dev, RECORD_NEXT, 0);
	upgrade_step(STEP_RENAMED, 0, pid);
	standby_unwatch(u);
	if (worker_line(dev, &u->next)) {
		worker_unspawn(dev->d, &u->next);
		return false;
	}
	u->next.pid = 0;
	return true;
}

void upgrade_drained(struct device *dev)
{
	struct upgrade *u = dev->upgrade;

	if (!u || !u->checked)
		return;
	upgrade_step(STEP_DRAINED, 0, u->next.pid);
	u->drained = true;
	/* Whether the image is opened again, the front end decides. */
	if (!u->had_ring)
		upgrade_settled(dev);
}
