/* SPDX-License-Identifier: MIT */
/*
 * xenblkd-worker: serves one disk. Started by xenblkd with the listening socket as descriptor 3 and
 * perhaps an empty network as 4; not meant to be started by hand.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "worker/faults.h"
#include "worker/image.h"
#include "worker/inherited.h"
#include "worker/report.h"
#include "worker/session.h"

#define LISTEN_FD 3
#define NET_FD 4 /* where the supervisor has one: a network namespace with nothing in it */

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"embedded", required_argument, NULL, 'e'},
    {"domid", required_argument, NULL, 'D'},
    {"devid", required_argument, NULL, 'v'},
    {"name", required_argument, NULL, 'n'},
    {"verbose", no_argument, NULL, 'V'},
    {0},
};

static int usage(void)
{
	fprintf(stderr, "usage: xenblkd-worker --dir DIR --domid N --devid N --name DOMID:VDEV "
	                "[--embedded DIR] [--verbose]   (started by xenblkd)\n");
	return 2;
}

static int parse_options(struct worker *w, int argc, char **argv, bool *verbose)
{
	int c;

	w->domid = w->devid = UINT32_MAX;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int rc = 0;
		switch (c) {
		case 'd':
			w->dir = optarg;
			break;
		case 'e':
			w->embedded = optarg;
			break;
		case 'D':
			rc = parse_u32(optarg, 0, XEN_DOMID_MAX, &w->domid);
			break;
		case 'v':
			rc = parse_u32(optarg, 0, UINT32_MAX - 1, &w->devid);
			break;
		case 'n':
			w->name = optarg;
			break;
		case 'V':
			*verbose = true;
			break;
		default:
			rc = -EINVAL;
		}
		if (rc)
			return rc;
	}
	return w->dir && w->name && w->domid != UINT32_MAX && w->devid != UINT32_MAX &&
	               optind == argc
	           ? 0
	           : -EINVAL;
}

/* "xenblkd.1.xvda", cut to what the kernel keeps. */
static void set_title(const struct worker *w)
{
	char title[16];
	const char *vdev = strchr(w->name, ':');

	snprintf(title, sizeof title, "xenblkd.%u.%s", w->domid, vdev ? vdev + 1 : w->name);
	prctl(PR_SET_NAME, title);
}

static int find_network(void)
{
	if (ioctl(NET_FD, NS_GET_NSTYPE) != CLONE_NEWNET || fcntl(NET_FD, F_SETFD, FD_CLOEXEC))
		return -1;
	return NET_FD;
}

int main(int argc, char **argv)
{
	/* Static: a thread that waits for the image's lock may outlive this function. */
	static struct worker w;
	struct error err = {""};
	bool verbose = false;
	int rc, listening = 0;
	socklen_t len = sizeof listening;

	rc = parse_options(&w, argc, argv, &verbose);
	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening)
		return usage();
	/* Whose line it is, who reads the pipe says. */
	log_init("", verbose);
	if (rc) {
		log_error("this xenblkd-worker does not understand how xenblkd starts it: install "
		          "both from one package");
		return 2;
	}
	umask(077);
	set_title(&w);
	w.claim = -1;
	w.net_fd = find_network();
	inherited_reset();
	faults_init(&w);
	rc = loop_init(&w.loop);
	if (!rc)
		rc = xen_platform_open(w.embedded, 0, &w.platform, &err);
	if (!rc)
		rc = files_map(&w.files, w.dir, &err);
	w.lost.word = w.files.lost;
	if (!rc)
		rc = report_init(&w, &err);
	if (!rc)
		rc = session_init(&w, LISTEN_FD);
	if (!rc)
		rc = loop_run(&w.loop);
	if (rc)
		log_error("%s", err.text[0] ? err.text : error_name(rc));
	image_close(&w);
	xen_platform_close(w.platform);
	loop_fini(&w.loop);
	return !rc ? 0 : error_is_transient(rc) ? WORKER_LACKS : 1;
}
