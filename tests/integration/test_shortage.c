/* SPDX-License-Identifier: MIT */
/* What xenblkd needs runs short for a while: no disk is lost by that, the reason is said meanwhile,
 * and all goes on when there is enough again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define SIZE (4ull << 20)
#define NO_SPACE (-13) /* GNTST_no_space: ENOMEM for who maps */

static const char *error_node(struct host *h)
{
	char node[STORE_PATH_MAX];

	snprintf(node, sizeof node, "/local/domain/0/error/backend/vbd/1/%u", XVDA);
	return host_read(h, node, "error");
}

static void wait_node(struct host *h, const char *text)
{
	for (int i = 0; i < WAIT_MS / 10; i++, usleep(10000))
		if (*text ? strstr(error_node(h), text) != NULL : !*error_node(h))
			return;
	fail_msg("error node: \"%s\", not \"%s\"", error_node(h), text);
}

/* Returns what it was. */
static struct rlimit limit(struct host *h, enum __rlimit_resource which, rlim_t now)
{
	struct rlimit old, r;

	assert_int_equal(prlimit(h->daemon, which, NULL, &old), 0);
	r = (struct rlimit){now < old.rlim_max ? now : old.rlim_max, old.rlim_max};
	assert_int_equal(prlimit(h->daemon, which, &r, NULL), 0);
	return old;
}

static void assert_reads(struct xenblkfront *f)
{
	char got[65536], want[65536];

	assert_front(f, xenblkfront_read(f, 1 << 20, got, sizeof got));
	host_pattern(want, 1 << 20, sizeof want, 7);
	assert_memory_equal(got, want, sizeof got);
}

static void assert_healthy(struct host *h)
{
	json_t *s;

	wait_node(h, "");
	s = host_status(h, "1:xvda");
	assert_non_null(s);
	assert_true(json_is_null(json_object_get(s, "error")));
	json_decref(s);
}

static const char *make_image(struct host *h)
{
	const char *image = host_image(h, "a.img", SIZE);

	host_fill(image, SIZE, 7);
	return image;
}

/* A worker dies while no descriptor is left: the disk stays connected, and its next worker comes
 * when there are some. */
static void worker_dies(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f);
	pid_t worker = host_worker(h, "1:xvda");
	struct rlimit old = limit(h, RLIMIT_NOFILE, 4);
	kill(worker, SIGKILL);
	wait_node(h, "Too many open files; xenblkd tries again; raise the limit of open files");
	assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, 1000));
	limit(h, RLIMIT_NOFILE, old.rlim_cur);
	assert_reads(f);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_healthy(h);
	/* Said once, however often it was tried. */
	assert_int_equal(host_log_count(h, "xenblkd tries again"), 1);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The number that the daemon's next descriptor gets. */
static int lowest_free(const struct host *h)
{
	char path[40], target[8];
	int n = 0;

	do
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)h->daemon, ++n);
	while (readlink(path, target, sizeof target) >= 0);
	return n;
}

/* The same, with every number of descriptors that lets it come further: to the image, the program,
 * the process, its line. None of these places takes the disk away. */
static void each_descriptor(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f);
	int lowest = lowest_free(h);
	for (int more = 0; more < 8; more++) {
		pid_t worker = host_worker(h, "1:xvda");
		struct rlimit old = limit(h, RLIMIT_NOFILE, (rlim_t)(lowest + more));
		kill(worker, SIGKILL);
		assert_true(host_state_stays(h, 1, XVDA, XS_CONNECTED, 150));
		limit(h, RLIMIT_NOFILE, old.rlim_cur);
		assert_reads(f);
		assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	}
	assert_healthy(h);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* A disk is attached meanwhile: it stays in InitWait, and its image is opened later. */
