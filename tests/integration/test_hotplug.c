/* SPDX-License-Identifier: MIT */
/* xl's hotplug script while the supervisor is dead, stopped or being started again. */
#include <fcntl.h>

#include "nodes.h"

#define ID "1:xvda"
#define SCRIPT "/etc/xen/scripts/block-xenblkd"

/* As xl starts it; what it says is in the run directory's "said". */
static pid_t script_start(struct host *h, const char *action)
{
	char program[300], out[100], path[64];

	snprintf(program, sizeof program, "%s/xenblkctl", h->build);
	snprintf(out, sizeof out, "%s/said", h->dir);
	snprintf(path, sizeof path, "backend/vbd/1/%u", XVDA);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("XENBUS_PATH", path, 1);
		execl(program, "xenblkctl", "--run-dir", h->dir, "hotplug", action, NULL);
		_exit(127);
	}
	return pid;
}

static const char *script_said(struct host *h)
{
	static char text[1024];
	char path[100];
	int fd;

	snprintf(path, sizeof path, "%s/said", h->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static int script_end(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool script_runs(pid_t pid)
{
	return !waitpid(pid, NULL, WNOHANG);
}

static void make(struct host *h, struct node *n, char path[200])
{
	make_image(h, "a.img", 1, path);
	*n = (struct node){.kind = "vbd", .params = path, .script = SCRIPT};
	node_make(h, n);
	node_wait(h, n, XS_INITWAIT);
}

/* xl create is between InitWait and the guest's start when the supervisor dies. */
static void add_meanwhile(void **state)
{
	struct host *h = *state;
	struct node n;
	char path[200];

	make(h, &n, path);
	host_daemon_kill(h, SIGKILL);
	pid_t script = script_start(h, "add");
	wait_until(strstr(script_said(h), "waiting: no xenblkd is running"));
	assert_true(script_runs(script));
	host_daemon_start(h, NULL);
	if (script_end(script))
		fail_msg("%s", script_said(h));
	assert_string_equal(host_read(h, n.be, "hotplug-status"), "connected");
	assert_true(status_is(h, ID, "image_state", "open"));
	node_serves(h, 1);
	node_detach(h, &n);
}

/* It dies while it is asked. */
static void add_without_an_answer(void **state)
{
	struct host *h = *state;
	struct node n;
	char path[200];

	make(h, &n, path);
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	pid_t script = script_start(h, "add");
	usleep(QUIET_MS * 1000);
	assert_true(script_runs(script));
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	if (script_end(script))
		fail_msg("%s", script_said(h));
	assert_true(status_is(h, ID, "image_state", "open"));
	node_detach(h, &n);
}

/* `remove` has ended well only when the image is free: xl gives it to the next guest. */
static void remove_meanwhile(void **state)
{
	struct host *h = *state;
	struct node n;
	char path[200];

	make(h, &n, path);
	assert_int_equal(script_end(script_start(h, "add")), 0);
	node_serves(h, 1);
	/* Its worker still has the image. */
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	pid_t script = script_start(h, "remove");
	usleep(QUIET_MS * 1000);
	assert_true(script_runs(script));
	/* The next supervisor does not know yet what that worker has. */
	assert_int_equal(kill(worker, SIGSTOP), 0);
	host_daemon_start(h, NULL);
	usleep(QUIET_MS * 1000);
	assert_true(script_runs(script));
	assert_int_equal(kill(worker, SIGCONT), 0);
	node_offline(h, &n);
	assert_int_equal(script_end(script), 0);
	assert_string_equal(script_said(h), "");
	assert_false(status_number(h, ID, "image_held"));
	assert_false(status_is(h, ID, "image_state", "open"));
	node_remove(h, &n);
}

static void remove_without_anybody(void **state)
{
	struct host *h = *state;
	struct node n;
	char path[200];

	make(h, &n, path);
	assert_int_equal(script_end(script_start(h, "add")), 0);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(script_end(script_start(h, "remove")), 1);
	assert_non_null(strstr(script_said(h), ID ": its image may be in use still: no xenblkd is "
	                                          "running in "));
	host_daemon_start(h, NULL);
	node_detach(h, &n);
}

#define T(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(add_meanwhile),
	    T(add_without_an_answer),
	    T(remove_meanwhile),
	    T(remove_without_anybody),
	};

	return cmocka_run_group_tests_name("hotplug", tests, NULL, NULL);
}
