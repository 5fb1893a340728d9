/* SPDX-License-Identifier: MIT */
/* The embedded Xen's process: started if none serves the directory, ended with the last supervisor
 * that has no devices. Its process id stands in DIR/xen.pid as long as it is one of ours. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/at.h"
#include "daemon/device.h"

#define START_NS (10 * NS_PER_S)
#define STOP_MS 5000

static bool alive(struct daemon *d, struct error *err)
{
	struct xen_platform *p;

	if (xen_platform_open(d->run_dir, 0, &p, err))
		return false;
	xen_platform_close(p);
	return true;
}

#define PID_NAME "xen.pid"

/* 0 if there is none of ours. A number may have been given to another process since. */
static pid_t read_pid(struct daemon *d)
{
	char path[RUN_DIR_MAX + 16], exe[PATH_MAX];
	int pid = 0;

	FILE *f = at_stream(d->run_fd, PID_NAME, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	ssize_t n = pid > 0 ? readlink(path, exe, sizeof exe - 1) : -1;
	if (n < 0)
		return 0;
	exe[n] = '\0';
	return strstr(exe, "/xenblkd-xen") ? pid : 0;
}

static int wait_ready(struct daemon *d, pid_t pid, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
	uint64_t deadline = clock_ns() + START_NS;
	struct error why;
	int status;

	while (!alive(d, &why)) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return error_set(err, -ECHILD,
			                 "the embedded Xen in %s ended at once; see its message on "
			                 "standard error",
			                 d->run_dir);
		if (clock_ns() > deadline) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return error_set(err, -ETIMEDOUT,
			                 "the embedded Xen in %s does not answer: %s", d->run_dir,
			                 why.text);
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int embedded_start(struct daemon *d, struct error *err)
{
	char prog[PATH_MAX + 16];
	char *argv[] = {(char *)"xenblkd-xen", d->run_dir, NULL};
	int rc;

	if (alive(d, NULL)) {
		d->xen_pid = read_pid(d);
		return 0;
	}
	snprintf(prog, sizeof prog, "%s/xenblkd-xen", d->program_dir);
	if (access(prog, X_OK))
		return error_set(err, -errno, "cannot start %s: %s", prog, error_name(errno));
	pid_t pid = spawn_session(prog, argv);
	if (pid < 0)
		return error_set(err, pid, "cannot start %s: %s", prog, error_name(pid));
	rc = wait_ready(d, pid, err);
	if (rc)
		return rc;
	d->xen_pid = pid;
	FILE *f = at_stream(d->run_fd, PID_NAME, "w");
	if (!f)
		return 0; /* then only this supervisor will end it */
	fprintf(f, "%d\n", pid);
	fclose(f);
	return 0;
}

void embedded_stop(struct daemon *d)
{
	if (!d->xen_pid)
		return;
	if (d->nr_devices) {
		log_info("%u device%s left: the embedded Xen in %s goes on (process %d); start "
		         "xenblkd again to serve",
		         d->nr_devices, d->nr_devices > 1 ? "s are" : " is", d->run_dir,
		         d->xen_pid);
		return;
	}
	struct pollfd p = {.fd = pidfd_open(d->xen_pid, 0), .events = POLLIN};
	if (p.fd >= 0) {
		pidfd_send_signal(p.fd, SIGTERM, NULL, 0);
		if (poll(&p, 1, STOP_MS) <= 0) {
			log_warn("the embedded Xen in %s does not end; killed", d->run_dir);
			pidfd_send_signal(p.fd, SIGKILL, NULL, 0);
			poll(&p, 1, STOP_MS);
		}
		/* It may be a child of ours, or of an earlier supervisor. */
		waitpid(d->xen_pid, NULL, WNOHANG);
		close(p.fd);
	}
	unlinkat(d->run_fd, PID_NAME, 0);
}
