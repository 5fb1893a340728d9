/* SPDX-License-Identifier: MIT */
/* xenblkfront conform: the suite of conform/ on one disk, as a table or as JSON. */
#include "front/tool.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/io/blkif.h>

#include "front/conform/conform.h"
#include "front/tool_message.h"
#include "front/tool_signal.h"

/* What one run shows and counts. On the command's stack. */
struct judge {
	const struct tool_options *o;
	json_t *cases; /* NULL: a table, as it goes */
	bool live;     /* stderr shows which case runs */
	bool broken;   /* JSON ran out of memory */
	unsigned total, done, count[3];
};

static void hide(const struct judge *j)
{
	if (j->live)
		fprintf(stderr, "\r%*s\r", 79, "");
}

static void begins(void *arg, const struct conform_group *g, const struct conform_case *k)
{
	struct judge *j = arg;

	hide(j);
	if (j->live)
		fprintf(stderr, "[%u/%u] %s: %.50s", j->done + 1, j->total, g->name, k->name);
}

static void print_line(const struct conform_outcome *o)
{
	printf("%-4s  %-12s ", conform_result_name(o->result), o->group->name);
	if (o->result == CONFORM_FAIL)
		printf("%s\n      %s\n      source: %s\n", o->at->name, o->detail, o->at->source);
	else if (o->detail[0])
		printf("%-38s %s\n", o->at->name, o->detail);
	else
		printf("%s\n", o->at->name);
}

static json_t *outcome_json(const struct conform_outcome *o)
{
	return json_pack("{s:s s:s s:s s:s s:s}", "name", o->at->name, "group", o->group->name,
	                 "result", conform_result_name(o->result), "source", o->at->source,
	                 "detail", o->detail);
}

static void ends(void *arg, const struct conform_outcome *o)
{
	struct judge *j = arg;

	j->done++;
	j->count[o->result]++;
	hide(j);
	if (j->cases)
		j->broken |= json_array_append_new(j->cases, outcome_json(o)) != 0;
	else
		print_line(o);
	fflush(stdout); /* who pipes it wants to see how far it is, too */
}

static bool stop(void *arg)
{
	return tool_interrupted();
}

/* Runs --revive's command. It may take as long as it likes, but a signal for the tool ends it. What
 * it prints goes to standard error. */
