/* SPDX-License-Identifier: MIT */
/* xenblkctl as people run it: words, exit status, and what is in xenstore afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "control.h"

#define OUTPUT_MAX 65536

static char output[OUTPUT_MAX]; /* of the last xenblkctl, both streams */

/* Starts xenblkctl with the words of line. Output goes to *fd. */
static pid_t start(struct host *h, const char *line, int *fd)
{
	char program[300], run_dir[80], words[1024], *argv[24] = {"xenblkctl", run_dir},
	                                             *save = NULL;
	int out[2], argc = 2;

	snprintf(program, sizeof program, "%s/xenblkctl", h->build);
	snprintf(run_dir, sizeof run_dir, "--run-dir=%s", h->dir);
	snprintf(words, sizeof words, "%s", line);
	for (char *w = strtok_r(words, " ", &save); w && argc < 23; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execv(program, argv);
		_exit(127);
	}
	close(out[1]);
	*fd = out[0];
	return pid;
}

/* Its exit status; output is filled. */
static int finish(pid_t pid, int fd)
{
	size_t len = 0;
	ssize_t n;
	int status;

	while ((n = read(fd, output + len, sizeof output - 1 - len)) > 0)
		len += (size_t)n;
	output[len] = '\0';
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int __attribute__((format(printf, 2, 3))) ctl(struct host *h, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	pid_t pid = start(h, line, &fd);
	return finish(pid, fd);
}

#define assert_says(text)                                               \
	do {                                                            \
		if (!strstr(output, text))                              \
			fail_msg("\"%s\" is not in: %s", text, output); \
	} while (0)

/* One line, of this program. */
#define assert_one_error_line()                                                      \
	do {                                                                         \
		assert_int_equal(strncmp(output, "xenblkctl: ", 11), 0);             \
		assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1); \
	} while (0)

static bool node(struct host *h, const char *path)
{
	return store_exists(h->store, XBT_NULL, path, NULL);
}

/* Nothing of domain 1 is left, neither nodes nor the domain. */
static void assert_nothing_left(struct host *h)
{
	struct xen_usage usage;
	char **names;
	unsigned n;

	assert_false(node(h, "/local/domain/1"));
	assert_false(node(h, "/libxl/1"));
	assert_false(node(h, "/local/domain/0/backend/vbd/1"));
	assert_int_equal(store_list(h->store, XBT_NULL, "/vm", &names, &n), 0);
	free(names);
	assert_int_equal(n, 0);
	assert_int_equal(xen_usage(h->xen, &usage), 0);
	assert_int_equal(usage.domains, 0);
}

static void attach_and_detach(void **state)
{
	struct host *h = *state;
	char path[200], want[300], worker[32];

	make_image(h, "a.img", 1, path);
	assert_int_equal(ctl(h, "attach %s --domain 1 --vdev xvda", path), 0);
	snprintf(want, sizeof want, "1:xvda attached: %s (1 MiB, read-write)\n", path);
	assert_string_equal(output, want);
	assert_string_equal(host_read(h, host_be(1, XVDA), "hotplug-status"), "connected");
	assert_string_equal(host_read(h, host_be(1, XVDA), "physical-device-path"), path);
	assert_string_equal(host_read(h, host_be(1, XVDA), "state"), "2");

	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 1);
	assert_int_equal(ctl(h, "list"), 0);
	assert_says("ID      STATE      FRONT END");
	assert_says("1:xvda  Connected  Connected  open   1 MiB  w     /");
	assert_int_equal(ctl(h, "status 1:51712"), 0);
	snprintf(worker, sizeof worker, "worker         %d\n", host_worker(h, "1:xvda"));
	assert_says("disk           1:xvda\n");
	assert_says("size           1 MiB: 2048 sectors of 512 bytes");
	assert_says("x86_64-abi, 1 page, 1 queue, connected\n");
	assert_says(worker);
	assert_null(strstr(output, "refused"));
	struct xenblkfront_request nothing = {.op = BLKIF_OP_READ};
	assert_int_equal(host_request(f, &nothing), BLKIF_RSP_ERROR);
	assert_int_equal(ctl(h, "status 1:xvda"), 0);
	assert_says("refused        1 of 1 refused requests: it has no segments, or more than are "
	            "offered (bad-segments)\n");
	assert_int_equal(ctl(h, "stats 1:xvda"), 0);
	assert_says("1:xvda      2  64 KiB       0  0 bytes");
	front_end(f);

	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
	assert_string_equal(output, "1:xvda detached\n");
	assert_nothing_left(h);
	assert_int_equal(ctl(h, "list"), 0);
	assert_string_equal(output, "no disks\n");
}

