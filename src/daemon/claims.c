/* SPDX-License-Identifier: MIT */
/*
 * The claims of all disks, kept in a process of their own as well (holder/holder.h), so that they
 * last from attach to detach although we may die, stop or be replaced. Each of us has a copy, so
 * that the death of one loses nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/device.h"
#include "holder/holder.h"
#include "storage/parcel.h"

_Static_assert(DEVICE_ID_MAX <= HOLDER_NAME_MAX, "claims have the names of their disks");

#define ANSWER_S 2
#define FETCH_S 10 /* a holder that is given up at our start takes all claims with it */

/* What was held when we started, of disks that were not found yet. */
struct held {
	struct list link;
	char name[HOLDER_NAME_MAX];
	int fd; /* a parcel; < 0: could not be taken over, the holder is to let go of it */
};

/* A holder that was started by an earlier version may have the claim itself. */
static int in_parcel(int fd)
{
	struct parcel_label label;
	int parcel;

	if (parcel_read(fd, &label) != -ENOTSOCK)
		return fd;
	parcel = parcel_make(fd);
	close(fd);
	return parcel;
}

static void keep(struct daemon *d, const char *name, int fd)
{
	struct held *h = calloc(1, sizeof *h);

	if (fd >= 0)
		fd = in_parcel(fd);
	if (!h || fd < 0)
		log_error("%s: the claim of disk %s is let go of", error_name(h ? fd : -ENOMEM),
		          name);
	if (!h) {
		if (fd >= 0)
			close(fd);
		return;
	}
	snprintf(h->name, sizeof h->name, "%s", name);
	h->fd = fd;
	list_append(&d->held, &h->link);
}

/* What an earlier supervisor had. 0 or -errno. */
static int fetch(struct daemon *d, int sock)
{
	const struct timeval longer = {.tv_sec = FETCH_S}, usual = {.tv_sec = ANSWER_S};
	struct holder_message m;
	int fd, rc;

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &longer, sizeof longer);
	rc = holder_send(sock, HOLDER_LIST, "", -1, MSG_DONTWAIT);
	while (!rc) {
		rc = holder_receive(sock, &m, &fd, 0);
		if (rc == -EINTR) {
			rc = 0;
			continue;
		}
		if (rc <= 0)
			return rc ? rc : -ECONNRESET;
		rc = 0;
		if (m.op == HOLDER_ITEM)
			keep(d, m.name, fd < 0 ? -EMFILE : fd);
		else if (fd >= 0)
			close(fd);
		if (m.op == HOLDER_END) {
			setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &usual, sizeof usual);
			return 0;
		}
	}
	return rc;
}

static void address(const struct daemon *d, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof addr->sun_path, "%s/" HOLDER_SOCKET, d->run_dir);
}

/* One that is stopped, or waits for storage, is not waited for without end. */
static int connect_to(const struct daemon *d)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	address(d, &addr);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	}
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof addr))
		return fd < 0 ? -errno : fd;
	int rc = -errno;
	close(fd);
	return rc;
}

static int start_holder(struct daemon *d)
{
	char prog[PATH_MAX + 16];
	char *argv[] = {(char *)"xenblkd-holder", d->run_dir,
	                d->xen_pid ? (char *)"--with-process" : NULL, NULL};
	int pidfd = d->xen_pid ? pidfd_open(d->xen_pid, 0) : -1;
	struct sockaddr_un addr;
	int rc = 0, fd;

	address(d, &addr);
	unlink(addr.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) || (d->xen_pid && pidfd < 0))
		rc = -errno;
	snprintf(prog, sizeof prog, "%s/xenblkd-holder", d->program_dir);
	if (!rc)
		rc = spawn_holder(prog, argv, fd, pidfd);
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
	return rc < 0 ? rc : 0;
}

/* Ends the one at the other end: what it holds nobody could let go of any more. The kernel knows
 * it: it is the one that listens. */
static pid_t peer_of(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) ? 0 : peer.pid;
}

static void end_holder(int sock)
{
	pid_t pid = peer_of(sock);

	if (pid > 1 && pid != getpid())
		kill(pid, SIGKILL);
}

/* Waits while the line is full: a holder that was just started gets many at once. For a drop, until
 * it is closed there. 0 or -errno. */
static int say(struct daemon *d, uint32_t op, const char *name, int fd)
{
	int sock = d->holder_fd.fd, none = -1;
	int rc = sock < 0 ? -ENOTCONN : holder_send(sock, op, name, fd, 0);
	struct holder_message m;

	if (rc || op != HOLDER_DROP)
		return rc;
	do
		rc = holder_receive(sock, &m, &none, 0);
	while (rc == -EINTR);
	if (none >= 0)
		close(none);
	return rc < 0 ? rc : rc && m.op == HOLDER_END ? 0 : -ECONNRESET;
}

static void put_one(struct device *dev, void *arg)
{
	int *rc = arg;

	if (dev->claim >= 0 && !*rc)
		*rc = say(dev->d, HOLDER_PUT, dev->id, dev->claim);
}

static int line_open(struct daemon *d, bool fresh);

