/* SPDX-License-Identifier: MIT */
/* The control socket's client: connects, sends one line, reads one line, all within one time limit.
 */
#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define ANSWER_MAX (64u << 20) /* a list of all disks of a host stays far below */

static int connect_failed(const char *run_dir, int rc, struct error *err)
{
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		return error_set(err, rc,
		                 "no xenblkd is running in %s: " CONTROL_SOCKET
		                 ": %s; start it with `xenblkd` (without a hypervisor: `xenblkd "
		                 "--embedded DIR`), or name its directory with --run-dir DIR",
		                 run_dir, error_name(rc));
	case -EACCES:
	case -EPERM:
		return error_set(err, rc,
		                 "cannot talk to xenblkd in %s: %s; run this as the user who runs "
		                 "xenblkd",
		                 run_dir, error_name(rc));
	}
	return error_set(err, rc, "cannot talk to xenblkd in %s: %s; %s", run_dir, error_name(rc),
	                 error_is_transient(rc) ? error_remedy(rc) : "start it again");
}

static int control_connect(const char *run_dir, struct error *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int n = snprintf(sa.sun_path, sizeof sa.sun_path, "%s/" CONTROL_SOCKET, run_dir);
	int fd, rc;

	if (n < 0 || (size_t)n >= sizeof sa.sun_path)
		return error_set(
		    err, -ENAMETOOLONG,
		    "the run directory's name is too long for a socket: %s; use one of "
		    "at most %zu characters",
		    run_dir, sizeof sa.sun_path - sizeof "/" CONTROL_SOCKET);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot make a socket: %s", error_name(errno));
	if (!connect(fd, (struct sockaddr *)&sa, sizeof sa))
		return fd;
	rc = -errno;
	close(fd);
	return connect_failed(run_dir, rc, err);
}

/* Waits for the socket. 0, -ETIMEDOUT, or -errno, -EINTR included. */
static int await(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now = clock_ns();
	int n;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static int send_line(int fd, const char *line, size_t len, uint64_t deadline_ns)
{
	while (len) {
		int rc = await(fd, POLLOUT, deadline_ns);
		ssize_t n = rc ? 0 : send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (rc)
			return rc;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			line += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Reads up to the newline (or the end). *out is the caller's to free. */
static int read_line(int fd, char **out, uint64_t deadline_ns)
{
	size_t len = 0, cap = 0;
	char *buf = NULL;
	int rc;

	for (;;) {
		if (cap - len < 4096) {
			char *more = cap < ANSWER_MAX ? realloc(buf, cap ? cap * 2 : 16384) : NULL;
			rc = more ? 0 : -ENOMEM;
			if (rc)
				goto out;
			buf = more;
			cap = cap ? cap * 2 : 16384;
		}
		rc = await(fd, POLLIN, deadline_ns);
		if (rc)
			goto out;
		ssize_t n = recv(fd, buf + len, cap - len - 1, 0);
		rc = n < 0 ? -errno : n ? 0 : -ECONNRESET;
		if (rc)
			goto out;
		char *end = memchr(buf + len, '\n', (size_t)n);
		len += (size_t)n;
		if (end) {
			*end = '\0';
			break;
		}
	}
out:
	if (rc) {
		free(buf);
		buf = NULL;
	}
	*out = buf;
	return rc;
}

/* Takes the answer apart. */
static int understand(const char *line, json_t **result, struct error *err)
{
	json_t *answer = json_loads(line, 0, NULL);
	json_t *ok = json_object_get(answer, "ok");
	const char *text = json_string_value(json_object_get(answer, "error"));
	int rc;

	if (json_is_true(ok)) {
		*result = json_incref(json_object_get(answer, "result"));
		if (!*result)
			*result = json_null();
		rc = 0;
	} else if (json_is_false(ok) && text) {
		rc = error_set(err, -EREMOTEIO, "%s", text);
	} else {
		rc = error_set(
		    err, -EPROTO,
		    "xenblkd's answer makes no sense: %.60s; are xenblkd and xenblkctl of "
		    "the same version?",
		    line);
	}
	json_decref(answer);
	return rc;
}

bool control_unheard(int rc)
{
	static const int unheard[] = {-ENOENT, -ECONNREFUSED, -ECONNRESET,
	                              -EPIPE,  -EAGAIN,       -ETIMEDOUT};

	for (size_t i = 0; i < sizeof unheard / sizeof *unheard; i++)
		if (rc == unheard[i])
			return true;
	return false;
}

int control_request(const char *run_dir, const char *cmd, const char *id, int timeout_ms,
                    json_t **result, struct error *err)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	json_t *request = json_pack("{s:s, s:s*}", "cmd", cmd, "id", id);
	char *line = NULL, *answer = NULL;
	int rc, fd = -1;

	*result = NULL;
	line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	if (!line) {
		rc = error_set(err, -EINVAL, "`%s` cannot be sent to xenblkd: it is not UTF-8",
		               id ? id : cmd);
		goto out;
	}
	fd = control_connect(run_dir, err);
	if (fd < 0) {
		rc = fd;
		goto out;
	}
	rc = send_line(fd, line, strlen(line), deadline_ns);
	if (!rc)
		rc = send_line(fd, "\n", 1, deadline_ns);
	if (!rc)
		rc = read_line(fd, &answer, deadline_ns);
	rc = rc ? error_set(err, rc,
	                    "xenblkd in %s does not answer `%s`: %s; is it stopped, or does "
	                    "the machine have too much to do?",
	                    run_dir, cmd, error_name(rc))
	        : understand(answer, result, err);
out:
	if (fd >= 0)
		close(fd);
	free(answer);
	free(line);
	json_decref(request);
	return rc;
}
