/* SPDX-License-Identifier: MIT */
/*
 * How much many idle disks cost: attaches N of them on an embedded Xen, a front end connected to
 * each, and prints how long the first and the last attachments took, and what all processes use of
 * memory and, over some seconds, of processor time.
 *
 * usage: idle_disks [N [SECONDS [QUEUES]]]     (1000 10 16; not more queues than processors)
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#define GROUP 10 /* attachments averaged at either end */

static unsigned long field_kib(pid_t pid, const char *field)
{
	char path[64], line[128];
	unsigned long kib = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "r");
	size_t n = strlen(field);
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, field, n))
			kib = strtoul(line + n, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static unsigned long ticks(pid_t pid)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f && fread(text, 1, sizeof text - 1, f) && strrchr(text, ')'))
		sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		       &user, &system);
	if (f)
		fclose(f);
	return user + system;
}

struct totals {
	unsigned workers;
	unsigned long worker_ticks, daemon_ticks, worker_kib, largest_kib;
};

static struct totals look(struct host *h, unsigned n, bool memory)
{
	struct totals t = {.daemon_ticks = ticks(h->daemon)};
	char id[32];

	for (unsigned i = 1; i <= n; i++) {
		snprintf(id, sizeof id, "%u:xvda", i);
		pid_t pid = host_worker(h, id);
		if (pid <= 0)
			continue;
		unsigned long kib = memory ? field_kib(pid, "Pss:") : 0;
		t.workers++;
		t.worker_ticks += ticks(pid);
		t.worker_kib += kib;
		if (kib > t.largest_kib)
			t.largest_kib = kib;
	}
	return t;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
	unsigned queues = argc > 3 ? (unsigned)atoi(argv[3]) : 16;
	struct xenblkfront **front = calloc(n, sizeof *front);
	double *ms = calloc(n, sizeof *ms), first = 0, last = 0, worst = 0;
	struct rlimit files;
	struct host h;

	if (n < 2 * GROUP) {
		fprintf(stderr, "idle_disks: at least %d disks\n", 2 * GROUP);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	host_start(&h, NULL);
	for (unsigned i = 0; i < n; i++) {
		uint64_t start = clock_ns();
		host_attach(&h, &(struct disk){.domid = i + 1, .params = "null:1G"}, "null:1G");
		front[i] = host_front_with(
		    &h, &(struct xenblkfront_options){.domid = i + 1, .queues = queues});
		ms[i] = (double)(clock_ns() - start) / 1e6;
		worst = ms[i] > worst ? ms[i] : worst;
	}
	for (unsigned i = 0; i < GROUP; i++) {
		first += ms[i] / GROUP;
		last += ms[n - 1 - i] / GROUP;
	}
	printf("%u disks, up to %u queues each\n", n, queues);
	printf(
	    "attached and connected: first %d %.1f ms each, last %d %.1f ms each, worst %.1f ms\n",
	    GROUP, first, GROUP, last, worst);
	fflush(stdout);
	sleep(3); /* the statistics' last second */
	struct totals a = look(&h, n, true);
	sleep(seconds);
	struct totals b = look(&h, n, false);
	printf("%u workers: %lu KiB proportional set size each, largest %lu KiB\n", a.workers,
	       a.worker_kib / (a.workers ? a.workers : 1), a.largest_kib);
	printf("processor time in %u idle seconds: workers %lu ms, supervisor %lu ms (of which the "
	       "questions asked here are a part)\n",
	       seconds, (b.worker_ticks - a.worker_ticks) * 10,
	       (b.daemon_ticks - a.daemon_ticks) * 10);
	for (unsigned i = 0; i < n; i++)
		xenblkfront_close(front[i]);
	host_stop(&h);
	free(front);
	free(ms);
	return 0;
}
