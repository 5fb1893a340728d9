/* SPDX-License-Identifier: MIT */
/* The control socket: one line of JSON a request, one an answer. Clients may be slow, many, or mad:
 * nothing here waits for one, and each is held to a small request. */
#include <errno.h>
#include <fcntl.h>
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
#define ACCEPT_NS (100 * NS_PER_MS) /* until callers are taken again, after something ran short */
#define IDLE_NS NS_PER_S            /* then a client may have to make room for a caller */

/* Owned by the supervisor's thread. */
struct client {
	struct list link;
	struct loop_fd sock;
	struct daemon *d;
	uint64_t serial;
	uint64_t heard_ns; /* when it connected, or its last event came */
	bool waiting;      /* for control_answer; what it sends meanwhile stays where it is */
	char *in;
	size_t in_len;
	char *out; /* NULL: nothing waits to be sent */
	size_t out_len, out_at;
	bool last; /* no more requests: ends when out is sent */
};

/* One descriptor that is given up for a caller when there is no other. */
static void spare_keep(struct daemon *d)
{
	if (d->spare_fd < 0)
		d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void client_free(struct client *c)
{
	loop_del(&c->d->loop, &c->sock);
	close(c->sock.fd);
	spare_keep(c->d);
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
		bool later;
		if (c->out || c->waiting)
			return true;
		char *end = c->in_len ? memchr(c->in, '\n', c->in_len) : NULL;
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
		json_t *answer = command_run(c->d, c->serial, c->in, n, &later);
		if (later)
			c->waiting = true;
		else
			client_answer(c, answer);
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

static uint32_t client_events(const struct client *c)
{
	return c->out ? EPOLLOUT : c->waiting ? 0 : EPOLLIN;
}

static void client_ready(struct loop_fd *lfd, uint32_t events)
{
	struct client *c = container_of(lfd, struct client, sock);

	list_remove(&c->link);
	list_append(&c->d->clients, &c->link);
	c->heard_ns = clock_ns();
	/* Only one of both is asked for: who does not read answers is not read either. */
	if ((c->waiting && events & (EPOLLHUP | EPOLLERR)) ||
	    (!c->out && !c->waiting && !client_read(c)) || !client_work(c) ||
	    loop_mod(&c->d->loop, lfd, client_events(c)))
		client_free(c);
}

void control_answer(struct daemon *d, uint64_t client, json_t *answer)
{
	list_for_each(it, tmp, &d->clients)
	{
		struct client *c = container_of(it, struct client, link);
		if (c->serial != client || !c->waiting)
			continue;
		c->waiting = false;
		client_answer(c, answer);
		/* What follows from it is done in the loop: the caller may be anywhere. */
		if (loop_mod(&d->loop, &c->sock, EPOLLOUT))
			client_free(c);
		return;
	}
	json_decref(answer);
}

/* Whoever asks nothing does not shut the others out: the one that has been silent for longest goes,
 * if that was idle_ns at least. d->clients is in the order of their last words. */
static void drop_idle(struct daemon *d, uint64_t idle_ns, const char *why)
{
	unsigned dropped;

	list_for_each(it, tmp, &d->clients)
	{
		struct client *c = container_of(it, struct client, link);
		if (c->waiting)
			continue;
		if (clock_ns() - c->heard_ns < idle_ns)
			return;
		client_free(c);
		if (log_limit_pass(&d->limit, &dropped))
			log_warn("control socket: %u clients are connected, %s: the one that was "
			         "silent for longest is dropped",
			         d->nr_clients + 1, why);
		return;
	}
}

static struct client *client_new(struct daemon *d, int fd)
{
	struct client *c;

	if (d->nr_clients >= CLIENTS_MAX)
		drop_idle(d, 0, "no more are allowed");
	c = d->nr_clients < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct client){
	    .d = d,
	    .serial = ++d->last_client,
	    .heard_ns = clock_ns(),
	    .sock = {.fd = fd, .ready = client_ready},
	};
	list_append(&d->clients, &c->link);
	d->nr_clients++;
	if (!loop_add(&d->loop, &c->sock, EPOLLIN))
		return c;
	client_free(c);
	return NULL;
}

static void accept_again(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, accept_timer);

	spare_keep(d);
	if (loop_add(&d->loop, &d->control_fd, EPOLLIN))
		loop_timer_arm(&d->loop, t, ACCEPT_NS);
}

/* The caller stays in the queue. Without the pause this would be a spin. */
static void accept_later(struct daemon *d, int rc)
{
	unsigned dropped;

	if (log_limit_pass(&d->limit, &dropped))
		log_warn("control socket: %s; trying again; %s", error_name(rc), error_remedy(rc));
	loop_del(&d->loop, &d->control_fd);
	d->accept_timer.expired = accept_again;
	loop_timer_arm(&d->loop, &d->accept_timer, ACCEPT_NS);
}

