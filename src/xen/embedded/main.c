/* SPDX-License-Identifier: MIT */
/* xenblkd-xen: the embedded Xen's hypervisor and xenstored, one process per directory. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/private_dir.h"
#include "xen/embedded/hv.h"
#include "xen/embedded/hypercall.h"

struct options {
	const char *dir;
	int ready_fd; /* -1: print a line instead */
	bool verbose;
};

/* Owned by main: ends the loop on SIGTERM or SIGINT. */
struct stopper {
	struct loop_fd lfd;
	struct loop *loop;
};

static int usage(FILE *to)
{
	fputs("usage: xenblkd-xen DIR [--ready-fd N] [--verbose]\n"
	      "Serves an embedded Xen in DIR: grants and event channels on DIR/xen.sock, xenstore "
	      "on\n"
	      "DIR/xenstored.sock. Writes a byte to descriptor N, or the line \"ready\", when it "
	      "is up.\n",
	      to);
	return to == stdout ? 0 : 2;
}

/* -1: go on, else the exit status. */
static int options_parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {{"ready-fd", required_argument, NULL, 'r'},
	                                      {"verbose", no_argument, NULL, 'v'},
	                                      {"help", no_argument, NULL, 'h'},
	                                      {0}};
	uint32_t fd;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 'r':
			if (parse_u32(optarg, 0, INT32_MAX, &fd)) {
				log_error("--ready-fd %s: not a descriptor number", optarg);
				return 2;
			}
			opt->ready_fd = (int)fd;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind + 1 != argc || !*argv[optind])
		return usage(stderr);
	opt->dir = argv[optind];
	return -1;
}

/* The lock is held until the process ends. Its fd, or -errno. */
static int dir_lock(const char *dir, struct error *err)
{
	char path[HV_DIR_MAX + 16], real[HV_DIR_MAX + 1];
	int dir_fd;

	if (strlen(dir) > HV_DIR_MAX)
		return error_set(err, -ENAMETOOLONG,
		                 "directory '%s' is %zu bytes long; sockets in it need at most %u: "
		                 "choose a shorter one",
		                 dir, strlen(dir), HV_DIR_MAX);
	dir_fd = private_dir(dir, real, sizeof real, err);
	if (dir_fd < 0)
		return dir_fd;
	snprintf(path, sizeof path, "%s/xen.lock", dir);
	int fd = openat(dir_fd, "xen.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	close(dir_fd);
	if (fd < 0)
		return error_set(err, -errno, "cannot open '%s': %s", path, error_name(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	int rc = -errno;
	close(fd);
	if (rc == -EWOULDBLOCK)
		return error_set(err, rc,
		                 "another xenblkd-xen serves '%s' already: stop it, or choose "
		                 "another directory",
		                 dir);
	return error_set(err, rc, "cannot lock '%s': %s", path, error_name(rc));
}

static void stop_ready(struct loop_fd *lfd, uint32_t events)
{
	loop_stop(container_of(lfd, struct stopper, lfd)->loop);
}

static int stop_on_signals(struct stopper *stopper, struct loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	stopper->loop = loop;
	stopper->lfd = (struct loop_fd){signalfd(-1, &set, SFD_CLOEXEC), stop_ready};
	return stopper->lfd.fd < 0 ? -errno : loop_add(loop, &stopper->lfd, EPOLLIN);
}

static void tell_ready(int fd)
{
	ssize_t r = fd >= 0 ? write(fd, "\n", 1) : write(STDOUT_FILENO, "ready\n", 6);

	if (r < 0)
		log_warn("cannot tell that it is ready: %s", error_name(errno));
	if (fd >= 0)
		close(fd);
}

/* Every event channel takes two descriptors, every handle one. */
static void raise_limits(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

int main(int argc, char **argv)
{
	struct options opt = {.ready_fd = -1};
	struct error err = {0};
	struct stopper stopper = {.lfd = {-1}};
	struct loop loop = {.epfd = -1};
	struct hv *hv = NULL;

	log_init("xenblkd-xen", false);
	int rc = options_parse(argc, argv, &opt);
	if (rc >= 0)
		return rc;
	log_init("xenblkd-xen", opt.verbose);
	umask(077);
	raise_limits();
	int lock = dir_lock(opt.dir, &err);
	if ((rc = lock) < 0)
		goto out;
	if ((rc = loop_init(&loop)) || (rc = stop_on_signals(&stopper, &loop))) {
		error_set(&err, rc, "cannot start: %s", error_name(rc));
		goto out;
	}
	rc = hv_new(&loop, opt.dir, &hv, &err);
	if (rc)
		goto out;
	tell_ready(opt.ready_fd);
	rc = loop_run(&loop);
	if (rc)
		error_set(&err, rc, "event loop failed: %s", error_name(rc));
out:
	if (rc)
		log_error("%s", err.text);
	hv_free(hv);
	loop_fini(&loop);
	if (stopper.lfd.fd >= 0)
		close(stopper.lfd.fd);
	if (lock >= 0)
		close(lock);
	return rc ? 1 : 0;
}