static bool revive(void *arg, const struct conform_case *k, struct error *why)
{
	struct judge *j = arg;
	int status;

	hide(j);
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none; /* the command must not inherit what the tool holds and ignores */

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		setenv("CONFORM_CASE", k->name, 1);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", j->o->revive, NULL);
		_exit(127);
	}
	int fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (fd >= 0) {
		if (!tool_wait_fd(fd, POLLIN))
			kill(pid, SIGTERM);
		close(fd);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			pid = -1;
	if (pid < 0)
		error_set(why, -errno, "%s", strerror(errno));
	else if (WIFSIGNALED(status))
		error_set(why, -EIO, "--revive ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		error_set(why, -EIO, "--revive ended with status %d", WEXITSTATUS(status));
	else
		return true;
	return false;
}

static int list(const struct conform_options *c, bool json)
{
	json_t *cases = json ? json_array() : NULL;

	for (const struct conform_group *g = conform_groups; g->name; g++)
		for (const struct conform_case *const *of = g->cases; *of; of++)
			for (const struct conform_case *k = *of; k->name; k++) {
				if (!conform_matches(c, g, k))
					continue;
				if (cases)
					json_array_append_new(cases,
					                      json_pack("{s:s s:s s:s}", "name",
					                                k->name, "group", g->name,
					                                "source", k->source));
				else
					printf("%-12s %-38s %s\n", g->name, k->name, k->source);
			}
	if (cases) {
		json_t *all = json_pack("{s:o}", "cases", cases);
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	}
	return fflush(stdout) ? tool_error("cannot write to standard output: %s", strerror(errno))
	                      : TOOL_OK;
}

static int print_json(const struct judge *j, const struct xenblkfront_info *i)
{
	json_t *disk = json_pack(
	    "{s:i s:s s:I s:I s:b s:b s:b s:b s:b s:b s:I s:I s:I}", "domain",
	    (int)j->o->front.domid, "vdev", j->o->front.vdev, "sectors", (json_int_t)i->sectors,
	    "sector_size", (json_int_t)i->sector_size, "readonly", !!(i->info & VDISK_READONLY),
	    "flush", i->flush, "barrier", i->barrier, "discard", i->discard, "discard_secure",
	    i->discard_secure, "persistent", i->persistent, "max_ring_order",
	    (json_int_t)i->max_ring_order, "max_queues", (json_int_t)i->max_queues,
	    "max_indirect_segments", (json_int_t)i->max_indirect_segments);
	json_t *all =
	    json_pack("{s:O s:o s:{s:i s:i s:i s:i}}", "cases", j->cases, "disk", disk, "summary",
	              "total", (int)j->done, "passed", (int)j->count[CONFORM_PASS], "failed",
	              (int)j->count[CONFORM_FAIL], "skipped", (int)j->count[CONFORM_SKIP]);
	bool ok =
	    !j->broken && all && !json_dumpf(all, stdout, JSON_INDENT(2)) && putchar('\n') != EOF;

	json_decref(all);
	return ok ? TOOL_OK
	          : tool_error("cannot write JSON to standard output: %s", strerror(errno));
}

static int usage(const char *text)
{
	tool_error("%s: see xenblkfront --help", text);
	return TOOL_USAGE;
}

static int judge(struct judge *j, struct conform_options *c)
{
	struct xenblkfront_info info;
	struct error err = {""};
	int rc;

	j->live = j->o->progress || isatty(STDERR_FILENO);
	c->begins = begins;
	c->ends = ends;
	c->revive = j->o->revive ? revive : NULL;
	c->stop = stop;
	c->arg = j;
	rc = conform_run(c, &info, &err);
	hide(j);
	if (rc && rc != -EINTR)
		return tool_error("%s", err.text);
	int out = TOOL_OK;
	if (j->cases)
		out = print_json(j, &info);
	else
		printf("%u cases: %u passed, %u failed, %u skipped\n", j->done,
		       j->count[CONFORM_PASS], j->count[CONFORM_FAIL], j->count[CONFORM_SKIP]);
	if (fflush(stdout) && errno != EPIPE)
		out = tool_error("cannot write to standard output: %s", strerror(errno));
	if (rc == -EINTR)
		return tool_error("interrupted by a signal: the disk was disconnected");
	return out ?: j->count[CONFORM_FAIL] ? TOOL_FAILED : TOOL_OK;
}

static bool known_group(const char *name)
{
	for (const struct conform_group *g = conform_groups; g->name; g++)
		if (!strcmp(g->name, name))
			return true;
	return false;
}

int tool_conform(const struct tool_options *o)
{
	struct conform_options c = {.disk = o->front, .group = o->group, .pattern = o->pattern};
	struct judge j = {.o = o, .total = conform_count(&c)};

	if (o->group && !known_group(o->group))
		return usage("--group is negotiation, rings, ABIs, segments, operations, ordering, "
		             "limits, errors or hostile");
	if (!j.total)
		return usage("no case fits --case and --group: --list shows all of them");
	if (o->list)
		return list(&c, o->json);
	/* What lies in an embedded Xen's directory was made for such things. */
	if (!o->front.run_dir && !o->overwrite)
		return usage(
		    "conform overwrites the disk, and resets a guest's driver that uses it: "
		    "say --yes-overwrite if nothing on it is needed");
	if (o->json && !(j.cases = json_array()))
		return tool_error("out of memory");
	int rc = judge(&j, &c);
	json_decref(j.cases);
	return rc;
}
