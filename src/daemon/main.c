/* SPDX-License-Identifier: MIT */
/*
 * xenblkd: the supervisor. The only process that talks to xenstore; finds the devices of the back
 * end kinds it serves, and has one xenblkd-worker per disk. Guests' memory and data never come
 * here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/landlock.h"
#include "base/log.h"
#include "base/private_dir.h"
#include "daemon/at.h"
#include "daemon/config.h"
#include "daemon/device.h"
#include "daemon/reexec.h"
#include "disk/uring.h"

#define WORKERS_QUIT_NS (10 * NS_PER_S) /* drain, then kill: journals survive that */
#define LOCK_NS (2 * NS_PER_S)

static int make_run_dir(struct daemon *d, struct error *err)
{
	d->run_fd = private_dir(d->opt.run_dir, d->run_dir, sizeof d->run_dir, err);
	return d->run_fd < 0 ? error_set(err, d->run_fd, "run %s", err->text) : 0;
}

/* One that was killed while it started a worker lives on in that child until it has become another
 * program, and in it the lock. 0 or -errno. */
static int flock_patient(int fd)
{
	uint64_t end = clock_ns() + LOCK_NS;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK || clock_ns() > end)
			return -errno;
		nanosleep(&(struct timespec){.tv_nsec = 10 * NS_PER_MS}, NULL);
	}
	return 0;
}

static int take_lock(struct daemon *d, struct error *err)
{
	char pid[16] = "?";
	int rc;

	/* Handed over by the program that we replaced: it is ours as long as it is open. */
	if (d->lock_fd >= 0)
		return 0;
	d->lock_fd = at_file(d->run_fd, "lock", O_RDWR | O_CREAT);
	if (d->lock_fd < 0)
		return error_set(err, d->lock_fd, "cannot open %s/lock: %s", d->run_dir,
		                 error_name(d->lock_fd));
	rc = flock_patient(d->lock_fd);
	if (!rc) {
		int n = snprintf(pid, sizeof pid, "%d\n", getpid());
		if (ftruncate(d->lock_fd, 0) || pwrite(d->lock_fd, pid, (size_t)n, 0) != n)
			return error_set(err, -errno, "cannot write %s/lock: %s", d->run_dir,
			                 error_name(errno));
		return 0;
	}
	if (rc != -EWOULDBLOCK)
		return error_set(err, rc, "cannot lock %s/lock: %s", d->run_dir, error_name(rc));
	ssize_t n = pread(d->lock_fd, pid, sizeof pid - 1, 0);
	if (n > 0)
		pid[strspn(pid, "0123456789")] = '\0';
	return error_set(
	    err, rc,
	    "another xenblkd serves %s already: process %s; stop it, or give another --run-dir",
	    d->run_dir, pid);
}

/* The other programs stand beside ours, or where a package puts them. */
static int find_programs(struct daemon *d, struct error *err)
{
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", d->program, sizeof d->program - 1);

	d->program[n > 0 ? n : 0] = '\0';
	strcpy(d->program_dir, d->program);
	char *slash = strrchr(d->program_dir, '/');
	if (slash)
		*slash = '\0';
	snprintf(path, sizeof path, "%s/xenblkd-worker", d->program_dir);
	if (access(path, X_OK)) {
		n = snprintf(path, sizeof path, "%s/../libexec/xenblkd", d->program_dir);
		if ((size_t)n < sizeof d->program_dir && !access(path, X_OK))
			strcpy(d->program_dir, path);
	}
	d->worker_fd = worker_program(d, err);
	return d->worker_fd < 0 ? d->worker_fd : 0;
}

static void count_worker(struct device *dev, void *arg)
{
	*(unsigned *)arg += dev->worker.pid != 0;
}

void daemon_stop_check(struct daemon *d)
{
	unsigned n = 0;

	table_each(d, count_worker, &n);
	if (!n)
		loop_stop(&d->loop);
}

static void quit_worker(struct device *dev, void *arg)
{
	upgrade_failed(dev, "xenblkd is stopping");
	loop_timer_cancel(&dev->worker.backoff);
	worker_quit(dev, WORKERS_QUIT_NS);
}

