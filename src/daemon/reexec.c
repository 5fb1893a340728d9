/* SPDX-License-Identifier: MIT */
/*
 * The supervisor becomes the program that is installed now. That is run once before, to say whether
 * it could; then exec: the process, its children, the lock of the run directory and the control
 * socket with all its clients stay, and the workers are adopted as after a death. What goes across
 * is described by a line of JSON in a memory file, whose number stands in the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/command.h"
#include "daemon/device.h"
#include "daemon/logpipe.h"
#include "daemon/reap.h"
#include "daemon/reexec.h"
#include "daemon/steps.h"

#define CHECK_NS (5 * NS_PER_S)
#define REAP_NS (5 * NS_PER_S)
#define STATE_MAX (16u << 20)
#define VARIABLE "XENBLKD_HANDOVER"

extern char **environ;

/* Owned by the supervisor's thread; there is only one. */
static struct reexec {
	struct daemon *d;
	uint64_t client; /* who asked; 0: nobody waits */
	pid_t check;     /* the new program, asked whether it could; 0: none */
	bool killed;     /* it was, and has not ended yet; whoever asked has an answer */
	struct loop_fd exit_fd;
	int out; /* what it says */
	struct loop_timer timer, reap;
	json_t *state; /* handed over to us; NULL: started afresh */
} r;

static void check_end(void)
{
	loop_timer_cancel(&r.timer);
	loop_del(&r.d->loop, &r.exit_fd);
	close(r.exit_fd.fd);
	close(r.out);
	r.check = 0;
}

static void refuse(const char *why)
{
	struct error err;

	error_set(&err, 0, "xenblkd stays what it is: %s", why);
	log_warn("upgrade: %s", err.text);
	control_answer(r.d, r.client, command_error("%s", err.text));
	r.client = 0;
}

static void keep_fd(int fd, bool keep)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static void keep_client(int fd, void *keep)
{
	keep_fd(fd, *(bool *)keep);
}

static void keep_all(struct daemon *d, int memory, bool keep)
{
	keep_fd(d->lock_fd, keep);
	keep_fd(d->control_fd.fd, keep);
	keep_fd(memory, keep);
	control_each_fd(d, keep_client, &keep);
}

