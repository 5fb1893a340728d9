/* SPDX-License-Identifier: MIT */
/* Both ends' messages. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "holder/holder.h"

union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int holder_send(int sock, uint32_t op, const char *name, int fd, int flags)
{
	struct holder_message m = {.op = op};
	union control control = {0};
	struct iovec iov = {&m, sizeof m};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	snprintf(m.name, sizeof m.name, "%s", name);
	if (fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(sock, &h, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int holder_receive(int sock, struct holder_message *m, int *fd, int flags)
{
	union control control;
	struct iovec iov = {m, sizeof *m};
	struct msghdr h = {.msg_iov = &iov,
	                   .msg_iovlen = 1,
	                   .msg_control = &control,
	                   .msg_controllen = sizeof control};

	*fd = -1;
	ssize_t n = recvmsg(sock, &h, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	struct cmsghdr *c = n ? CMSG_FIRSTHDR(&h) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (!n)
		return 0;
	if (n != sizeof *m)
		m->op = 0;
	m->name[sizeof m->name - 1] = '\0';
	return 1;
}
