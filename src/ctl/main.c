/* SPDX-License-Identifier: MIT */
/* xenblkctl: asks xenblkd, and plays the toolstack on an embedded Xen. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/hotplug.h"
#include "ctl/options.h"
#include "ctl/show.h"
#include "ctl/toolstack.h"
#include "ctl/upgrade.h"
#include "ctl/version.h"

#define SHUTDOWN_MS 30000

static int print_json(json_t *value, struct error *err)
{
	if (!value || json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) ||
	    printf("\n") < 0)
		return error_set(err, -EIO, "cannot print the answer");
	return 0;
}

/* list, status, stats: one question, one answer. */
static int ask(const struct ctl_options *opt, const char *cmd, void (*show)(json_t *),
               struct error *err)
{
	json_t *result;
	int rc = control_request(opt->run_dir, cmd, opt->has_device ? opt->id : NULL,
	                         CONTROL_TIMEOUT_MS, &result, err);

	if (!rc)
		sort_disks(result);
	if (!rc && opt->json)
		rc = print_json(result, err);
	else if (!rc)
		show(result);
	json_decref(result);
	return rc;
}

/* ---- the embedded Xen ---- */

static int cancel_fd = -1;

static void on_signal(int sig)
{
	uint64_t one = 1;

	/* Cannot fail in a way that matters; the second signal ends us anyway (SA_RESETHAND). */
	if (write(cancel_fd, &one, sizeof one) < 0) {
	}
}

/* The first ^C ends a wait and tidies up. */
static int catch_signals(struct error *err)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cancel_fd < 0)
		return error_set(err, -errno, "cannot make an eventfd: %s", error_name(errno));
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	return 0;
}

static int attach(const struct ctl_options *opt, struct toolstack *ts, struct error *err)
{
	char target[STORAGE_TARGET_MAX];
	struct toolstack_disk disk = {.domid = opt->domid,
	                              .devid = opt->devid,
	                              .target = target,
	                              .mode = opt->mode,
	                              .cdrom = opt->cdrom,
	                              .removable = opt->removable,
	                              .no_discard = opt->no_discard,
	                              .no_script = opt->no_script};
	json_t *status = NULL;
	int rc = toolstack_target(opt->target, target, err);

	if (!rc)
		rc = toolstack_attach(ts, &disk, opt->timeout_s * 1000, &status, err);
	if (!rc)
		show_attached(opt->id, target, status);
	json_decref(status);
	return rc;
}

static int detach(const struct ctl_options *opt, struct toolstack *ts, struct error *err)
{
	int rc = toolstack_detach(ts, opt->domid, opt->devid, opt->force, err);

	if (!rc)
		printf("%s detached\n", opt->id);
	return rc;
}

static int fault(const struct ctl_options *opt, struct toolstack *ts, struct error *err)
{
	return xen_fault(toolstack_platform(ts), opt->fault, err);
}

static int usage(const struct ctl_options *opt, struct toolstack *ts, struct error *err)
{
	struct xen_usage u;
	json_t *json;
	int rc = xen_usage(toolstack_platform(ts), &u);

	if (rc)
		return error_set(err, rc, "the embedded Xen in %s does not tell its usage: %s",
		                 opt->run_dir, error_name(rc));
	if (!opt->json) {
		show_usage(&u);
		return 0;
	}
	json = usage_json(&u);
	rc = print_json(json, err);
	json_decref(json);
	return rc;
}

/* To standard error, which xl shows. */
static void say_wait(const char *id, const char *for_what)
{
	if (*for_what)
		fprintf(stderr, "xenblkctl: %s: waiting: %s\n", id, for_what);
}

/* On whichever Xen there is: the embedded one of the run directory, or this machine's. */
static int hotplug(const struct ctl_options *opt, struct error *err)
{
	struct toolstack *ts = NULL;
	int rc = catch_signals(err);

	if (!rc)
		rc = toolstack_open_store(opt->run_dir, cancel_fd, &ts, err);
	if (!rc)
		toolstack_tell_waits(ts, say_wait);
	if (!rc)
		rc = hotplug_run(ts, opt->action, getenv("XENBUS_PATH"), err);
	toolstack_close(ts);
	return rc;
}

static int with_toolstack(const struct ctl_options *opt,
                          int (*run)(const struct ctl_options *, struct toolstack *,
                                     struct error *),
                          struct error *err)
{
	struct toolstack *ts = NULL;
	int rc = catch_signals(err);

	if (!rc)
		rc = toolstack_open(opt->run_dir, cancel_fd, &ts, err);
	if (!rc)
		toolstack_tell_waits(ts, say_wait);
	if (!rc)
		rc = run(opt, ts, err);
	toolstack_close(ts);
	return rc;
}

