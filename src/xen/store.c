/* SPDX-License-Identifier: MIT */
/* Typed xenstore access over libxenstore. */
#include "xen/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "xen/drain.h"

/* Owned by the thread that opened it. (libxenstore's own reader thread is its affair.) */
struct store {
	struct xs_handle *xs;
	int alive; /* an idle connection of our own; its hang-up says that xenstored is gone */
	int fd;    /* epoll of libxenstore's watch pipe and `alive` */
	uint64_t calls;
	_Atomic uint64_t asked_ns; /* when the call began that goes on now; 0: none does */
	struct drain *drain;       /* takes the watch events; or NULL */
};

/* libxenstore takes the socket's path from the environment alone, which is one per process. */
static pthread_mutex_t environment_lock = PTHREAD_MUTEX_INITIALIZER;

const char *xenbus_state_name(int state)
{
	switch (state) {
	case XS_INITIALISING:
		return "Initialising";
	case XS_INITWAIT:
		return "InitWait";
	case XS_INITIALISED:
		return "Initialised";
	case XS_CONNECTED:
		return "Connected";
	case XS_CLOSING:
		return "Closing";
	case XS_CLOSED:
		return "Closed";
	case XS_RECONFIGURING:
		return "Reconfiguring";
	case XS_RECONFIGURED:
		return "Reconfigured";
	}
	return "Unknown";
}

/* After a failed call of libxenstore. */
static int failed(void)
{
	/* EBADF: its reader thread has closed the socket because xenstored went away. */
	if (errno == EBADF || errno == EPIPE)
		return -ENOTCONN;
	return errno ? -errno : -EIO;
}

