/* SPDX-License-Identifier: MIT */
/* Sockets that are listened on. */
#include "xen/embedded/hv_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

int hv_spare_fd(void)
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
	hv->spare_fd = hv_spare_fd();
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