/* A holder; ours may be a child, of which nothing is left when it has ended and was waited for. */
struct process {
	struct list link; /* so that somebody knows of it */
	struct daemon *d;
	struct loop_fd exit_fd;
	pid_t pid;
};

static void process_ended(struct loop_fd *lfd, uint32_t events)
{
	struct process *p = container_of(lfd, struct process, exit_fd);

	/* An earlier supervisor's is no child. */
	waitpid(p->pid, NULL, WNOHANG);
	loop_del(&p->d->loop, lfd);
	close(lfd->fd);
	list_remove(&p->link);
	free(p);
}

/* Without it a zombie stays, and nothing else is wrong. */
static void watch_end(struct daemon *d, int sock)
{
	struct process *p = calloc(1, sizeof *p);
	pid_t pid = peer_of(sock);
	int fd = p && pid > 1 ? pidfd_open(pid, 0) : -1;

	if (fd < 0) {
		free(p);
		return;
	}
	*p = (struct process){.d = d, .pid = pid, .exit_fd = {.fd = fd, .ready = process_ended}};
	if (loop_add(&d->loop, &p->exit_fd, EPOLLIN)) {
		close(fd);
		free(p);
		return;
	}
	list_append(&d->holders, &p->link);
}

/* Another holder gets what we have. */
static void line_again(struct daemon *d)
{
	claims_stop(d);
	int rc = line_open(d, true);
	list_for_each(it, tmp, &d->held)
	{
		const struct held *h = container_of(it, struct held, link);
		if (!rc)
			rc = say(d, HOLDER_PUT, h->name, h->fd);
	}
	if (!rc)
		table_each(d, put_one, &rc);
	if (rc)
		log_error(
		    "xenblkd-holder cannot be started: %s; should xenblkd die now, others may "
		    "take the images of its disks",
		    error_name(rc));
}

/* It is gone: another one gets what we have. */
static void line_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, holder_fd);
	char byte;

	if (recv(lfd->fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	log_warn("xenblkd-holder has ended; it is started again");
	line_again(d);
}

/* fresh: whatever is there has nothing for us. */
static int line_open(struct daemon *d, bool fresh)
{
	int sock = fresh ? -ENOTCONN : connect_to(d), rc = sock < 0 ? sock : fetch(d, sock);

	if (rc) {
		if (sock >= 0) {
			log_warn("xenblkd-holder does not answer: %s; another one is started",
			         error_name(rc));
			end_holder(sock);
			close(sock);
		}
		rc = start_holder(d);
		sock = rc ? rc : connect_to(d);
		if (sock < 0)
			return sock;
	}
	d->holder_fd = (struct loop_fd){.fd = sock, .ready = line_ready};
	rc = loop_add(&d->loop, &d->holder_fd, EPOLLIN);
	if (!rc) {
		watch_end(d, sock);
	} else {
		close(sock);
		d->holder_fd.fd = -1;
	}
	return rc;
}

int claims_start(struct daemon *d, struct error *err)
{
	int rc = line_open(d, false);

	return rc ? error_set(err, rc,
	                      "cannot start %s/xenblkd-holder: %s; install xenblkd completely",
	                      d->program_dir, error_name(rc))
	          : 0;
}

void claims_stop(struct daemon *d)
{
	if (d->holder_fd.fd < 0)
		return;
	loop_del(&d->loop, &d->holder_fd);
	close(d->holder_fd.fd);
	d->holder_fd.fd = -1;
	/* It holds nothing, and ends. Its name must go before the lock of the run directory. */
	if (!d->nr_devices && list_empty(&d->held))
		unlinkat(d->run_fd, HOLDER_SOCKET, 0);
}

static void tell(struct daemon *d, uint32_t op, const char *name, int fd)
{
	int rc = say(d, op, name, fd);

	if (!rc)
		return;
	log_warn("xenblkd-holder does not hear of disk %s: %s; another one is started", name,
	         error_name(rc));
	/* Unless it has ended: one that lives on would hold what nobody could reach. */
	if (d->holder_fd.fd >= 0 && rc != -EPIPE && rc != -ECONNRESET)
		end_holder(d->holder_fd.fd);
	line_again(d);
}

void claims_put(struct device *dev)
{
	if (dev->claim >= 0)
		tell(dev->d, HOLDER_PUT, dev->id, dev->claim);
}

void claims_drop(struct daemon *d, const char *id)
{
	tell(d, HOLDER_DROP, id, -1);
}

int claims_find(struct daemon *d, const char *id)
{
	list_for_each(it, tmp, &d->held)
	{
		struct held *h = container_of(it, struct held, link);
		if (strcmp(h->name, id))
			continue;
		int fd = h->fd;
		list_remove(&h->link);
		free(h);
		if (fd < 0)
			claims_drop(d, id);
		return fd < 0 ? -1 : fd;
	}
	return -1;
}

void claims_settle(struct daemon *d)
{
	list_for_each(it, tmp, &d->held)
	{
		struct held *h = container_of(it, struct held, link);
		list_remove(&h->link);
		if (h->fd >= 0)
			close(h->fd);
		claims_drop(d, h->name);
		free(h);
	}
}