static int join(char *path, const char *dir, const char *name)
{
	size_t len = strlen(dir);
	const char *slash = len && dir[len - 1] == '/' ? "" : "/";
	int n = name ? snprintf(path, STORE_PATH_MAX, "%s%s%s", dir, slash, name)
	             : snprintf(path, STORE_PATH_MAX, "%s", dir);

	return n < 0 || n >= STORE_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Each call of libxenstore that asks xenstored: counted, and its beginning noted for the thread
 * that says that xenstored does not answer. */
#define ASK(s, call)                        \
	({                                  \
		__typeof__(call) answer_;   \
		(s)->calls++;               \
		(s)->asked_ns = clock_ns(); \
		answer_ = (call);           \
		(s)->asked_ns = 0;          \
		answer_;                    \
	})

uint64_t store_calls(const struct store *s)
{
	return s->calls;
}

/* ---- connection ---- */

static struct xs_handle *open_at(const char *socket_path)
{
	static const char var[] = "XENSTORED_PATH";
	struct xs_handle *xs = NULL;
	char *old = NULL;
	int saved;

	pthread_mutex_lock(&environment_lock);
	if (socket_path) {
		const char *now = getenv(var);
		if (now && !(old = strdup(now)))
			goto out;
		if (setenv(var, socket_path, 1))
			goto out;
	}
	errno = 0;
	/* No XS_UNWATCH_FILTER: 4.17 leaks each event that it drops, and a guest can make many. */
	xs = xs_open(0);
	saved = errno;
	if (socket_path) {
		if (old)
			setenv(var, old, 1);
		else
			unsetenv(var);
	}
	errno = saved;
out:
	free(old);
	pthread_mutex_unlock(&environment_lock);
	return xs;
}

/* libxenstore's descriptor stays silent when xenstored dies, so an idle connection listens for it.
 */
static int open_alive(const char *socket_path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(socket_path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int open_fd(struct store *s)
{
	int watches = xs_fileno(s->xs);
	struct epoll_event ev = {.events = EPOLLIN};

	if (watches < 0)
		return failed();
	if (fcntl(watches, F_SETFD, FD_CLOEXEC))
		return -errno;
	s->fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->fd < 0 || epoll_ctl(s->fd, EPOLL_CTL_ADD, watches, &ev))
		return -errno;
	ev.events = EPOLLRDHUP;
	if (s->alive >= 0 && epoll_ctl(s->fd, EPOLL_CTL_ADD, s->alive, &ev))
		return -errno;
	return 0;
}

static int open_store(const char *socket_path, struct store *s)
{
	struct stat st;

	if (socket_path && stat(socket_path, &st))
		return -errno;
	/* libxenstore would take any file for a xenbus device and write into it. */
	if (socket_path && !S_ISSOCK(st.st_mode) && !S_ISCHR(st.st_mode))
		return -ENOTSOCK;
	s->xs = open_at(socket_path);
	if (!s->xs)
		return errno ? -errno : -ECONNREFUSED;
	if (socket_path && S_ISSOCK(st.st_mode)) {
		s->alive = open_alive(socket_path);
		if (s->alive < 0)
			return s->alive;
	} else if (!socket_path) {
		/* What libxenstore tries first. Where nobody listens there, it took the kernel's
		 * device, behind which xenstored is in another domain. */
		s->alive = open_alive(xs_daemon_socket());
	}
	return open_fd(s);
}

int store_open(const char *socket_path, struct store **out, struct error *err)
{
	struct store *s = calloc(1, sizeof *s);
	int rc = -ENOMEM;

	*out = NULL;
	if (!s)
		goto out;
	s->alive = s->fd = -1;
	rc = open_store(socket_path, s);
out:
	if (rc) {
		store_close(s);
		return error_set(
		    err, rc,
		    "cannot connect to xenstore at %s: %s; is xenstored (or xenblkd-xen) "
		    "running there?",
		    socket_path ? socket_path : "its default path", error_name(rc));
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	drain_stop(s->drain);
	if (s->fd >= 0)
		close(s->fd);
	if (s->alive >= 0)
		close(s->alive);
	if (s->xs)
		xs_close(s->xs);
	free(s);
}

/* ---- reading ---- */

int store_read(struct store *s, xs_transaction_t t, const char *dir, const char *name, char *buf,
               size_t cap)
{
	char path[STORE_PATH_MAX];
	unsigned len = 0;
	char *value;
	int rc = join(path, dir, name);

	if (rc)
		return rc;
	value = ASK(s, xs_read(s->xs, t, path, &len));
	if (!value)
		return failed();
	if (memchr(value, '\0', len))
		rc = -EINVAL;
	else if (len >= cap)
		rc = -EMSGSIZE;
	else {
		memcpy(buf, value, len);
		buf[len] = '\0';
		rc = (int)len;
	}
	free(value);
	return rc;
}

int store_read_u64(struct store *s, xs_transaction_t t, const char *dir, const char *name,
                   uint64_t min, uint64_t max, uint64_t *out)
{
	char text[STORE_VALUE_MAX];
	int rc = store_read(s, t, dir, name, text, sizeof text);

	return rc < 0 ? rc : parse_u64(text, min, max, out);
}

bool store_unread(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -EACCES:
	/* There is something. */
	case -EINVAL:
	case -ERANGE:
	case -EMSGSIZE:
	/* There cannot be anything. */
	case -ENAMETOOLONG:
		return false;
	}
	return rc < 0;
}

int store_read_state(struct store *s, xs_transaction_t t, const char *dir)
{
	uint64_t state;

	if (store_read_u64(s, t, dir, "state", XS_INITIALISING, XS_RECONFIGURED, &state))
		return XS_UNKNOWN;
	return (int)state;
}

bool store_exists(struct store *s, xs_transaction_t t, const char *dir, const char *name)
{
	char path[STORE_PATH_MAX];
	unsigned len;
	char *value;

	if (join(path, dir, name))
		return false;
	value = ASK(s, xs_read(s->xs, t, path, &len));
	free(value);
	return value != NULL;
}

/* Copies what libxenstore returned, with a NULL behind the last name. */
static char **terminated(char *const *names, unsigned n)
{
	size_t bytes = (n + 1) * sizeof(char *);
	char **copy;
	char *at;

	for (unsigned i = 0; i < n; i++)
		bytes += strlen(names[i]) + 1;
	copy = malloc(bytes);
	if (!copy)
		return NULL;
	at = (char *)(copy + n + 1);
	for (unsigned i = 0; i < n; i++) {
		copy[i] = at;
		at = stpcpy(at, names[i]) + 1;
	}
	copy[n] = NULL;
	return copy;
}

int store_list(struct store *s, xs_transaction_t t, const char *path, char ***out, unsigned *n)
{
	char **names;

	*out = NULL;
	*n = 0;
	names = ASK(s, xs_directory(s->xs, t, path, n));
	if (!names) {
		*n = 0;
		return failed();
	}
	*out = terminated(names, *n);
	free(names);
	if (!*out) {
		*n = 0;
		return -ENOMEM;
	}
	return 0;
}

/* ---- writing ---- */

int store_write(struct store *s, xs_transaction_t t, const char *dir, const char *name,
                const char *fmt, ...)
{
	char path[STORE_PATH_MAX], value[STORE_VALUE_MAX];
	va_list ap;
	int n, rc = join(path, dir, name);

	if (rc)
		return rc;
	va_start(ap, fmt);
	n = vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof value)
		return -EMSGSIZE;
	return ASK(s, xs_write(s->xs, t, path, value, (unsigned)n)) ? 0 : failed();
}

int store_mkdir(struct store *s, xs_transaction_t t, const char *path)
{
	return ASK(s, xs_mkdir(s->xs, t, path)) ? 0 : failed();
}

int store_rm(struct store *s, xs_transaction_t t, const char *dir, const char *name)
{
	char path[STORE_PATH_MAX];
	int rc = join(path, dir, name);

	if (rc || ASK(s, xs_rm(s->xs, t, path)))
		return rc;
	rc = failed();
	return rc == -ENOENT ? 0 : rc;
}

int store_set_perms(struct store *s, xs_transaction_t t, const char *path, unsigned owner,
                    int reader)
{
	struct xs_permissions perms[2] = {
	    {.id = owner, .perms = XS_PERM_NONE},
	    {.id = reader < 0 ? 0 : (unsigned)reader, .perms = XS_PERM_READ},
	};

	return ASK(s, xs_set_permissions(s->xs, t, path, perms, reader < 0 ? 1 : 2)) ? 0 : failed();
}

/* ---- transactions ---- */

int store_begin(struct store *s, xs_transaction_t *t)
{
	*t = ASK(s, xs_transaction_start(s->xs));
	return *t != XBT_NULL ? 0 : failed();
}

int store_end(struct store *s, xs_transaction_t t, bool commit)
{
	return ASK(s, xs_transaction_end(s->xs, t, !commit)) ? 0 : failed();
}

/* What state_cas does inside its transaction: 0 if there is something to commit. */
static int write_state_over(struct store *s, xs_transaction_t t, const char *dir, int from, int to)
{
	char text[STORE_VALUE_MAX];
	uint64_t state = XS_UNKNOWN;
	int rc = store_read(s, t, dir, "state", text, sizeof text);

	if (rc >= 0)
		rc = parse_u64(text, XS_INITIALISING, XS_RECONFIGURED, &state);
	/* Whatever is no state is XS_UNKNOWN, as in store_read_state; only absence is different. */
	if (rc < 0 && rc != -EINVAL && rc != -ERANGE && rc != -EMSGSIZE)
		return rc;
	if ((int)state != from)
		return -ESTALE;
	return store_write(s, t, dir, "state", "%d", to);
}

int store_state_cas(struct store *s, const char *dir, int from, int to)
{
	for (int i = 0; i < STORE_TRIES; i++) {
		xs_transaction_t t;
		int rc = store_begin(s, &t);

		if (rc)
			return rc;
		rc = write_state_over(s, t, dir, from, to);
		if (rc) {
			store_end(s, t, false);
			return rc;
		}
		rc = store_end(s, t, true);
		if (rc != -EAGAIN)
			return rc;
	}
	return -EAGAIN;
}

/* ---- watches ---- */

int store_watch(struct store *s, const char *path, const char *token)
{
	return ASK(s, xs_watch(s->xs, path, token)) ? 0 : failed();
}

int store_unwatch(struct store *s, const char *path, const char *token)
{
	return ASK(s, xs_unwatch(s->xs, path, token)) ? 0 : failed();
}

int store_fd(struct store *s)
{
	return s->fd;
}

int store_drain(struct store *s)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int rc = s->drain ? 0 : drain_start(s->xs, &s->asked_ns, &s->drain);

	if (rc)
		return rc;
	epoll_ctl(s->fd, EPOLL_CTL_DEL, xs_fileno(s->xs), NULL);
	return epoll_ctl(s->fd, EPOLL_CTL_ADD, drain_fd(s->drain), &ev) ? -errno : 0;
}

/* Of the thread's events; that is not told when xenstored goes. */
static int check_drain(struct store *s, char *path, size_t path_cap, char *token, size_t token_cap)
{
	struct pollfd p = {.fd = s->alive, .events = POLLRDHUP};
	int rc = drain_take(s->drain, path, path_cap, token, token_cap);

	if (!rc && s->alive >= 0 && poll(&p, 1, 0) > 0)
		return -ENOTCONN;
	return rc;
}

int store_check_watch(struct store *s, char *path, size_t path_cap, char *token, size_t token_cap)
{
	char **event;

	if (s->drain)
		return check_drain(s, path, path_cap, token, token_cap);
	event = xs_check_watch(s->xs);
	if (!event) {
		if (errno == EAGAIN)
			return 0;
		return errno == EINVAL ? -ENOTCONN : failed(); /* EINVAL: its socket is closed */
	}
	snprintf(path, path_cap, "%s", event[XS_WATCH_PATH]);
	snprintf(token, token_cap, "%s", event[XS_WATCH_TOKEN]);
	free(event);
	return 1;
}