/* When descriptors run short, one caller at a time is served by the one that is spare, as long as
 * it does not fall silent: whoever wants to know what is wrong can ask. */
static int accept_client(struct daemon *d)
{
	int fd = accept4(d->control_fd.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
		return fd;
	if (d->spare_fd < 0)
		drop_idle(d, IDLE_NS, error_name(errno));
	if (d->spare_fd >= 0) {
		close(d->spare_fd);
		d->spare_fd = -1;
	}
	return accept4(d->control_fd.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void accept_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, control_fd);
	int fd = accept_client(d);

	if (fd >= 0)
		client_new(d, fd);
	else if (errno != EAGAIN && errno != EINTR && error_is_transient(errno))
		accept_later(d, errno);
}

static int listener(const struct daemon *d, struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	unlink(addr->sun_path);
	/* Never open to others, not for a moment. */
	mode_t mask = umask(0177);
	rc = fd < 0 || bind(fd, (struct sockaddr *)addr, sizeof *addr) || listen(fd, 64) ? -errno
	                                                                                 : fd;
	umask(mask);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc;
}

int control_start(struct daemon *d, struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc = 0;

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", d->run_dir);
	/* Handed over by the program that we replaced, it is there already. */
	if (d->control_fd.fd < 0)
		rc = d->control_fd.fd = listener(d, &addr);
	d->control_fd.ready = accept_ready;
	spare_keep(d);
	if (rc >= 0)
		rc = loop_add(&d->loop, &d->control_fd, EPOLLIN);
	return rc ? error_set(err, rc, "cannot listen on %s: %s", addr.sun_path, error_name(rc))
	          : 0;
}

void control_each_fd(struct daemon *d, void (*fn)(int fd, void *arg), void *arg)
{
	list_for_each(it, tmp, &d->clients) fn(container_of(it, struct client, link)->sock.fd, arg);
}

/* As hexadecimal digits: it need not be text. */
static json_t *bytes_save(const char *bytes, size_t n)
{
	char *hex = malloc(2 * n + 1);
	json_t *j;

	if (!hex)
		return NULL;
	for (size_t i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)bytes[i]);
	hex[2 * n] = '\0';
	j = json_string(hex);
	free(hex);
	return j;
}

static bool bytes_restore(json_t *j, char **bytes, size_t *n)
{
	const char *hex = json_string_value(j);
	size_t len = hex ? strlen(hex) / 2 : 0;

	*bytes = NULL;
	*n = 0;
	if (!len)
		return true;
	*bytes = malloc(len);
	if (!*bytes)
		return false;
	for (*n = 0; *n < len; ++*n) {
		unsigned byte;
		if (sscanf(hex + 2 * *n, "%2x", &byte) != 1)
			return false;
		(*bytes)[*n] = (char)byte;
	}
	return true;
}

json_t *control_save(struct daemon *d, uint64_t asker)
{
	json_t *all = json_array();

	list_for_each(it, tmp, &d->clients)
	{
		struct client *c = container_of(it, struct client, link);
		json_array_append_new(all,
		                      json_pack("{s:i, s:b, s:b, s:o, s:o}", "fd", c->sock.fd,
		                                "last", c->last, "asker", c->serial == asker, "in",
		                                bytes_save(c->in, c->in_len), "out",
		                                bytes_save(c->out ? c->out + c->out_at : "",
		                                           c->out ? c->out_len - c->out_at : 0)));
	}
	return all;
}

uint64_t control_restore(struct daemon *d, json_t *all)
{
	uint64_t asker = 0;
	size_t i;
	json_t *one;

	json_array_foreach(all, i, one)
	{
		struct client *c =
		    client_new(d, (int)json_integer_value(json_object_get(one, "fd")));
		if (!c)
			continue;
		fcntl(c->sock.fd, F_SETFD, FD_CLOEXEC);
		c->last = json_is_true(json_object_get(one, "last"));
		c->waiting = json_is_true(json_object_get(one, "asker"));
		if (c->waiting)
			asker = c->serial;
		if (!bytes_restore(json_object_get(one, "in"), &c->in, &c->in_len) ||
		    !bytes_restore(json_object_get(one, "out"), &c->out, &c->out_len) ||
		    loop_mod(&d->loop, &c->sock, client_events(c)))
			client_free(c);
	}
	return asker;
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
	loop_timer_cancel(&d->accept_timer);
	if (d->spare_fd >= 0)
		close(d->spare_fd);
	d->spare_fd = -1;
	if (d->control_fd.fd < 0)
		return;
	loop_del(&d->loop, &d->control_fd);
	close(d->control_fd.fd);
	d->control_fd.fd = -1;
	snprintf(path, sizeof path, "%s/control.sock", d->run_dir);
	unlink(path);
}