static void stop_expired(struct loop_timer *t)
{
	log_warn("workers that cannot even be killed are left to themselves");
	loop_stop(&container_of(t, struct daemon, stop_timer)->loop);
}

void daemon_stop(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	systemd_tell("STOPPING=1");
	table_each(d, quit_worker, NULL);
	d->stop_timer.expired = stop_expired;
	loop_timer_arm(&d->loop, &d->stop_timer, WORKERS_QUIT_NS + 2 * NS_PER_S);
	daemon_stop_check(d);
}

/* What a front end was told counts until it connects again; then the new settings do. */
static void reload(struct daemon *d)
{
	struct options next = d->opt;
	struct config *config = NULL;
	struct error err;

	if (options_settings(&next, &config, &err)) {
		log_error("signal %d: the configuration stays what it was: %s", SIGHUP, err.text);
		config_free(config);
		return;
	}
	config_free(d->config);
	d->config = config;
	d->opt.settings = next.settings;
	log_info("signal %d: %s; front ends that connect from now on have the settings of %s",
	         SIGHUP, d->opt.config ? "read again" : "there is no configuration file",
	         d->opt.config ? d->opt.config : "the command line");
}

static void signal_ready(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, signal_fd);
	struct signalfd_siginfo info;

	if (read(lfd->fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo == SIGHUP) {
		reload(d);
		return;
	}
	log_info("signal %u: stopping", info.ssi_signo);
	daemon_stop(d);
}

