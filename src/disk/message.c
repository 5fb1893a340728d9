/* SPDX-License-Identifier: MIT */
/* Messages with a descriptor. Compiled into each program, for a test builds programs that speak
 * another version. */
#include "disk/message.h"

#include <string.h>
#include <sys/socket.h>

union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int wm_send(int sock, struct wm *m, uint32_t serial, int fd)
{
	union control control = {0};
	struct iovec iov = {m, sizeof *m};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	m->version = WM_VERSION;
	m->serial = serial;
	if (fd >= 0) {
		h.msg_control = control.buf;
		h.msg_controllen = sizeof control.buf;
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

ssize_t wm_receive(int sock, struct wm *m, int *fd)
{
	union control control;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof *m};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd) {
		*fd = -1;
		h.msg_control = &control;
		h.msg_controllen = sizeof control;
	}
	ssize_t n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_TRUNC);
	struct cmsghdr *c = n >= 0 && fd ? CMSG_FIRSTHDR(&h) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return n;
}
