/* SPDX-License-Identifier: MIT */
/* The line to a worker: starting it, messages both ways, and noticing its end. Nothing here waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/logpipe.h"
#include "daemon/reap.h"
#include "daemon/steps.h"

#define MESSAGES_PER_ROUND 16 /* a worker that was taken over may never stop talking */
/* Some answers to what it is asked, and a notice now and then: so many a second, and at once. */
#define MESSAGES_RATE 20
#define MESSAGES_BURST 500
#define HANGUP_NS (1 * NS_PER_S) /* between the end of its socket and its own */

static void sock_close(struct device *dev)
{
	if (dev->worker.sock.fd < 0)
		return;
	loop_del(&dev->d->loop, &dev->worker.sock);
	close(dev->worker.sock.fd);
	dev->worker.sock.fd = -1;
}

static void answer(struct device *dev, const struct wm *m)
{
	char text[ERROR_TEXT_MAX];

	log_debug("%s: worker: message %u serial %u", dev->id, m->type, m->serial);
	if (m->type == WM_FORBIDDEN) {
		dev->worker.forbidden = m->rc;
		return;
	}
	if (m->type == WM_STATE) {
		adopt_answer(dev, m);
	} else if (dev->worker.adopting) {
		/* It is in the answer, too. */
		return;
	} else if (m->type == WM_STOPPED) {
		snprintf(text, sizeof text, "%.*s", (int)sizeof m->text - 1, m->text);
		device_stopped(dev, text);
	} else if (m->type == WM_TROUBLE) {
		trouble_answer(dev, m);
		return;
	} else if (m->type == WM_RESIZED || m->type == WM_WITHDRAWN) {
		change_answer(dev, m);
	} else if (m->serial == dev->worker.open_serial &&
	           (m->type == WM_OPENED || m->type == WM_FAILED)) {
		image_answer(dev, m);
	} else if (m->serial == dev->worker.ring_serial) {
		ring_answer(dev, m);
	}
	device_dirty(dev);
}

/* It ends by itself, with a status that says why; or else it is made to. */
static void hang_up(struct device *dev, uint64_t kill_after_ns)
{
	sock_close(dev);
	if (!timer_armed(&dev->worker.kill))
		loop_timer_arm(&dev->d->loop, &dev->worker.kill, kill_after_ns);
}

/* A program of another version stands where ours should. */
static void other_version(struct device *dev, const struct wm *m)
{
	if (dev->worker.adopting && m->type == WM_STATE) {
		adopt_other(dev, m);
		return;
	}
	image_wrong_program(dev, m->version);
	worker_kill(dev);
}

/* Whether one more message may be read. */
static bool may_talk(struct worker *w)
{
	uint64_t now = clock_ns();
	/* Thousandths: RATE times milliseconds. */
	uint64_t more = (now - w->budget_ns) / NS_PER_MS * MESSAGES_RATE;

	if (more) {
		w->budget += more > MESSAGES_BURST * 1000 ? MESSAGES_BURST * 1000 : (int64_t)more;
		w->budget_ns = now;
	}
	if (w->budget > MESSAGES_BURST * 1000)
		w->budget = MESSAGES_BURST * 1000;
	w->budget -= 1000;
	return w->budget >= 0;
}

/* As good as hung: it does nothing that anybody asked for. */
static void talks_too_much(struct device *dev)
{
	log_error("%s: the worker (process %d) sends more than %d messages a second; killed",
	          dev->id, dev->worker.pid, MESSAGES_RATE);
	sock_close(dev);
	worker_blame(dev, "it sent too many messages");
}

/* One message. False when there is none, or no more. */
static bool receive(struct device *dev)
{
	struct wm m;
	int fd = -1;
	/* Of one that serves a guest no descriptor is taken. */
	ssize_t n = wm_receive(dev->worker.sock.fd, &m, image_awaits_claim(dev) ? &fd : NULL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0 && !may_talk(&dev->worker)) {
		if (fd >= 0)
			close(fd);
		talks_too_much(dev);
		return false;
	}
	if (n >= WM_HEAD_BYTES && m.type == WM_CLAIMED) {
		/* Sent again to whoever asks what there is: not news for everybody. */
		if (m.version == WM_VERSION && image_awaits_claim(dev))
			image_claimed(dev, fd);
		else if (fd >= 0)
			close(fd);
		return true;
	}
	if (fd >= 0)
		close(fd);
	if (n >= WM_HEAD_BYTES && m.version != WM_VERSION) {
		other_version(dev, &m);
		return true;
	}
	if (n == (ssize_t)sizeof m) {
		answer(dev, &m);
		return true;
	}
	if (n > 0)
		log_error("%s: worker sent %zd bytes that are no message", dev->id, n);
	hang_up(dev, n > 0 ? 0 : HANGUP_NS);
	return false;
}

