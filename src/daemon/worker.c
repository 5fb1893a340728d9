/* SPDX-License-Identifier: MIT */
/* The line to a worker: starting it, messages both ways, and noticing its end. Nothing here waits.
 */
#include <errno.h>
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

#define MESSAGES_PER_ROUND 16    /* a worker that was taken over may never stop talking */
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
	if (m->type == WM_STOPPED) {
		snprintf(text, sizeof text, "%.*s", (int)sizeof m->text - 1, m->text);
		device_stopped(dev, text);
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

/* One message. False when there is none, or no more. */
static bool receive(struct device *dev)
{
	struct wm m;
	ssize_t n = recv(dev->worker.sock.fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == (ssize_t)sizeof m && m.version == WM_VERSION) {
		answer(dev, &m);
		return true;
	}
	if (n > 0)
		log_error("%s: worker sent %zd bytes that are no message", dev->id, n);
	sock_close(dev);
	/* It ends by itself, with a status that says why; or else it is made to. */
	if (!timer_armed(&dev->worker.kill))
		loop_timer_arm(&dev->d->loop, &dev->worker.kill, n > 0 ? 0 : HANGUP_NS);
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

	if (waitid(P_PIDFD, (id_t)lfd->fd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return;
	/* Its last words may explain it. */
	for (int i = 0; i < MESSAGES_PER_ROUND && dev->worker.sock.fd >= 0 && receive(dev); i++)
		;
	worker_abandon(dev);
	worker_ended(dev, info.si_code, info.si_status);
}

static void kill_expired(struct loop_timer *t)
{
	struct device *dev = container_of(t, struct device, worker.kill);

	/* Whether that counts as a death of its own is known already: see worker_quit. */
	if (dev->worker.pid)
		pidfd_send_signal(dev->worker.exit_fd.fd, SIGKILL, NULL, 0);
}

void worker_abandon(struct device *dev)
{
	struct worker *w = &dev->worker;

	sock_close(dev);
	if (w->pid) {
		loop_del(&dev->d->loop, &w->exit_fd);
		close(w->exit_fd.fd);
	}
	w->pid = 0;
	loop_timer_cancel(&w->kill);
	loop_timer_cancel(&w->backoff);
}

void worker_kill(struct device *dev)
{
	if (!dev->worker.pid)
		return;
	dev->worker.killed = true;
	pidfd_send_signal(dev->worker.exit_fd.fd, SIGKILL, NULL, 0);
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
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {m, sizeof *m};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	m->version = WM_VERSION;
	m->serial = ++dev->worker.last_serial;
	if (fd >= 0) {
		h.msg_control = control.buf;
		h.msg_controllen = sizeof control.buf;
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	if (dev->worker.sock.fd < 0 ||
	    sendmsg(dev->worker.sock.fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		log_warn("%s: worker takes no messages: %s", dev->id, error_name(errno));
		if (!timer_armed(&dev->worker.kill))
			loop_timer_arm(&dev->d->loop, &dev->worker.kill, HANGUP_NS);
	}
	return m->serial;
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

static pid_t spawn_for(struct device *dev, int listen_fd)
{
	char prog[PATH_MAX + 16], title[32], domid[8], devid[16];
	char *argv[16];
	int n = 0;

	snprintf(prog, sizeof prog, "%s/xenblkd-worker", dev->d->program_dir);
	if (access(prog, X_OK))
		return -errno;
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
	return spawn_worker(prog, argv, listen_fd);
}

/* Watches the process and connects to it; on failure it is killed and reaped. */
static int attach(struct device *dev, pid_t pid, const struct sockaddr_un *addr, struct error *err)
{
	struct worker *w = &dev->worker;
	int rc;

	w->exit_fd = (struct loop_fd){.fd = pidfd_open(pid, 0), .ready = exit_ready};
	w->sock = (struct loop_fd){
	    .fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    .ready = sock_ready};
	if (w->exit_fd.fd < 0 || w->sock.fd < 0 ||
	    connect(w->sock.fd, (const struct sockaddr *)addr, sizeof *addr)) {
		rc = -errno;
		goto out;
	}
	rc = loop_add(&dev->d->loop, &w->exit_fd, EPOLLIN);
	if (!rc)
		rc = loop_add(&dev->d->loop, &w->sock, EPOLLIN);
	if (!rc) {
		w->pid = pid;
		return 0;
	}
	loop_del(&dev->d->loop, &w->exit_fd);
out:
	if (w->exit_fd.fd >= 0)
		close(w->exit_fd.fd);
	if (w->sock.fd >= 0)
		close(w->sock.fd);
	w->sock.fd = -1;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return error_set(err, rc, "cannot reach the worker just started: %s", error_name(rc));
}

int worker_start(struct device *dev, struct error *err)
{
	struct sockaddr_un addr;
	char path[SOCKET_PATH_MAX];
	int fd, rc;

	if (dev->worker.pid)
		return 0;
	rc = folder_make(dev, err);
	if (rc)
		return rc;
	snprintf(path, sizeof path, "%s/worker.sock", dev->folder);
	fd = listener(path, &addr);
	if (fd < 0)
		return error_set(err, fd, "cannot make %s: %s", path, error_name(fd));
	pid_t pid = spawn_for(dev, fd);
	close(fd);
	if (pid < 0)
		return error_set(err, pid, "cannot start %s/xenblkd-worker: %s",
		                 dev->d->program_dir, error_name(pid));
	dev->worker.killed = false;
	dev->worker.kill.expired = kill_expired;
	return attach(dev, pid, &addr, err);
}