/* Before any thread starts, libxenstore's included. */
/* As far as we may. */
static void raise_limit(int which, bool beyond_hard)
{
	struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	if ((beyond_hard && !setrlimit(which, &r)) || getrlimit(which, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(which, &r);
}

static int setup_process(struct daemon *d, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	/* Inherited limits make a call fail, they do not end us. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGXCPU, SIG_IGN);
	/* Ignored, no child would tell how it ended. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Ignored, as nohup leaves it, it would not reload. */
	signal(SIGHUP, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Three descriptors a disk. */
	raise_limit(RLIMIT_NOFILE, false);
	/* Of the workers, for their io_urings. */
	raise_limit(RLIMIT_MEMLOCK, true);
	/* What a shell allows a program that ends: not for us, nor for what we start. */
	raise_limit(RLIMIT_FSIZE, true);
	raise_limit(RLIMIT_CPU, true);
	d->signal_fd = (struct loop_fd){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
	                                .ready = signal_ready};
	int rc = d->signal_fd.fd < 0 ? -errno : loop_init(&d->loop);
	if (!rc)
		rc = loop_add(&d->loop, &d->signal_fd, EPOLLIN);
	return rc ? error_set(err, rc, "cannot set up the event loop: %s", error_name(rc)) : 0;
}

/* What may fail for what is installed, configured, or lacking in the kernel. */
static int before_lock(struct daemon *d, struct error *err)
{
	int rc = uring_check(err);

	if (!rc)
		rc = find_programs(d, err);
	if (!rc)
		rc = options_settings(&d->opt, &d->config, err);
	return rc ? rc : make_run_dir(d, err);
}

static int start(struct daemon *d, struct error *err)
{
	int rc = setup_process(d, err);

	if (!rc)
		rc = before_lock(d, err);
	if (!rc)
		rc = take_lock(d, err);
	if (!rc && d->opt.embedded)
		rc = embedded_start(d, err);
	if (!rc)
		rc = xen_platform_open(d->opt.embedded ? d->run_dir : NULL, 0, &d->platform, err);
	if (!rc)
		rc = store_open(xen_platform_store_path(d->platform), &d->store, err);
	if (rc)
		return rc;
	if (!xen_platform_limits(d->platform).grant_copy)
		log_warn(
		    "this kernel has no grant copy: every page is mapped for it, which is slow");
	int drains = store_drain(d->store);
	if (drains)
		log_warn("no thread for the events of xenstore: %s; guests that cause many of "
		         "them while xenblkd is busy fill its memory",
		         error_name(drains));
	image_start(d);
	rc = claims_start(d, err);
	if (rc)
		return rc;
	d->net_fd = spawn_network();
	if (d->net_fd < 0)
		log_debug("no empty network for the workers: %s", error_name(d->net_fd));
	if (geteuid())
		log_warn("not root: workers cannot get a root directory and a network of their "
		         "own; a worker that was taken over can reach sockets of this host");
	const char *lacks = landlock_lacks(landlock_version());
	if (*lacks)
		log_info(
		    "this kernel's Landlock, version %d, does not keep a worker that was taken "
		    "over from %s; what else there is does (docs/sandbox.md)",
		    landlock_version(), lacks);
	int heard = change_start(d);
	if (heard)
		log_warn("block devices that change their size are not noticed: %s; tell it with "
		         "`xenblkctl resize`",
		         error_name(heard));
	heard = size_start(d);
	if (heard)
		log_warn("images that change their size are not noticed: %s; tell it with "
		         "`xenblkctl resize`",
		         error_name(heard));
	rc = discovery_start(d, err);
	if (!rc)
		rc = control_start(d, err);
	if (rc)
		return rc;
	leftovers_start(d);
	reexec_clients(d);
	return 0;
}

static void run(struct daemon *d)
{
	int rc = 0;

	puts("ready");
	fflush(stdout);
	systemd_start(d);
	while (!rc && !d->loop.stop) {
		rc = loop_once(&d->loop, list_empty(&d->dirty) ? -1 : 0);
		discovery_run_dirty(d);
		reexec_settle(d);
	}
	if (rc) {
		log_error("event loop: %s", error_name(rc));
		d->exit_status = 1;
	}
}

static void forget(struct device *dev, void *arg)
{
	int dir = dev->d->stopping && !dev->worker.pid ? at_disk(dev->d, dev->id) : -1;

	if (dir >= 0) {
		unlinkat(dir, WORKER_SOCK, 0);
		close(dir);
	}
	device_forget(dev);
}

static void finish(struct daemon *d)
{
	unsigned devices = d->nr_devices;

	control_stop(d);
	change_stop(d);
	leftovers_stop(d);
	claims_stop(d);
	table_each(d, forget, NULL);
	size_stop(d);
	if (d->store) {
		discovery_stop(d);
		store_close(d->store);
	}
	xen_platform_close(d->platform);
	d->nr_devices = devices;
	if (!devices && d->run_fd >= 0)
		unlinkat(d->run_fd, DISKS_NAME, AT_REMOVEDIR);
	/* Not on an error: what it serves may be in use. */
	if (d->stopping || !d->exit_status)
		embedded_stop(d);
	if (d->signal_fd.fd >= 0)
		close(d->signal_fd.fd);
	loop_fini(&d->loop);
	config_free(d->config);
	if (d->net_fd >= 0)
		close(d->net_fd);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->run_fd >= 0)
		close(d->run_fd);
}

/* Asked by an older program whether it could become this one. */
static int check_upgrade(struct daemon *d)
{
	struct error err;

	if (d->opt.check_upgrade != REEXEC_VERSION) {
		printf("version %s cannot take over from the xenblkd that runs: stop that and "
		       "start this "
		       "one\n",
		       XENBLKD_VERSION);
		return 1;
	}
	/* All that start does before it takes the lock, by which it would end only after the exec:
	 * then the old one is gone. */
	if (before_lock(d, &err)) {
		puts(err.text);
		return 1;
	}
	puts("xenblkd " XENBLKD_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct error err;
	int status = options_parse(argc, argv, &d.opt);

	if (status >= 0)
		return status;
	log_init("xenblkd", d.opt.verbose);
	/* Whatever we inherited: what we make is for us, and we can use it. */
	umask(077);
	d.argv = argv;
	d.run_fd = d.lock_fd = d.worker_fd = d.net_fd = d.signal_fd.fd = d.control_fd.fd = -1;
	d.uevent_fd.fd = d.size_fd.fd = d.holder_fd.fd = d.spare_fd = -1;
	d.loop.epfd = -1;
	list_init(&d.clients);
	list_init(&d.leftovers);
	list_init(&d.held);
	list_init(&d.holders);
	table_init(&d);
	if (d.opt.check_upgrade)
		return check_upgrade(&d);
	reexec_load(&d);
	if (start(&d, &err)) {
		log_error("%s", err.text);
		d.exit_status = 1;
	} else {
		run(&d);
	}
	finish(&d);
	return d.exit_status;
}