/* ---- the daemon itself ---- */

static int shut_down(const struct ctl_options *opt, struct error *err)
{
	uint64_t deadline = clock_ns() + SHUTDOWN_MS * NS_PER_MS;
	json_t *result;
	int rc = control_request(opt->run_dir, "shutdown", NULL, CONTROL_TIMEOUT_MS, &result, err);

	json_decref(result);
	if (rc)
		return rc;
	/* It answers before it drains its disks; the user wants to know when it is done. */
	while (!control_request(opt->run_dir, "version", NULL, CONTROL_TIMEOUT_MS, &result, NULL)) {
		json_decref(result);
		if (clock_ns() > deadline)
			return error_set(
			    err, -ETIMEDOUT,
			    "xenblkd in %s has not ended after %d s: the storage of its "
			    "disks does not finish their requests; kill xenblkd and its "
			    "workers if you must: journals keep what was taken",
			    opt->run_dir, SHUTDOWN_MS / 1000);
		usleep(20000);
	}
	printf("xenblkd stopped\n");
	return 0;
}

static int resize(const struct ctl_options *opt, struct error *err)
{
	json_t *result;
	int rc = control_request(opt->run_dir, "resize", opt->id, CONTROL_TIMEOUT_MS, &result, err);

	json_decref(result);
	if (!rc)
		printf("%s: its size is looked at; `xenblkctl status %s` shows it\n", opt->id,
		       opt->id);
	return rc;
}

static int recover(const struct ctl_options *opt, struct error *err)
{
	json_t *result;
	int rc =
	    control_request(opt->run_dir, "recover", opt->id, CONTROL_TIMEOUT_MS, &result, err);

	json_decref(result);
	if (!rc)
		printf("%s is tried again; see `xenblkctl status %s`\n", opt->id, opt->id);
	return rc;
}

static int version(const struct ctl_options *opt, struct error *err)
{
	struct error why = {""};
	json_t *result, *out;
	int rc = control_request(opt->run_dir, "version", NULL, CONTROL_TIMEOUT_MS, &result, &why);
	json_t *text = json_is_object(result) ? json_object_get(result, "version") : result;

	/* Not running is an answer here, not an error. */
	if (opt->json) {
		out = json_pack("{s:s, s:O?}", "xenblkctl", PROGRAM_VERSION, "xenblkd",
		                rc ? NULL : text);
		rc = print_json(out, err);
		json_decref(out);
	} else {
		printf("xenblkctl %s\n", PROGRAM_VERSION);
		printf("xenblkd   %s\n", rc ? "not running" : json_string_value(text) ?: "unknown");
		rc = 0;
	}
	json_decref(result);
	return rc;
}

static int run(const struct ctl_options *opt, struct error *err)
{
	switch (opt->command) {
	case CTL_LIST:
		return ask(opt, "list", show_list, err);
	case CTL_STATUS:
		return ask(opt, "status", show_status, err);
	case CTL_STATS:
		return ask(opt, "stats", show_stats, err);
	case CTL_ATTACH:
		return with_toolstack(opt, attach, err);
	case CTL_DETACH:
		return with_toolstack(opt, detach, err);
	case CTL_RESIZE:
		return resize(opt, err);
	case CTL_HOTPLUG:
		return hotplug(opt, err);
	case CTL_FAULT:
		return with_toolstack(opt, fault, err);
	case CTL_USAGE:
		return with_toolstack(opt, usage, err);
	case CTL_RECOVER:
		return recover(opt, err);
	case CTL_UPGRADE:
		return opt->all          ? upgrade_all(opt->run_dir, err)
		       : opt->has_device ? upgrade_disk(opt->run_dir, opt->id, err)
		                         : upgrade_supervisor(opt->run_dir, err);
	case CTL_SHUTDOWN:
		return shut_down(opt, err);
	case CTL_VERSION:
		return version(opt, err);
	case CTL_HELP:
		args_help(&ctl_program, stdout);
		return 0;
	}
	return error_set(err, -EINVAL, "unknown command");
}

int main(int argc, char **argv)
{
	struct error err = {""};
	struct ctl_options opt;
	int rc = 2;

	/* A line at a time, so that output into a pipe keeps its place among messages. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!ctl_parse(argc, argv, &opt, &err))
		rc = run(&opt, &err) ? 1 : 0;
	if (rc)
		fprintf(stderr, "xenblkctl: %s\n", err.text);
	else if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "xenblkctl: cannot write to standard output\n");
		rc = 1;
	}
	return rc;
}