static int state_write(struct daemon *d)
{
	json_t *state =
	    json_pack("{s:i, s:i, s:i, s:o}", "version", REEXEC_VERSION, "lock", d->lock_fd,
	              "control", d->control_fd.fd, "clients", control_save(d, r.client));
	int fd = memfd_create("xenblkd-handover", MFD_CLOEXEC), rc = 0;

	if (fd < 0)
		rc = -errno;
	else if (!state || json_dumpfd(state, fd, JSON_COMPACT))
		rc = -ENOMEM;
	json_decref(state);
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static void flush_log(struct device *dev, void *arg)
{
	logpipe_flush(dev->worker.log);
}

static void become(struct daemon *d)
{
	char number[16];
	struct error err;
	int fd;

	if (d->stopping) {
		refuse("it is stopping");
		return;
	}
	fd = state_write(d);

	if (fd < 0) {
		error_set(&err, 0, "cannot note its state: %s", error_name(fd));
		refuse(err.text);
		return;
	}
	log_info("upgrade: going on as %s", d->program);
	systemd_tell("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_ns() / 1000);
	snprintf(number, sizeof number, "%d", fd);
	setenv(VARIABLE, number, 1);
	keep_all(d, fd, true);
	/* Until each worker has a new pipe, its lines are lost. */
	table_each(d, flush_log, NULL);
	upgrade_step(STEP_EXEC, 0, 0);
	execv(d->program, d->argv);
	int rc = -errno;
	keep_all(d, fd, false);
	unsetenv(VARIABLE);
	close(fd);
	systemd_tell("READY=1");
	error_set(&err, 0, "cannot run %s: %s", d->program, error_name(rc));
	refuse(err.text);
}

static void check_ended(struct loop_fd *lfd, uint32_t events)
{
	char said[ERROR_TEXT_MAX] = "";
	struct error err;
	int status = 0;

	if (waitpid(r.check, &status, WNOHANG) != r.check)
		return;
	ssize_t n = read(r.out, said, sizeof said - 1);
	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	check_end();
	if (r.killed) {
		r.killed = false;
		return;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		become(r.d);
		return;
	}
	error_set(&err, 0, "%s: %s", r.d->program, said[0] ? said : "it ends at once");
	refuse(err.text);
}

static void check_expired(struct loop_timer *t)
{
	/* In D state it stays: its end is not waited for, but another check is. */
	pidfd_send_signal(r.exit_fd.fd, SIGKILL, NULL, 0);
	r.killed = true;
	refuse("the new program does not answer");
}

static void count_upgrade(struct device *dev, void *arg)
{
	*(bool *)arg |= dev->upgrade != NULL;
}

/* Runs the new program with our options and --check-upgrade. pid or -errno. */
static pid_t check_spawn(struct daemon *d, int out)
{
	char version[16];
	char *argv[68];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int n = 0;

	snprintf(version, sizeof version, "%d", REEXEC_VERSION);
	argv[n++] = d->argv[0];
	argv[n++] = (char *)"--check-upgrade";
	argv[n++] = version;
	for (int i = 1; d->argv[i]; i++) {
		if (n == sizeof argv / sizeof *argv - 1)
			return -E2BIG;
		argv[n++] = d->argv[i];
	}
	argv[n] = NULL;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int rc = posix_spawn(&pid, d->program, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc ? -rc : pid;
}

bool reexec_pending(void)
{
	return r.check != 0;
}

int reexec_begin(struct daemon *d, uint64_t client, struct error *err)
{
	bool busy = false;
	int out[2], rc;

	table_each(d, count_upgrade, &busy);
	if (busy || r.client)
		return error_set(err, -EBUSY, "an upgrade is under way; try again when it is done");
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK))
		return error_set(err, -errno, "cannot make a pipe: %s", error_name(errno));
	r.d = d;
	r.out = out[0];
	r.check = check_spawn(d, out[1]);
	close(out[1]);
	if (r.check < 0) {
		rc = r.check;
		r.check = 0;
		close(r.out);
		return error_set(err, rc, "xenblkd stays what it is: cannot run %s: %s", d->program,
		                 error_name(rc));
	}
	r.exit_fd = (struct loop_fd){.fd = pidfd_open(r.check, 0), .ready = check_ended};
	rc = r.exit_fd.fd < 0 ? -errno : loop_add(&d->loop, &r.exit_fd, EPOLLIN);
	if (rc) {
		pid_t pid = r.check;
		kill(pid, SIGKILL);
		loop_del(&r.d->loop, &r.exit_fd);
		close(r.out);
		r.check = 0;
		reap(&d->loop, pid, r.exit_fd.fd);
		return error_set(err, rc, "cannot watch the new program: %s", error_name(rc));
	}
	r.client = client;
	r.timer.expired = check_expired;
	loop_timer_arm(&d->loop, &r.timer, CHECK_NS);
	return 0;
}

/* ---- the new program's side ---- */

static int number(const char *key)
{
	json_t *v = json_object_get(r.state, key);

	return json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

bool reexec_load(struct daemon *d)
{
	const char *text = getenv(VARIABLE);
	uint32_t fd;

	r.d = d;
	if (!text)
		return false;
	/* Of whoever starts a program from here on it is none of the business. */
	int rc = parse_u32(text, 3, 1 << 20, &fd);
	unsetenv(VARIABLE);
	if (rc || fcntl((int)fd, F_GETFD) < 0)
		return false;
	lseek((int)fd, 0, SEEK_SET);
	r.state = json_loadfd((int)fd, 0, NULL);
	close((int)fd);
	if (number("version") != REEXEC_VERSION) {
		json_decref(r.state);
		r.state = NULL;
		return false;
	}
	d->lock_fd = number("lock");
	d->control_fd.fd = number("control");
	keep_fd(d->lock_fd, false);
	keep_fd(d->control_fd.fd, false);
	upgrade_step(STEP_EXECUTED, 0, 0);
	return true;
}

/* Children of the old program that nobody watches any more: a worker that had just been started,
 * and ended when its supervisor hung up. Those that are watched are reaped there. */
static void reap_unknown(struct loop_timer *t)
{
	siginfo_t info = {0};

	while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid &&
	       !table_has_worker(r.d, info.si_pid) && waitpid(info.si_pid, NULL, WNOHANG) > 0)
		info = (siginfo_t){0};
}

void reexec_clients(struct daemon *d)
{
	if (!r.state)
		return;
	r.client = control_restore(d, json_object_get(r.state, "clients"));
	json_decref(r.state);
	r.state = NULL;
	r.reap.expired = reap_unknown;
	loop_timer_arm(&d->loop, &r.reap, REAP_NS);
}

static void count_adopting(struct device *dev, void *arg)
{
	*(bool *)arg |= dev->worker.adopting;
}

void reexec_settle(struct daemon *d)
{
	bool adopting = false;

	if (!r.client || r.check)
		return;
	table_each(d, count_adopting, &adopting);
	if (adopting)
		return;
	log_info("upgrade: this is xenblkd " XENBLKD_VERSION);
	control_answer(d, r.client,
	               command_result(json_pack("{s:s, s:i}", "version", XENBLKD_VERSION, "pid",
	                                        (int)getpid())));
	r.client = 0;
}
