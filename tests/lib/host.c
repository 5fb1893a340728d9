/* SPDX-License-Identifier: MIT */
/* The host of the integration tests: starting, stopping, and what is asked of the daemon. */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "scratch.h"
#include "needs.h"

static void pause_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* Without it no worker serves, so no test of a host has anything to look at. */
__attribute__((constructor)) static void need_io_uring(void)
{
	program_needs(lacks_io_uring());
}

/* The test is somewhere below the directory of the programs. */
static void find_build(struct host *h)
{
	ssize_t n = readlink("/proc/self/exe", h->build, sizeof h->build - 1);
	char path[300], *slash;

	assert_true(n > 0);
	h->build[n] = 0;
	do {
		slash = strrchr(h->build, '/');
		assert_true(slash && slash > h->build);
		*slash = 0;
		snprintf(path, sizeof path, "%s/xenblkd", h->build);
	} while (access(path, X_OK));
}

/* The log, or a part of it: what `filter FILE` prints. */
static bool log_show(const struct host *h, const char *filter)
{
	char command[300];

	snprintf(command, sizeof command, "%s '%s' | sed 's/^/# log: /' >&2", filter, h->log);
	return !system(command);
}

int host_umask = -1;

void host_daemon_start(struct host *h, const char *const *extra)
{
	char program[sizeof h->programs + 16], ready[64] = "";
	const char *argv[16] = {"xenblkd", "--embedded", h->dir};
	int out[2], argc = 3;

	while (extra && *extra && argc < 15)
		argv[argc++] = *extra++;
	snprintf(program, sizeof program, "%s/xenblkd", h->programs);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	h->daemon = fork();
	assert_true(h->daemon >= 0);
	if (!h->daemon) {
		int log = open(h->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		fchmod(log, 0600); /* whatever umask the test has set */
		dup2(out[1], STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		if (host_umask >= 0)
			umask((mode_t)host_umask);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	/* It prints "ready" once it serves; until then the pipe is empty. */
	ssize_t n = read(out[0], ready, sizeof ready - 1);
	close(out[0]);
	if (n < 6 || !strstr(ready, "ready")) {
		log_show(h, "tail -n 20");
		fail_msg("xenblkd did not become ready; its log is above");
	}
}

void host_daemon_kill(struct host *h, int sig)
{
	int status;

	if (!h->daemon)
		return;
	kill(h->daemon, sig);
	assert_int_equal(waitpid(h->daemon, &status, 0), h->daemon);
	h->daemon = 0;
}

pid_t host_holder(const struct host *h)
{
	char path[300], text[300], want[300];
	int len = snprintf(want, sizeof want, "xenblkd-holder%c%s", 0, h->dir) + 1;
	DIR *proc = opendir("/proc");
	pid_t pid = 0;

	for (struct dirent *e; !pid && (e = readdir(proc));) {
		snprintf(path, sizeof path, "/proc/%.20s/cmdline", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
		if (fd >= 0)
			close(fd);
		if (n >= len && !memcmp(text, want, (size_t)len))
			pid = atoi(e->d_name);
	}
	closedir(proc);
	return pid;
}

void host_holder_stop(struct host *h)
{
	pid_t pid = host_holder(h);

	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
}

void host_holder_kill(struct host *h)
{
	pid_t pid = host_holder(h);

	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (host_holder(h) == pid)
		usleep(1000);
}

static void copy_program(const struct host *h, const char *from, const char *to)
{
	char command[sizeof h->build + sizeof h->programs + 100];

	snprintf(command, sizeof command, "cp -p '%s/%s' '%s/%s'", h->build, from, h->programs, to);
	assert_int_equal(system(command), 0);
}

void host_start(struct host *h, const char *const *extra)
{
	host_start_with(h, NULL, extra);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* SIGKILL to every process whose command line names our directory. */
static void kill_leftovers(const struct host *h)
{
	char command[200];

	assert_int_equal(h->dir[0], '/'); /* an empty name is in every command line */
	snprintf(command, sizeof command, "pkill -KILL -f -- '%.63s( |$|/)' >/dev/null 2>&1",
	         h->dir);
	if (system(command) == -1)
		return;
}

static void remove_files(const struct host *h)
{
	char programs[96];

	nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(h->images, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	unlink(h->log);
	/* What host_start_with made; by no other name, which may be the build's. */
	snprintf(programs, sizeof programs, "%s.bin", h->dir);
	nftw(programs, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Hosts that run: a case that fails or skips leaves by a long jump, past its host_stop. */
static struct host running[16];
static pid_t runner;

static void end_running(void)
{
	for (size_t i = 0; getpid() == runner && i < sizeof running / sizeof *running; i++)
		if (running[i].dir[0]) {
			kill_leftovers(&running[i]);
			remove_files(&running[i]);
		}
}

static void note_running(const struct host *h)
{
	size_t i = 0;

	if (!runner)
		atexit(end_running);
	runner = getpid();
	while (i < sizeof running / sizeof *running - 1 && running[i].dir[0])
		i++;
	running[i] = *h;
}

static void forget_running(const struct host *h)
{
	for (size_t i = 0; i < sizeof running / sizeof *running; i++)
		if (!strcmp(running[i].dir, h->dir))
			running[i].dir[0] = '\0';
}

void host_start_with(struct host *h, const char *worker, const char *const *extra)
{
	struct error err = {""};

	memset(h, 0, sizeof *h);
	find_build(h);
	assert_non_null(mkdtemp(scratch_path(h->dir, sizeof h->dir, "xb-XXXXXX")));
	assert_int_equal(chmod(h->dir, 0700), 0); /* whatever umask the test has set */
	snprintf(h->images, sizeof h->images, "%s%s", scratch_disk_dir(), strrchr(h->dir, '/'));
	memcpy(h->programs, h->build, sizeof h->programs);
	if (worker) {
		snprintf(h->programs, sizeof h->programs, "%s.bin", h->dir);
		assert_int_equal(mkdir(h->programs, 0700), 0);
		copy_program(h, "xenblkd", "xenblkd");
		copy_program(h, "xenblkd-xen", "xenblkd-xen");
		copy_program(h, "xenblkd-holder", "xenblkd-holder");
		copy_program(h, worker, "xenblkd-worker");
	}
	snprintf(h->log, sizeof h->log, "%s.log", h->dir);
	note_running(h);
	host_daemon_start(h, extra);
	if (xen_platform_open(h->dir, 0, &h->xen, &err) ||
	    store_open(xen_platform_store_path(h->xen), &h->store, &err))
		fail_msg("%s", err.text);
}

void host_stop(struct host *h)
{
	store_close(h->store);
	xen_platform_close(h->xen);
	host_daemon_kill(h, SIGTERM);
	kill_leftovers(h);
	bool bad = host_log_has(h, "runtime error:") || host_log_has(h, "Sanitizer");
	if ((bad || getenv("HOST_KEEP_LOG")) && !log_show(h, "cat"))
		bad = true;
	remove_files(h);
	forget_running(h);
	assert_false(bad);
}

int host_setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, NULL);
	*state = h;
	return 0;
}

int host_teardown(void **state)
{
	struct host *h = *state;

	host_stop(h);
	free(h);
	return 0;
}

/* ---- daemon ---- */

static int control_connect(struct host *h)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/control.sock", h->dir);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa))
		fail_msg("cannot reach the daemon at %s: %s", sa.sun_path, strerror(errno));
	return fd;
}

json_t *host_control(struct host *h, const char *cmd, const char *id)
{
	char line[256];
	size_t cap = 1 << 22, n = 0;
	char *text = malloc(cap);
	int fd = control_connect(h);
	int len = id ? snprintf(line, sizeof line, "{\"cmd\":\"%s\",\"id\":\"%s\"}\n", cmd, id)
	             : snprintf(line, sizeof line, "{\"cmd\":\"%s\"}\n", cmd);

	assert_int_equal(write(fd, line, (size_t)len), len);
	while (n < cap && !memchr(text, '\n', n)) {
		ssize_t got = read(fd, text + n, cap - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	close(fd);
	json_t *answer = json_loadb(text, n, 0, NULL);
	free(text);
	assert_non_null(answer);
	return answer;
}

json_t *host_status(struct host *h, const char *id)
{
	json_t *answer = host_control(h, "status", id);
	json_t *result = NULL;

	if (json_is_true(json_object_get(answer, "ok"))) {
		result = json_object_get(answer, "result");
		assert_true(json_is_object(result));
		json_incref(result);
	}
	json_decref(answer);
	return result;
}

void host_wait_error(struct host *h, const char *id, const char *text)
{
	char last[600] = "(none)";

	for (int i = 0; i < WAIT_MS / 2; i++) {
		json_t *s = host_status(h, id);
		const char *e = s ? json_string_value(json_object_get(s, "error")) : NULL;
		bool hit = e && strstr(e, text);
		if (e)
			snprintf(last, sizeof last, "%s", e);
		json_decref(s);
		if (hit)
			return;
		pause_ms(2);
	}
	fail_msg("no error '%s' on %s; last: %s", text, id, last);
}

void host_wait_gone(struct host *h, const char *id)
{
	for (int i = 0; i < WAIT_MS / 2; i++) {
		json_t *s = host_status(h, id);
		json_decref(s);
		if (!s)
			return;
		pause_ms(2);
	}
	fail_msg("%s is still there", id);
}

/* A number of the statistics, or of an object among them. */
static uint64_t stat_of(struct host *h, const char *id, const char *object, const char *counter)
{
	json_t *answer = host_control(h, "stats", id);
	json_t *disk = json_array_get(json_object_get(answer, "result"), 0);
	json_t *value = json_object_get(object ? json_object_get(disk, object) : disk, counter);

	if (!json_is_integer(value))
		fail_msg("no counter %s of %s", counter, id);
	uint64_t v = (uint64_t)json_integer_value(value);
	json_decref(answer);
	return v;
}

uint64_t host_stat(struct host *h, const char *id, const char *counter)
{
	return stat_of(h, id, NULL, counter);
}

uint64_t host_refused(struct host *h, const char *id, const char *reason)
{
	return stat_of(h, id, "refused", reason);
}

pid_t host_worker(struct host *h, const char *id)
{
	json_t *s = host_status(h, id);
	pid_t pid = s ? (pid_t)json_integer_value(json_object_get(s, "worker_pid")) : 0;

	json_decref(s);
	return pid;
}

unsigned host_log_count(struct host *h, const char *text)
{
	FILE *f = fopen(h->log, "r");
	char line[2048];
	unsigned n = 0;

	while (f && fgets(line, sizeof line, f))
		n += strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return n;
}

bool host_log_has(struct host *h, const char *text)
{
	return host_log_count(h, text) > 0;
}