static void attach(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_disk(h, &(struct disk){.params = image});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	struct rlimit old = limit(h, RLIMIT_NOFILE, 4);
	host_script(h, 1, XVDA, image);
	wait_node(h, "Too many open files; xenblkd tries again");
	assert_true(host_state_stays(h, 1, XVDA, XS_INITWAIT, 500));
	limit(h, RLIMIT_NOFILE, old.rlim_cur);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f);
	assert_healthy(h);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* It is removed while it waits: nothing holds that up. */
static void removed_meanwhile(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);

	host_disk(h, &(struct disk){.params = image});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	struct rlimit old = limit(h, RLIMIT_NOFILE, 4);
	host_script(h, 1, XVDA, image);
	wait_node(h, "Too many open files");
	host_offline(h, 1, XVDA);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	host_remove_nodes(h, 1, XVDA);
	limit(h, RLIMIT_NOFILE, old.rlim_cur);
	host_wait_gone(h, "1:xvda");
	wait_node(h, "");
}

/* No more processes. */
static void processes(void **state)
{
	struct host *h = *state;
	const char *image;

	if (!geteuid()) {
		print_message("# the limit of processes does not hold for root\n");
		skip();
	}
	image = make_image(h);
	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct rlimit old = limit(h, RLIMIT_NPROC, 0);
	kill(host_worker(h, "1:xvda"), SIGKILL);
	wait_node(h, "raise the limit of processes");
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	limit(h, RLIMIT_NPROC, old.rlim_cur);
	assert_reads(f);
	assert_healthy(h);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The control socket takes callers again, too; until then they wait. */
static void control(void **state)
{
	struct host *h = *state;
	struct rlimit old = limit(h, RLIMIT_NOFILE, 4);
	pid_t pid = fork();

	if (!pid) {
		json_t *a = host_control(h, "version", NULL);
		_exit(json_is_true(json_object_get(a, "ok")) ? 0 : 1);
	}
	int status;
	usleep(300000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	limit(h, RLIMIT_NOFILE, old.rlim_cur);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* One line of the control socket. */
static bool asks(struct host *h, int sock)
{
	char answer[4096];

	if (send(sock, "{\"cmd\":\"version\"}\n", 18, MSG_NOSIGNAL) != 18)
		return false;
	return recv(sock, answer, sizeof answer, 0) > 0;
}

static int call(struct host *h)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", h->dir);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	return fd;
}

/* Whoever wants to know what is wrong can ask, also while another caller sits on the descriptor
 * that was kept for that. */
static void control_socket(void **state)
{
	struct host *h = *state;
	struct rlimit old = limit(h, RLIMIT_NOFILE, (rlim_t)lowest_free(h));
	int idle = call(h), one;

	assert_true(asks(h, idle));
	for (int i = 0; i < 3; i++) {
		one = call(h);
		assert_true(asks(h, one));
		close(one);
	}
	/* That one had to go. */
	assert_false(asks(h, idle));
	close(idle);
	assert_true(host_log_has(h, "clients are connected, Too many open files: the one that"));
	limit(h, RLIMIT_NOFILE, old.rlim_cur);
	one = call(h);
	idle = call(h);
	assert_true(asks(h, one) && asks(h, idle));
	close(one);
	close(idle);
}

#define FIRST_REF 8 /* that a new domain grants: here its ring */

/* The ring cannot be mapped for a while: the front end is connected later. */
static void ring(void **state)
{
	struct host *h = *state;
	const char *image = make_image(h);
	char line[64];
	struct error err = {""};

	host_attach(h, &(struct disk){.params = image}, image);
	snprintf(line, sizeof line, "grant 1 %u %d 3", FIRST_REF, NO_SPACE);
	if (xen_fault(h->xen, line, &err))
		fail_msg("%s", err.text);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_true(host_log_has(h, "cannot map ring of 1 page, first reference 8: Cannot "
	                            "allocate memory; xenblkd tries again"));
	assert_reads(f);
	assert_healthy(h);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(worker_dies, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(each_descriptor, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(attach, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(removed_meanwhile, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(ring, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(processes, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(control, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(control_socket, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("shortage", tests, NULL, NULL);
}
