/* SPDX-License-Identifier: MIT */
/* The control socket: one line of JSON a request, one an answer. Clients may be slow, many, or mad:
 * nothing here waits for one, and each is held to a small request. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/command.h"
#include "daemon/device.h"

#define REQUEST_MAX 65536
#define CLIENTS_MAX 128
#define READ_CHUNK 4096

/* Owned by the supervisor's thread. */
struct client {
	struct list link;
	struct loop_fd sock;
	struct daemon *d;
	char *in;
	size_t in_len;
	char *out; /* NULL: nothing waits to be sent */
	size_t out_len, out_at;
	bool last; /* no more requests: ends when out is sent */
};

static void client_free(struct client *c)
{
	loop_del(&c->d->loop, &c->sock);
	close(c->sock.fd);
	list_remove(&c->link);
	c->d->nr_clients--;
	free(c->in);
	free(c->out);
	free(c);
}

static void client_answer(struct client *c, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);

	json_decref(answer);
	free(c->out);
	c->out = NULL;
	c->out_at = 0;
	c->out_len = text ? strlen(text) : 0;
	if (text)
		c->out = realloc(text, c->out_len + 1);
	if (!c->out) {
		free(text);
		c->last = true;
		return;
	}
	c->out[c->out_len++] = '\n';
}

/* False: the connection is useless. */
static bool client_send(struct client *c)
{
	while (c->out) {
		ssize_t n = send(c->sock.fd, c->out + c->out_at, c->out_len - c->out_at,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->out_at += (size_t)n;
		if (c->out_at < c->out_len)
			continue;
		free(c->out);
		c->out = NULL;
	}
	return true;
}

/* Answers the lines that are there, one at a time: the next one when the answer is sent. */
static bool client_work(struct client *c)
{
	while (client_send(c)) {
		char *end = memchr(c->in, '\n', c->in_len);
		if (c->out)
			return true;
		if (!end && c->last && c->in_len)
			end = c->in + c->in_len;
		if (!end) {
			if (c->in_len < REQUEST_MAX)
				return !c->last;
			client_answer(
			    c, command_error("request is longer than %d bytes", REQUEST_MAX));
			c->in_len = 0;
			c->last = true;
			continue;
		}
		size_t n = (size_t)(end - c->in), used = n < c->in_len ? n + 1 : n;
		client_answer(c, command_run(c->d, c->in, n));
		c->in_len -= used;
		memmove(c->in, c->in + used, c->in_len);
	}
	return false;
}

/* False: the connection is useless. */
static bool client_read(struct client *c)
{
	size_t room = REQUEST_MAX - c->in_len;
	char *in;

	if (room > READ_CHUNK)
		room = READ_CHUNK;
	in = realloc(c->in, c->in_len + room);
	if (!in)
		return false;
	c->in = in;
	ssize_t n = recv(c->sock.fd, c->in + c->in_len, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		c->last = true;
	c->in_len += (size_t)n;
	return true;
}

static void client_ready(struct loop_fd *lfd, uint32_t events)
{
	struct client *c = container_of(lfd, struct client, sock);

	/* Only one of both is asked for: who does not read answers is not read either. */
	if ((!c->out && !client_read(c)) || !client_work(c) ||
	    loop_mod(&c->d->loop, lfd, c->out ? EPOLLOUT : EPOLLIN))
		client_free(c);
}

static void accept_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, control_fd);
	int fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		log_error("control socket closed: out of file descriptors; raise the limit and "
		          "start xenblkd again");
		control_stop(d);
		return;
	}
	if (fd < 0)
		return;
	c = d->nr_clients < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct client){.d = d, .sock = {.fd = fd, .ready = client_ready}};
	list_append(&d->clients, &c->link);
	d->nr_clients++;
	if (loop_add(&d->loop, &c->sock, EPOLLIN))
		client_free(c);
}

int control_start(struct daemon *d, struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc = 0;

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", d->run_dir);
	unlink(addr.sun_path);
	d->control_fd = (struct loop_fd){
	    .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    .ready = accept_ready,
	};
	/* Never open to others, not for a moment. */
	mask = umask(0177);
	if (d->control_fd.fd < 0 || bind(d->control_fd.fd, (struct sockaddr *)&addr, sizeof addr) ||
	    listen(d->control_fd.fd, 64))
		rc = -errno;
	umask(mask);
	if (!rc)
		rc = loop_add(&d->loop, &d->control_fd, EPOLLIN);
	return rc ? error_set(err, rc, "cannot listen on %s: %s", addr.sun_path, error_name(rc))
	          : 0;
}

void control_stop(struct daemon *d)
{
	char path[RUN_DIR_MAX + 16];

	list_for_each(it, tmp, &d->clients)
	{
		struct client *c = container_of(it, struct client, link);
		/* One last try: the answer to `shutdown` may wait here. */
		client_send(c);
		client_free(c);
	}
	if (d->control_fd.fd < 0)
		return;
	loop_del(&d->loop, &d->control_fd);
	close(d->control_fd.fd);
	d->control_fd.fd = -1;
	snprintf(path, sizeof path, "%s/control.sock", d->run_dir);
	unlink(path);
}