static void sock_ready(struct loop_fd *lfd, uint32_t events)
{
	struct device *dev = container_of(lfd, struct device, worker.sock);

	for (int i = 0; i < MESSAGES_PER_ROUND && dev->worker.sock.fd >= 0 && receive(dev); i++)
		;
}

static void exit_ready(struct loop_fd *lfd, uint32_t events)
{
	struct device *dev = container_of(lfd, struct device, worker.exit_fd);
	siginfo_t info = {0};

	/* One that an earlier supervisor started is no child of ours: si_code stays 0. */
	if (waitid(P_PIDFD, (id_t)lfd->fd, &info, WEXITED | WNOHANG) ? errno != ECHILD
	                                                             : !info.si_pid)
		return;
	/* Its last words may explain it. */
	for (int i = 0; i < MESSAGES_PER_ROUND && dev->worker.sock.fd >= 0 && receive(dev); i++)
		;
	dev->worker.was_adopting = dev->worker.adopting;
	logpipe_last_error(dev->worker.log, &dev->worker.last_words);
	worker_abandon(dev);
	worker_ended(dev, info.si_code, info.si_status);
}

static void kill_now(struct device *dev)
{
	pidfd_send_signal(dev->worker.exit_fd.fd, SIGKILL, NULL, 0);
	patience_killed(dev);
}

static void kill_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, worker.kill);

	if (!dev->worker.pid)
		return;
	if (dev->worker.adopting) {
		dev->worker.killed = true;
		log_warn("%s: the worker left by an earlier xenblkd (process %d) does not answer; "
		         "killed",
		         dev->id, dev->worker.pid);
	}
	/* Whether that counts as a death of its own is known already: see worker_quit. */
	kill_now(dev);
}

void worker_abandon(struct device *dev)
{
	struct worker *w = &dev->worker;

	sock_close(dev);
	size_forget(dev);
	trouble_forget(dev);
	patience_ended(dev);
	if (w->pid) {
		loop_del(&dev->d->loop, &w->exit_fd);
		close(w->exit_fd.fd);
	}
	logpipe_free(w->log);
	w->log = NULL;
	w->pid = 0;
	w->adopting = false;
	loop_timer_cancel(&w->kill);
}

void worker_kill(struct device *dev)
{
	if (!dev->worker.pid)
		return;
	dev->worker.killed = true;
	kill_now(dev);
}

void worker_blame(struct device *dev, const char *what)
{
	if (!dev->worker.pid)
		return;
	dev->worker.blamed = what;
	worker_kill(dev);
}

void worker_quit(struct device *dev, uint64_t kill_after_ns)
{
	struct wm m = {.type = WM_QUIT};

	if (!dev->worker.pid)
		return;
	worker_send(dev, &m, -1);
	dev->worker.killed = true;
	loop_timer_arm(&dev->d->loop, &dev->worker.kill, kill_after_ns);
}

uint32_t worker_send(struct device *dev, struct wm *m, int fd)
{
	uint32_t serial = ++dev->worker.last_serial;

	if (dev->worker.sock.fd < 0 || wm_send(dev->worker.sock.fd, m, serial, fd)) {
		log_warn("%s: worker takes no messages: %s", dev->id, error_name(errno));
		if (!timer_armed(&dev->worker.kill))
			loop_timer_arm(&dev->d->loop, &dev->worker.kill, HANGUP_NS);
	}
	return serial;
}

int worker_program(struct daemon *d, struct error *err)
{
	char path[PATH_MAX + 32];
	int fd, rc;

	snprintf(path, sizeof path, "%s/xenblkd-worker", d->program_dir);
	fd = access(path, X_OK) ? -1 : open(path, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	rc = -errno;
	return error_set(err, rc, "cannot start %s: %s; install xenblkd completely", path,
	                 error_name(rc));
}

/* The socket on which the worker will listen. */
static int listener(const char path[SOCKET_PATH_MAX], struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(addr->sun_path, path);
	unlink(path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)addr, sizeof *addr)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd < 0 ? -errno : fd;
}

static pid_t spawn_for(struct device *dev, int prog_fd, int log_fd, int listen_fd)
{
	char title[32], domid[8], devid[16];
	char *argv[16];
	int n = 0;

	snprintf(title, sizeof title, "xenblkd.%u.%s", dev->domid, dev->vdev);
	snprintf(domid, sizeof domid, "%u", dev->domid);
	snprintf(devid, sizeof devid, "%u", dev->devid);
	argv[n++] = title;
	argv[n++] = (char *)"--dir";
	argv[n++] = dev->folder;
	if (dev->d->opt.embedded) {
		argv[n++] = (char *)"--embedded";
		argv[n++] = dev->d->run_dir;
	}
	argv[n++] = (char *)"--domid";
	argv[n++] = domid;
	argv[n++] = (char *)"--devid";
	argv[n++] = devid;
	argv[n++] = (char *)"--name";
	argv[n++] = dev->id;
	if (dev->d->opt.verbose)
		argv[n++] = (char *)"--verbose";
	argv[n] = NULL;
	return spawn_worker(prog_fd, argv, log_fd, listen_fd, dev->d->net_fd);
}

