/* SPDX-License-Identifier: MIT */
/*
 * What an earlier supervisor left of devices that are no more: workers that serve on without one,
 * and folders. The workers are told to end; the folder goes when its worker has.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/at.h"
#include "daemon/device.h"

_Static_assert(SOCKET_PATH_MAX <= sizeof((struct sockaddr_un *)0)->sun_path,
               "RUN_DIR_MAX is too big");

#define QUIT_NS (5 * NS_PER_S)

/* Owned by the supervisor's thread. */
struct leftover {
	struct list link;
	struct loop_fd exit_fd; /* pidfd */
	struct loop_timer kill;
	struct daemon *d;
	int sock;                 /* -1: it does not listen */
	char name[DEVICE_ID_MAX]; /* of the folder */
};

/* A connection to the process that listens there, and which one that is; or -errno: nobody does. */
static int reach(const char *path, pid_t *pid, int *pidfd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ucred cred = {0};
	socklen_t len = sizeof cred;
	int rc, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		/* EAGAIN is no shortage of ours here: it accepts nobody, and many have called. */
		rc = errno == EAGAIN ? -ECONNREFUSED : -errno;
		close(fd);
		return rc;
	}
	/* Who called listen on it: the worker itself, see spawn.c. As long as it listens, the
	 * number is still its own; if it ended just now, then the socket says so. */
	*pid = cred.pid;
	rc = -ECONNREFUSED;
	*pidfd = cred.pid > 0 ? pidfd_open(cred.pid, 0) : -1;
	if (*pidfd < 0 && error_is_transient(errno)) {
		rc = -errno;
	} else if (*pidfd >= 0) {
		ssize_t n = recv(fd, &cred, sizeof cred, MSG_PEEK | MSG_DONTWAIT);
		if (n > 0 || (n < 0 && errno == EAGAIN))
			return fd;
	}
	if (*pidfd >= 0)
		close(*pidfd);
	close(fd);
	return rc;
}

/* One that waits to replace the worker, which nobody will let it do any more. It has no image. */
static int end_standby(const struct daemon *d, const char *name, pid_t worker)
{
	int pidfd;
	pid_t pid = record_find(d, name, RECORD_NEXT, &pidfd);

	if (pid <= 0)
		return pid;
	/* It has replaced it, and the supervisor died just then. */
	if (pid != worker)
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	close(pidfd);
	return 0;
}

/* Whether that is the worker, which *sock leads to. */
static void same_process(const char *name, pid_t pid, pid_t listens, int its_pidfd, int *sock)
{
	if (pid != listens) {
		log_error("%s: process %d listens, its worker is %d: both are killed", name,
		          listens, pid);
		pidfd_send_signal(its_pidfd, SIGKILL, NULL, 0);
		close(*sock);
		*sock = -1;
	}
	close(its_pidfd);
}

pid_t leftovers_find(const struct daemon *d, const char *name, int *pidfd, int *sock)
{
	char path[SOCKET_PATH_MAX];
	pid_t pid, listens = 0;
	int its_pidfd = -1, rc;

	pid = record_find(d, name, RECORD_WORKER, pidfd);
	if (pid < 0)
		return pid;
	rc = end_standby(d, name, pid);
	snprintf(path, sizeof path, "%s/" DISKS_NAME "/%s/" WORKER_SOCK, d->run_dir, name);
	*sock = rc ? -1 : reach(path, &listens, &its_pidfd);
	if (!rc && *sock < 0)
		rc = *sock;
	if (error_is_transient(rc)) {
		if (pid)
			close(*pidfd);
		return rc;
	}
	if (rc) {
		/* Anything else: whether there is one, nobody knows. The image's lock does. */
		if (!pid && rc != -ENOENT && rc != -ECONNREFUSED)
			log_error("%s: cannot ask whether an earlier xenblkd's worker is there: %s",
			          name, error_name(rc));
		*sock = -1;
	} else if (!pid) {
		/* The supervisor died before it had recorded that. */
		*pidfd = its_pidfd;
		pid = listens;
	} else {
		same_process(name, pid, listens, its_pidfd, sock);
	}
	return pid;
}

