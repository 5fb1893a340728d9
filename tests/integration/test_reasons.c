/* SPDX-License-Identifier: MIT */
/* What keeps a disk from working is said where people look: with its cause and what to do, at the
 * start if it can be known then, else in status, in xenstore's error node and by who attaches the
 * disk. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "host.h"
#include "limited.h"

#define SIZE (4ull << 20)
#define FORBIDDEN "cannot set up io_uring: Operation not permitted; "

static void assert_says(const char *text, const char *expected)
{
	if (!strstr(text, expected))
		fail_msg("\"%s\" does not say \"%s\"", text, expected);
}

/* Output of a program, both streams; its exit status. */
static int run(char *text, size_t cap, char *const argv[])
{
	size_t have = 0;
	int out[2], status;
	ssize_t n;

	assert_int_equal(pipe(out), 0);
	pid_t pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		alarm(30); /* it holds after the exec, too */
		execv(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], text + have, cap - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int attach(struct host *h, char *text, size_t cap, const char *timeout)
{
	char prog[512];
	char *argv[] = {prog,
	                (char *)"--run-dir",
	                h->dir,
	                (char *)"attach",
	                (char *)host_image(h, "a.img", SIZE),
	                (char *)"--domain",
	                (char *)"1",
	                (char *)"--vdev",
	                (char *)"xvda",
	                (char *)"--timeout",
	                (char *)timeout,
	                NULL};

	snprintf(prog, sizeof prog, "%s/xenblkctl", h->build);
	return run(text, cap, argv);
}

/* A host where io_uring is forbidden is no host for xenblkd, and it says so before it takes disks.
 */
static void refused_at_start(struct host *h, const char *what, const char *says)
{
	char prog[512], dir[96], worker[512], text[4096];
	char *argv[] = {prog, (char *)"--embedded", dir, NULL};

	snprintf(prog, sizeof prog, "%s/tests/integration/worker_limited", h->build);
	snprintf(worker, sizeof worker, "%s/xenblkd", h->build);
	snprintf(dir, sizeof dir, "%s/second", h->dir);
	char *old = strdup(getenv("TEST_WORKER"));
	setenv("TEST_WORKER", worker, 1);
	limit(what);
	int status = run(text, sizeof text, argv);
	setenv("TEST_WORKER", old, 1);
	free(old);
	assert_int_equal(status, 1);
	assert_says(text, says);
}

static void forbidden_at_start(void **state)
{
	refused_at_start(*state, "uring", FORBIDDEN "a seccomp profile forbids it");
}

static void no_locked_memory(void **state)
{
	if (!geteuid()) {
		print_message("skipped: the limit of locked memory does not hold for root\n");
		skip();
	}
	refused_at_start(
	    *state, "locked",
	    "cannot set up io_uring: Cannot allocate memory; raise the limit of locked "
	    "memory, which is 0 KiB (ulimit -l, systemd's LimitMEMLOCK), or free memory");
}

/* Forbidden later: whoever attaches a disk hears it, at once. */
static void forbidden_at_attach(void **state)
{
	struct host *h = *state;
	char text[4096];

	limit("uring");
	assert_int_equal(attach(h, text, sizeof text, "20"), 1);
	assert_says(text, "cannot attach 1:xvda: " FORBIDDEN "a seccomp profile forbids it");
	host_wait_gone(h, "1:xvda");
}

/* Its claim would end with its worker: others could have the image while the guest has the disk. */
static void claim_cannot_be_kept(void **state)
{
	struct host *h = *state;
	char text[4096];

	limit("parcel");
	assert_int_equal(attach(h, text, sizeof text, "20"), 1);
	assert_says(text, "cannot attach 1:xvda: the claim of image ");
	assert_says(text, " cannot be kept: Operation not permitted");
	host_wait_gone(h, "1:xvda");
	limit("");
	if (attach(h, text, sizeof text, "20"))
		fail_msg("%s", text);
	host_detach(h, 1, XVDA);
}

/* A worker that cannot start: its own last words are the reason. Something ran short, so it is
 * tried again, and whoever waits for the disk hears meanwhile what it waits for. */
static void worker_lacks(void **state)
{
	struct host *h = *state;
	char text[4096];
	pid_t pid;

	limit("files");
	assert_int_equal(attach(h, text, sizeof text, "5"), 1);
	assert_says(text, "xenblkd did not open the image within 5 s: exit status 75: ");
	assert_says(text, "Too many open files");
	assert_says(text, "xenblkctl: 1:xvda: waiting: exit status 75: ");
	host_wait_gone(h, "1:xvda");
	pid = fork();
	if (!pid) {
		while (!strstr(status_text(h, "1:xvda", "error"), "exit status 75"))
			usleep(1000);
		usleep(700000); /* whoever waits asks more often than that */
		limit("");
		_exit(0);
	}
	if (attach(h, text, sizeof text, "20"))
		fail_msg("%s", text);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_says(text, "waiting: exit status 75: ");
	assert_says(text, "attached");
	assert_true(status_is(h, "1:xvda", "error", ""));
	assert_string_equal(error_node(h, 1, XVDA), "");
	host_detach(h, 1, XVDA);
}

/* The one number that is no disk's. One line; other disks are served. */
static void no_number(void **state)
{
	struct host *h = *state;
	const char *image = host_image(h, "a.img", SIZE);

	host_disk(h, &(struct disk){.devid = UINT32_MAX, .params = image});
	host_attach(h, &(struct disk){.params = image}, image);
	wait_until(status_is(h, "1:xvda", "image_state", "open"));
	assert_int_equal(host_log_count(h, "4294967295 is no disk's number"), 1);
	assert_false(host_log_has(h, "usage"));
	host_detach(h, 1, XVDA);
	host_remove_nodes(h, 1, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(forbidden_at_start, limited_setup, limited_teardown),
	    cmocka_unit_test_setup_teardown(no_locked_memory, limited_setup, limited_teardown),
	    cmocka_unit_test_setup_teardown(forbidden_at_attach, limited_setup, limited_teardown),
	    cmocka_unit_test_setup_teardown(claim_cannot_be_kept, limited_setup, limited_teardown),
	    cmocka_unit_test_setup_teardown(worker_lacks, limited_setup, limited_teardown),
	    cmocka_unit_test_setup_teardown(no_number, limited_setup, limited_teardown),
	};

	return cmocka_run_group_tests_name("reasons", tests, NULL, NULL);
}