int worker_line(struct device *dev, const struct spawned *s)
{
	struct worker *w = &dev->worker;
	int rc;

	w->exit_fd = (struct loop_fd){.fd = s->pidfd, .ready = exit_ready};
	w->sock = (struct loop_fd){.fd = s->sock, .ready = sock_ready};
	w->kill.expired = kill_expired;
	w->killed = w->pinged = false;
	w->blamed = NULL;
	w->start_ns = w->budget_ns = clock_ns();
	w->budget = MESSAGES_BURST * 1000;
	w->other = 0;
	w->used = false;
	w->forbidden = -1;
	w->why_other[0] = '\0';
	rc = loop_add(&dev->d->loop, &w->exit_fd, EPOLLIN);
	if (!rc && s->sock >= 0 && (rc = loop_add(&dev->d->loop, &w->sock, EPOLLIN)))
		loop_del(&dev->d->loop, &w->exit_fd);
	if (rc) {
		w->sock.fd = -1;
		return rc;
	}
	w->pid = s->pid;
	w->log = s->log;
	return 0;
}

void worker_unspawn(struct daemon *d, struct spawned *s)
{
	/* kill(-1) would mean everybody. */
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		reap(&d->loop, s->pid, s->pidfd);
	}
	if (s->sock >= 0)
		close(s->sock);
	logpipe_free(s->log);
	s->pid = 0;
}

/* Its number is noted before it has anything to do: from then on it is found whatever it does. */
static int connect_to(struct device *dev, enum record_line line, struct spawned *s,
                      const struct sockaddr_un *addr)
{
	int rc = record_set(dev, line, s->pid);

	if (rc)
		return rc;
	s->pidfd = pidfd_open(s->pid, 0);
	if (s->pidfd < 0)
		return -errno;
	s->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->sock < 0 || connect(s->sock, (const struct sockaddr *)addr, sizeof *addr))
		return -errno;
	return 0;
}

/* The process, with a log. */
static int start_process(struct device *dev, int prog_fd, int listen_fd, struct spawned *s)
{
	int log_fd, rc;

	s->log = logpipe_new(dev->d, dev->id, &log_fd);
	if (!s->log)
		return -errno;
	s->pid = spawn_for(dev, prog_fd, log_fd, listen_fd);
	close(log_fd);
	if (s->pid > 0)
		return 0;
	rc = s->pid;
	logpipe_free(s->log);
	return rc;
}

int worker_spawn(struct device *dev, int prog_fd, enum record_line line, struct spawned *out,
                 struct error *err)
{
	struct spawned s = {.pidfd = -1, .sock = -1};
	struct error last;
	struct sockaddr_un addr;
	char path[SOCKET_PATH_MAX];
	int rc, fd;

	rc = folder_make(dev, err);
	if (rc)
		return rc;
	snprintf(path, sizeof path, "%s/%s", dev->folder,
	         line == RECORD_NEXT ? NEXT_SOCK : WORKER_SOCK);
	fd = listener(path, &addr);
	if (fd < 0)
		return error_set(err, fd, "cannot make %s: %s", path, error_name(fd));
	rc = start_process(dev, prog_fd, fd, &s);
	close(fd);
	if (rc)
		return error_set(err, rc, "cannot start xenblkd-worker: %s", error_name(rc));
	if (line == RECORD_WORKER)
		upgrade_step(STEP_SPAWNED, 0, s.pid);
	rc = connect_to(dev, line, &s, &addr);
	if (rc == -ECONNREFUSED && line == RECORD_WORKER) {
		/* It has ended, or been killed: a death like any other, of which its pidfd tells.
		 */
		close(s.sock);
		s.sock = -1;
		rc = 0;
	}
	if (rc) {
		logpipe_last_error(s.log, &last);
		worker_unspawn(dev->d, &s);
		return rc == -ECONNREFUSED || rc == -ESRCH
		           ? error_set(err, rc, "the new xenblkd-worker ended at once: %s",
		                       last.text[0] ? last.text : "it gave no reason")
		           : error_set(err, rc, "cannot connect to the new xenblkd-worker: %s",
		                       error_name(rc));
	}
	*out = s;
	return 0;
}

int worker_start(struct device *dev, struct error *err)
{
	struct spawned s;
	int rc;

	if (dev->worker.pid || upgrade_take_over(dev))
		return 0;
	rc = worker_spawn(dev, dev->d->worker_fd, RECORD_WORKER, &s, err);
	if (rc)
		return rc;
	rc = worker_line(dev, &s);
	if (!rc)
		return 0;
	worker_unspawn(dev->d, &s);
	return error_set(err, rc, "cannot watch the worker: %s", error_name(rc));
}