/* The folder's device; NULL if that is not there, or the name is none of ours (*ours false). */
static struct device *device_of(struct daemon *d, const char *name, bool *ours)
{
	char domid[8];
	const char *colon = strchr(name, ':');
	uint32_t dom, devid;

	*ours = false;
	if (!colon || colon - name >= (int)sizeof domid)
		return NULL;
	snprintf(domid, sizeof domid, "%.*s", (int)(colon - name), name);
	if (parse_u32(domid, 0, XEN_DOMID_MAX, &dom) || vdev_parse(colon + 1, &devid))
		return NULL;
	*ours = true;
	return table_find(d, (uint16_t)dom, devid);
}

static void leftover_free(struct leftover *l)
{
	loop_timer_cancel(&l->kill);
	loop_del(&l->d->loop, &l->exit_fd);
	close(l->exit_fd.fd);
	if (l->sock >= 0)
		close(l->sock);
	list_remove(&l->link);
	free(l);
}

static void remove_folder(struct daemon *d, const char *name)
{
	bool ours;

	/* The device may have come back meanwhile. */
	if (device_of(d, name, &ours) || !ours)
		return;
	folder_remove(d, name);
}

static void ended(struct loop_fd *lfd, uint32_t events)
{
	struct leftover *l = container_of(lfd, struct leftover, exit_fd);
	struct daemon *d = l->d;
	char name[DEVICE_ID_MAX];

	memcpy(name, l->name, sizeof name);
	log_info("disk %s is gone: its worker has ended", name);
	leftover_free(l);
	remove_folder(d, name);
}

static void kill_expired(struct loop_timer *t)
{
	struct leftover *l = container_of(t, struct leftover, kill);

	log_warn("disk %s is gone, but its worker does not end; killed", l->name);
	pidfd_send_signal(l->exit_fd.fd, SIGKILL, NULL, 0);
}

/* False: there is none. */
static bool end_worker(struct daemon *d, const char *name)
{
	struct wm m = {.version = WM_VERSION, .type = WM_QUIT, .serial = 1};
	struct leftover *l;
	int sock, pidfd;
	pid_t pid;

	pid = leftovers_find(d, name, &pidfd, &sock);
	if (!pid)
		return false;
	if (pid < 0) {
		log_error("disk %s is gone, but its worker cannot be ended: %s; xenblkd tries "
		          "again when it is started again",
		          name, error_name(pid));
		return true;
	}
	l = calloc(1, sizeof *l);
	if (!l) {
		log_error("disk %s is gone, but its worker cannot be ended: out of memory", name);
		if (sock >= 0)
			close(sock);
		close(pidfd);
		return true;
	}
	l->d = d;
	l->sock = sock;
	snprintf(l->name, sizeof l->name, "%s", name);
	l->exit_fd = (struct loop_fd){.fd = pidfd, .ready = ended};
	l->kill.expired = kill_expired;
	list_append(&d->leftovers, &l->link);
	loop_timer_arm(
	    &d->loop, &l->kill,
	    sock < 0 || send(sock, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? 0 : QUIT_NS);
	if (loop_add(&d->loop, &l->exit_fd, EPOLLIN)) {
		kill_expired(&l->kill);
		leftover_free(l);
	}
	return true;
}

static void end_leftovers(struct daemon *d)
{
	int fd = at_disks(d);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool ours;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.' && strlen(e->d_name) < DEVICE_ID_MAX &&
		    !device_of(d, e->d_name, &ours) && ours && !end_worker(d, e->d_name))
			remove_folder(d, e->d_name);
	closedir(dir);
}

void leftovers_start(struct daemon *d)
{
	/* A disk that cannot be read just now is none that went. */
	d->leftovers_due = timer_armed(&d->rescan);
	if (d->leftovers_due)
		return;
	end_leftovers(d);
	claims_settle(d);
}

void leftovers_stop(struct daemon *d)
{
	list_for_each(it, tmp, &d->leftovers)
	    leftover_free(container_of(it, struct leftover, link));
}