static json_t *answer(void)
{
	json_t *j = json_loads(output, 0, NULL);

	assert_non_null(j);
	return j;
}

static void json_output(void **state)
{
	struct host *h = *state;
	json_t *j;

	assert_int_equal(ctl(h, "list --json"), 0);
	assert_string_equal(output, "[]\n");
	assert_int_equal(ctl(h, "attach null:1G --domain 1 --vdev xvdb"), 0);
	assert_string_equal(output, "1:xvdb attached: null:1G (1 GiB, read-write)\n");
	assert_int_equal(ctl(h, "list --json"), 0);
	j = answer();
	assert_int_equal(json_array_size(j), 1);
	json_decref(j);
	assert_int_equal(ctl(h, "status 1:xvdb --json"), 0);
	j = answer();
	assert_string_equal(json_string_value(json_object_get(j, "id")), "1:xvdb");
	assert_int_equal(json_integer_value(json_object_get(j, "sectors")), 2097152);
	json_decref(j);
	assert_int_equal(ctl(h, "stats --json"), 0);
	j = answer();
	assert_int_equal(json_integer_value(json_object_get(json_array_get(j, 0), "rd_req")), 0);
	json_decref(j);
	assert_int_equal(ctl(h, "usage --json"), 0);
	j = answer();
	assert_int_equal(json_integer_value(json_object_get(j, "domains")), 1);
	json_decref(j);
	assert_int_equal(ctl(h, "version --json"), 0);
	j = answer();
	assert_string_equal(json_string_value(json_object_get(j, "xenblkd")),
	                    json_string_value(json_object_get(j, "xenblkctl")));
	json_decref(j);
	assert_int_equal(ctl(h, "detach 1:xvdb"), 0);
}

/* The domain goes with its last disk, and only if attach made it. */
static void domains(void **state)
{
	struct host *h = *state;

	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvdb --no-script"), 0);
	assert_string_equal(host_read(h, host_be(1, XVDB), "script"), "");
	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
	assert_string_equal(host_read(h, "/local/domain/1", "domid"), "1");
	assert_int_equal(ctl(h, "detach 1:xvdb"), 0);
	assert_nothing_left(h);

	assert_int_equal(xen_domain_create(h->xen, 1, NULL), 0);
	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
	assert_string_equal(host_read(h, "/local/domain/1", "domid"), "1");
	assert_int_equal(xen_domain_destroy(h->xen, 1, NULL), 0);
}

static void attach_fails(void **state)
{
	struct host *h = *state;
	char path[200];

	assert_int_equal(ctl(h, "attach /nonexistent/a.img --domain 1 --vdev xvda"), 1);
	assert_one_error_line();
	assert_says("cannot attach 1:xvda: ");
	assert_says("/nonexistent/a.img");
	assert_says("no such image");
	assert_nothing_left(h);
	assert_int_equal(ctl(h, "attach /tmp --domain 1 --vdev xvda --no-script"), 1);
	assert_one_error_line();
	assert_nothing_left(h);
	assert_int_equal(ctl(h, "attach qcow2:/x --domain 1 --vdev xvda"), 1);
	assert_one_error_line();
	assert_says("qcow2");
	assert_nothing_left(h);

	make_image(h, "a.img", 1, path);
	assert_int_equal(ctl(h, "attach %s --domain 1 --vdev xvda --mode r", path), 0);
	assert_says("read-only");
	assert_int_equal(ctl(h, "attach %s --domain 1 --vdev xvda", path), 1);
	assert_one_error_line();
	assert_says("1:xvda is attached already");
	assert_string_equal(status_text(h, "1:xvda", "image_state"), "open");
	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
	assert_int_equal(ctl(h, "detach 1:xvda"), 1);
	assert_one_error_line();
	assert_says("1:xvda is not attached");
	assert_int_equal(ctl(h, "status 1:xvda"), 1);
	assert_one_error_line();
	assert_int_equal(ctl(h, "attach %s --domain 0 --vdev xvda", path), 2);
	assert_one_error_line();
	assert_says("`0`");
	assert_int_equal(ctl(h, "attach %s --domain 1 --vdev zvda", path), 2);
	assert_int_equal(ctl(h, "attach %s --domain 1 --vdev xvda --mode x", path), 2);
	assert_nothing_left(h);
}

