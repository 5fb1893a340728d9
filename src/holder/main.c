/* SPDX-License-Identifier: MIT */
/*
 * See holder.h. Started by xenblkd with its listening socket as descriptor 3; with --with-process
 * and, as descriptor 4, a pidfd, it ends with that process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "holder/holder.h"

enum { LISTENER = 3, PROCESS = 4 };

struct claim {
	struct list link;
	char name[HOLDER_NAME_MAX];
	int fd;
};

static struct list claims;

static void drop(const char *name)
{
	list_for_each(it, tmp, &claims)
	{
		struct claim *c = container_of(it, struct claim, link);
		if (strcmp(c->name, name))
			continue;
		list_remove(&c->link);
		close(c->fd);
		free(c);
	}
}

static void put(const char *name, int fd)
{
	struct claim *c = malloc(sizeof *c);

	if (!c || fd < 0) {
		free(c);
		if (fd >= 0)
			close(fd);
		return;
	}
	drop(name);
	snprintf(c->name, sizeof c->name, "%s", name);
	c->fd = fd;
	list_append(&claims, &c->link);
}

/* Does not wait for a supervisor that does not read: it is about to go. */
static int list(int sock)
{
	int rc = 0;

	list_for_each(it, tmp, &claims)
	{
		const struct claim *c = container_of(it, struct claim, link);
		if (!rc)
			rc = holder_send(sock, HOLDER_ITEM, c->name, c->fd, 0);
	}
	return rc ? rc : holder_send(sock, HOLDER_END, "", -1, 0);
}

/* False: the line is over. */
static bool serve(int sock)
{
	struct holder_message m;
	int fd, rc = holder_receive(sock, &m, &fd, MSG_DONTWAIT);

	if (rc == -EINTR)
		return true;
	if (rc <= 0)
		return false;
	switch (m.op) {
	case HOLDER_PUT:
		put(m.name, fd);
		return true;
	case HOLDER_DROP:
		drop(m.name);
		rc = holder_send(sock, HOLDER_END, "", -1, 0);
		break;
	case HOLDER_LIST:
		rc = list(sock);
		break;
	}
	if (fd >= 0)
		close(fd);
	return rc >= 0;
}

static void setup(void)
{
	struct rlimit files;

	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, "xenblkd-holder");
	/* It says nothing, and outlives the reader of its starter's output. */
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* Where the kernel allows it: for want of memory, claims should be the last thing to go. */
	FILE *f = fopen("/proc/self/oom_score_adj", "we");
	if (f) {
		fputs("-1000", f);
		fclose(f);
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	list_init(&claims);
}

/* The socket, by which supervisors find the holder. */
struct name {
	char path[200];
	struct stat st;
};

/* A descriptor that tells when something in the run directory is removed, or -1. */
static int name_watch(struct name *n, const char *dir)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	snprintf(n->path, sizeof n->path, "%s/" HOLDER_SOCKET, dir);
	if (stat(n->path, &n->st) || fd < 0 ||
	    inotify_add_watch(fd, dir, IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Without the socket's name, no process can fetch the claims that it holds. */
static bool name_is_lost(const struct name *n)
{
	struct stat now;

	return stat(n->path, &now) || now.st_ino != n->st.st_ino || now.st_dev != n->st.st_dev;
}

static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof events) > 0)
		;
}

int main(int argc, char **argv)
{
	struct timeval patience = {.tv_sec = 5};
	bool with_process = argc > 2 && !strcmp(argv[2], "--with-process");
	struct pollfd p[] = {
	    {.fd = LISTENER, .events = POLLIN},
	    {.fd = -1, .events = POLLIN},
	    {.fd = with_process ? PROCESS : -1, .events = POLLIN},
	    {.fd = -1, .events = POLLIN},
	};
	struct name name = {""};
	int listening = 0;
	socklen_t len = sizeof listening;

	if (getsockopt(LISTENER, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening) {
		fprintf(stderr, "usage: xenblkd-holder RUN-DIR [--with-process]   (started by "
		                "xenblkd)\n");
		return 2;
	}
	setup();
	if (argc > 1)
		p[3].fd = name_watch(&name, argv[1]);
	while (poll(p, 4, -1) >= 0 || errno == EINTR) {
		if (p[2].revents)
			return 0;
		if (p[1].revents && !serve(p[1].fd)) {
			close(p[1].fd);
			p[1].fd = -1;
		}
		/* The newest supervisor counts: the lock of the run directory lets only one be. */
		if (p[0].revents & POLLIN) {
			int fd = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
			/* What the one before said last, perhaps when it was killed. */
			while (fd >= 0 && p[1].fd >= 0 && serve(p[1].fd))
				;
			if (fd >= 0 && p[1].fd >= 0)
				close(p[1].fd);
			if (fd >= 0)
				p[1].fd = fd;
			else
				usleep(10000); /* out of descriptors: no spin */
			setsockopt(p[1].fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
			p[1].revents = 0;
		}
		if (p[3].revents)
			drain(p[3].fd);
		if (p[1].fd < 0 && !(p[0].revents & POLLIN) &&
		    (list_empty(&claims) || (p[3].fd >= 0 && name_is_lost(&name))))
			return 0;
	}
	return 1;
}
