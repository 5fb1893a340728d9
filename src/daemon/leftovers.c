/* SPDX-License-Identifier: MIT */
/*
 * What an earlier supervisor left: workers that serve on without one, and folders. The workers are
 * asked to end, which drains their rings; new ones go on where they were. Journals are kept.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
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
#include "daemon/device.h"

_Static_assert(SOCKET_PATH_MAX <= sizeof((struct sockaddr_un *)0)->sun_path,
               "RUN_DIR_MAX is too big");

#define QUIT_NS (5 * NS_PER_S)
#define KILLED_NS (2 * NS_PER_S)

struct leftover {
	char name[DEVICE_ID_MAX];
	int sock, pidfd;
};

static void each_folder(struct daemon *d, void (*fn)(struct daemon *d, const char *name, void *arg),
                        void *arg)
{
	char path[RUN_DIR_MAX + 8];

	snprintf(path, sizeof path, "%s/disks", d->run_dir);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.' && strlen(e->d_name) < DEVICE_ID_MAX)
			fn(d, e->d_name, arg);
	closedir(dir);
}

/* A connection to the worker in that folder, or -errno: nobody listens. */
static int reach(const char path[SOCKET_PATH_MAX])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

struct found {
	struct leftover *list;
	unsigned n;
};

static void ask_to_end(struct daemon *d, const char *name, void *arg)
{
	struct wm m = {.version = WM_VERSION, .type = WM_QUIT, .serial = 1};
	struct found *found = arg;
	struct ucred cred = {0};
	socklen_t len = sizeof cred;
	char path[SOCKET_PATH_MAX];

	snprintf(path, sizeof path, "%s/disks/%s/worker.sock", d->run_dir, name);
	int fd = reach(path);
	if (fd < 0) {
		/* Nobody can listen on it again. */
		unlink(path);
		return;
	}
	struct leftover *list = realloc(found->list, (found->n + 1) * sizeof *list);
	if (!list || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.pid <= 0) {
		log_error("disk %s: cannot find the worker that serves it", name);
		found->list = list ?: found->list;
		close(fd);
		return;
	}
	found->list = list;
	list[found->n] = (struct leftover){.sock = fd, .pidfd = pidfd_open(cred.pid, 0)};
	snprintf(list[found->n].name, sizeof list[found->n].name, "%s", name);
	if (send(fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("disk %s: worker takes no message: %s", name, error_name(errno));
	found->n++;
	unlink(path);
}

/* Until the process has ended or the deadline is there. */
static bool ended(const struct leftover *l, uint64_t deadline)
{
	struct pollfd p = {.fd = l->pidfd, .events = POLLIN};
	uint64_t now = clock_ns();
	int ms = now >= deadline ? 0 : (int)((deadline - now) / NS_PER_MS) + 1;

	/* No descriptor: it had ended before we looked. */
	return l->pidfd < 0 || poll(&p, 1, ms) > 0;
}

void leftovers_end_workers(struct daemon *d)
{
	struct found found = {0};
	uint64_t deadline = clock_ns() + QUIT_NS;

	each_folder(d, ask_to_end, &found);
	for (unsigned i = 0; i < found.n; i++) {
		struct leftover *l = &found.list[i];
		if (!ended(l, deadline)) {
			log_warn(
			    "disk %s: the worker left by an earlier xenblkd does not end; killed",
			    l->name);
			pidfd_send_signal(l->pidfd, SIGKILL, NULL, 0);
			if (!ended(l, clock_ns() + KILLED_NS))
				log_error("disk %s: the worker does not even die; its disk will "
				          "wait for it",
				          l->name);
		}
		close(l->sock);
		if (l->pidfd >= 0)
			close(l->pidfd);
	}
	if (found.n)
		log_info("took over %u disk%s of an earlier xenblkd", found.n,
		         found.n > 1 ? "s" : "");
	free(found.list);
}

static void remove_unknown(struct daemon *d, const char *name, void *arg)
{
	char domid[8], folder[FOLDER_MAX];
	const char *colon = strchr(name, ':');
	uint32_t dom, devid;

	if (!colon || colon - name >= (int)sizeof domid)
		return;
	snprintf(domid, sizeof domid, "%.*s", (int)(colon - name), name);
	if (parse_u32(domid, 0, XEN_DOMID_MAX, &dom) || vdev_parse(colon + 1, &devid) ||
	    table_find(d, (uint16_t)dom, devid))
		return;
	snprintf(folder, sizeof folder, "%s/disks/%s", d->run_dir, name);
	folder_remove(folder);
}

void leftovers_remove_folders(struct daemon *d)
{
	each_folder(d, remove_unknown, NULL);
}