/* A guest that does not let go: ^C says what is left, a later detach finishes it. */
static void interrupted(void **state)
{
	struct host *h = *state;
	int fd;

	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t pid = start(h, "detach 1:xvda", &fd);
	wait_until(!strcmp(host_read(h, host_be(1, XVDA), "online"), "0"));
	usleep(100000);
	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(finish(pid, fd), 1);
	assert_one_error_line();
	assert_says("interrupted");
	assert_says("left closing");
	assert_true(node(h, host_be(1, XVDA)));
	front_end(f);
	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
	assert_nothing_left(h);
}

static void forced(void **state)
{
	struct host *h = *state;

	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	uint64_t began = clock_ns();
	assert_int_equal(ctl(h, "detach 1:xvda --force"), 0);
	assert_true(ms_since(began) < 10000);
	host_wait_gone(h, "1:xvda");
	xenblkfront_close(f);
	assert_nothing_left(h);
}

static void without_daemon(void **state)
{
	struct host *h = *state;
	uint64_t began;

	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	host_daemon_kill(h, SIGKILL);
	began = clock_ns();
	static const char *const lines[] = {"list",
	                                    "status 1:xvda",
	                                    "stats",
	                                    "shutdown",
	                                    "attach null:1M --domain 2 --vdev xvda",
	                                    "detach 1:xvda"};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		assert_int_equal(ctl(h, "%s", lines[i]), 1);
		assert_one_error_line();
		assert_says("no xenblkd is running in /");
		assert_says("xenblkd --embedded DIR");
	}
	assert_int_equal(ctl(h, "version"), 0);
	assert_says("not running");
	assert_true(ms_since(began) < 10000); /* so long each waits for a daemon */
	assert_false(node(h, "/local/domain/2"));
	assert_string_equal(host_read(h, host_be(1, XVDA), "online"), "1");
	assert_int_equal(ctl(h, "detach 1:xvda --force"), 0);
	assert_false(node(h, host_be(1, XVDA)));
	host_daemon_start(h, NULL);
	assert_int_equal(ctl(h, "list"), 0);
}

static void shutdown_waits(void **state)
{
	struct host *h = *state;
	int status;

	assert_int_equal(ctl(h, "shutdown"), 0);
	assert_string_equal(output, "xenblkd stopped\n");
	assert_int_equal(waitpid(h->daemon, &status, 0), h->daemon);
	h->daemon = 0;
	assert_int_equal(status, 0);
}

static void faults(void **state)
{
	struct host *h = *state;

	assert_int_equal(ctl(h, "fault conflict 3"), 0);
	assert_int_equal(ctl(h, "attach null:1M --domain 1 --vdev xvda"), 0);
	assert_int_equal(ctl(h, "fault clear"), 0);
	assert_int_equal(ctl(h, "fault frobnicate"), 1);
	assert_one_error_line();
	assert_says("frobnicate");
	assert_int_equal(ctl(h, "detach 1:xvda"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(attach_and_detach), case_of(json_output),    case_of(domains),
	    case_of(attach_fails),      case_of(interrupted),    case_of(forced),
	    case_of(without_daemon),    case_of(shutdown_waits), case_of(faults),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
