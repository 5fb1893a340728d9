/* SPDX-License-Identifier: MIT */
/* Live upgrade: of a worker, of the supervisor, of all; refused; and with a death at each step. */
#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/steps_list.h"
#include "package.h"

static char build[256];

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	package_start(h, build, "tests/integration/xenblkd_steps", "xenblkd-worker");
	*state = h;
	return 0;
}

static void end(struct host *h, struct xenblkfront *f)
{
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* The package is replaced under the running daemon: new workers are those of the daemon's own
 * version until it is told otherwise. */
static void worker_replaced(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");

	assert_true(runs_installed(h, worker, "xenblkd-worker"));
	install(h, build, "xenblkd-worker", "xenblkd-worker");
	assert_false(runs_installed(h, worker, "xenblkd-worker"));
	assert_int_equal(kill(worker, SIGKILL), 0);
	wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != worker);
	assert_reads(f, 0, SEED);
	assert_false(runs_installed(h, host_worker(h, "1:xvda"), "xenblkd-worker"));
	worker = host_worker(h, "1:xvda");
	assert_int_equal(ctl(h, f, "upgrade 1:xvda"), 0);
	assert_non_null(strstr(ctl_said(h), "1:xvda: worker replaced"));
	assert_int_not_equal(host_worker(h, "1:xvda"), worker);
	assert_true(runs_installed(h, host_worker(h, "1:xvda"), "xenblkd-worker"));
	assert_int_equal(workers_of(h), 1);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	/* It counts as no death, however often. */
	for (int i = 0; i < 8; i++)
		assert_int_equal(ctl(h, f, "upgrade 1:xvda"), 0);
	assert_int_equal(status_number(h, "1:xvda", "faults"), 0);
	end(h, f);
}

/* Without a front end, too. */
static void idle_disk(void **state)
{
	struct host *h = *state;
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	wait_image_open(h, "1:xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_int_equal(ctl(h, NULL, "upgrade 1:xvda"), 0);
	assert_non_null(
	    strstr(ctl_said(h), "1:xvda: no front end is connected: the old worker has ended"));
	wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != worker);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, SEED);
	end(h, f);
}

/* What is installed is no worker, or one that could not go on: nothing is touched. */
static void worker_refused(void **state)
{
	static const struct {
		const char *program, *why;
	} cases[] = {
	    {"/bin/false", "the new xenblkd-worker ended at once"},
	    {"tests/integration/worker_future",
	     "speaks version 1000, this xenblkd 5; upgrade xenblkd"},
	    {"tests/integration/worker_journal", "has version 2, this worker knows 999 and 1000"},
	    {"tests/integration/worker_mute", "the new one does not answer"},
	};
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		install(h, build, cases[i].program, "xenblkd-worker");
		assert_int_equal(ctl(h, f, "upgrade 1:xvda"), 1);
		if (!strstr(ctl_said(h), cases[i].why))
			fail_msg("%s: %s", cases[i].program, ctl_said(h));
		assert_int_equal(host_worker(h, "1:xvda"), worker);
		assert_int_equal(workers_of(h), 1);
	}
	uninstall(h, "xenblkd-worker");
	assert_int_equal(ctl(h, f, "upgrade 1:xvda"), 1);
	assert_non_null(strstr(ctl_said(h), "install xenblkd completely"));
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	assert_int_equal(ctl(h, f, "upgrade 7:xvda"), 1);
	assert_non_null(strstr(ctl_said(h), "no disk \"7:xvda\""));
	/* Workers that are started now are still good ones. */
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_reads(f, 0, SEED);
	end(h, f);
}

/* Another image has taken the name: the disk goes on with the one that it was attached with, and
 * says so. */
static void image_renamed_over(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	char image[1024], other[200];

	snprintf(image, sizeof image, "%s", status_text(h, "1:xvda", "target"));
	make_image(h, "other.img", 9, other);
	assert_int_equal(rename(other, image), 0);
	assert_int_equal(ctl(h, f, "upgrade 1:xvda"), 0);
	assert_reads(f, 0, SEED);
	assert_non_null(strstr(status_text(h, "1:xvda", "warning"), "another file has its name"));
	/* By whatever way a worker starts. */
	for (int round = 0; round < 3; round++) {
		pid_t worker = host_worker(h, "1:xvda");
		assert_true(worker > 0);
		if (round)
			host_daemon_kill(h, SIGKILL);
		assert_int_equal(kill(worker, SIGKILL), 0);
		if (round)
			host_daemon_start(h, NULL);
		assert_reads(f, 0, SEED);
	}
	end(h, f);
}

static json_t *version_of(struct host *h)
{
	json_t *answer = host_control(h, "version", NULL);
	json_t *result = json_incref(json_object_get(answer, "result"));

	json_decref(answer);
	return result;
}

static void assert_version(struct host *h, const char *version)
{
	json_t *v = version_of(h);

	assert_string_equal(json_string_value(json_object_get(v, "version")), version);
	assert_int_equal(json_integer_value(json_object_get(v, "pid")), h->daemon);
	json_decref(v);
}

static int client_open(struct host *h)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/control.sock", h->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static void client_says(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void client_hears(int fd, const char *want)
{
	char text[4096];
	size_t n = 0;

	/* One line: the next one may be there already. */
	do
		assert_int_equal(read(fd, text + n, 1), 1);
	while (text[n++] != '\n' && n < sizeof text - 1);
	text[n] = '\0';
	assert_non_null(strstr(text, want));
}

/* Another version, the same process; no I/O stops, no worker changes, nobody who talks to it hears
 * of it, and nobody else gets in. */
static void supervisor_replaced(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");
	int idle = client_open(h), half = client_open(h), asker = client_open(h);
	char command[400];

	client_says(idle, "{\"cmd\":\"version\"}\n");
	client_hears(idle, "9.9.9");
	client_says(half, "{\"cmd\":\"vers");
	install(h, build, "xenblkd", "xenblkd");
	client_says(asker, "{\"cmd\":\"upgrade\"}\n{\"cmd\":\"list\"}\n");
	client_hears(asker, "\"version\":\"0.1.0\"");
	client_hears(asker, "1:xvda");
	client_says(half, "ion\"}\n");
	client_hears(half, "0.1.0");
	client_says(idle, "{\"cmd\":\"version\"}\n");
	client_hears(idle, "0.1.0");
	close(idle);
	close(half);
	close(asker);
	assert_version(h, "0.1.0");
	assert_true(runs_installed(h, h->daemon, "xenblkd"));
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	assert_reads(f, 0, SEED);
	snprintf(command, sizeof command,
	         "'%s/xenblkd' --embedded '%s' 2>&1 | grep -q 'another xenblkd'", h->programs,
	         h->dir);
	assert_int_equal(system(command), 0);
	/* Its children are still its own: a fault of theirs is seen. */
	assert_int_equal(kill(worker, SIGSYS), 0);
	assert_reads(f, 0, SEED);
	wait_until(!strcmp(status_text(h, "1:xvda", "last_death"),
	                   "killed by signal 31 (Bad system call)"));
	end(h, f);
}

static int entries(const char *fmt, pid_t pid)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof path, fmt, (int)pid);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int zombies_of(pid_t pid)
{
	char command[100];
	int n = -1;

	snprintf(command, sizeof command, "ps --ppid %d -o stat= | grep -c '^Z'", (int)pid);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

/* Again and again: descriptors, memory and processes stay as many as they were. */
static void no_leak(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);

	assert_int_equal(ctl(h, f, "upgrade --all"), 0);
	int fds = entries("/proc/%d/fd", h->daemon);
	int threads = entries("/proc/%d/task", h->daemon);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ctl(h, f, "upgrade --all"), 0);
	wait_until(entries("/proc/%d/fd", h->daemon) == fds);
	assert_int_equal(entries("/proc/%d/task", h->daemon), threads);
	assert_int_equal(zombies_of(h->daemon), 0);
	assert_int_equal(workers_of(h), 1);
	end(h, f);
}

/* What is installed is no xenblkd, or does not answer: the old one goes on. */
static void supervisor_refused(void **state)
{
	static const struct {
		const char *program, *why;
	} cases[] = {
	    {"/bin/false", "it ends at once"},
	    {"tests/integration/worker_mute", "does not answer"},
	    {"/bin/ls", "unrecognized option"},
	};
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		install(h, build, cases[i].program, "xenblkd");
		assert_int_equal(ctl(h, f, "upgrade"), 1);
		if (!strstr(ctl_said(h), cases[i].why))
			fail_msg("%s: %s", cases[i].program, ctl_said(h));
		assert_non_null(strstr(ctl_said(h), "xenblkd stays what it is"));
		assert_version(h, "9.9.9");
	}
	uninstall(h, "xenblkd");
	assert_int_equal(ctl(h, f, "upgrade"), 1);
	assert_version(h, "9.9.9");
	install(h, build, "xenblkd", "xenblkd");
	uninstall(h, "xenblkd-worker");
	assert_int_equal(ctl(h, f, "upgrade"), 1);
	assert_non_null(strstr(ctl_said(h), "install xenblkd completely"));
	assert_version(h, "9.9.9");
	end(h, f);
}

/* All: the supervisor, then disk after disk; one that refuses does not keep the others from it. */
static void everything(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	char image[200], path[100];

	make_image(h, "b.img", 6, image);
	host_attach(h, &(struct disk){.domid = 2, .params = image}, image);
	struct xenblkfront *f2 = host_front_connected(h, 2, "xvda");
	pid_t one = host_worker(h, "1:xvda"), two = host_worker(h, "2:xvda");
	install(h, build, "xenblkd", "xenblkd");
	install(h, build, "xenblkd-worker", "xenblkd-worker");
	/* Its journal is not what the worker has mapped: nobody could go on with that. */
	snprintf(path, sizeof path, "%s/disks/2:xvda/journal-0", h->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ctl(h, f, "upgrade --all"), 1);
	assert_non_null(strstr(ctl_said(h), "xenblkd is version 0.1.0 now"));
	assert_non_null(strstr(ctl_said(h), "1:xvda: worker replaced"));
	assert_non_null(strstr(ctl_said(h), "disk 2:xvda: the worker stays what it is: journal"));
	assert_int_not_equal(host_worker(h, "1:xvda"), one);
	assert_int_equal(host_worker(h, "2:xvda"), two);
	assert_reads(f2, 0, 6);
	front_end(f2);
	host_detach(h, 2, XVDA);
	end(h, f);
}

/* Who asked is gone before the answer: no matter. */
static void asker_leaves(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");

	int fd = client_open(h);
	client_says(fd, "{\"cmd\":\"upgrade\",\"id\":\"1:xvda\"}\n");
	close(fd);
	wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != worker);
	assert_reads(f, 0, SEED);
	fd = client_open(h);
	client_says(fd, "{\"cmd\":\"upgrade\"}\n");
	close(fd);
	assert_reads(f, 0, SEED);
	assert_version(h, "9.9.9");
	end(h, f);
}

/* The supervisor, the old or the new worker dies at each step: the guest goes on, and in the end
 * one worker serves it. */
static void dies_at(struct host *h, struct xenblkfront *f, unsigned step, unsigned who)
{
	bool own = step >= STEP_EXEC;
	char at[40];

	host_daemon_kill(h, SIGKILL);
	snprintf(at, sizeof at, "%u %u", step, who);
	/* With that step it would not even start. */
	if (step == STEP_ADOPTING)
		host_daemon_start(h, NULL);
	setenv("XENBLKD_DIE_AT", at, 1);
	if (step != STEP_ADOPTING)
		host_daemon_start(h, NULL);
	wait_until(status_is(h, "1:xvda", "ring_state", "connected"));
	if (step == STEP_ADOPTING) {
		/* A start that dies in the middle of taking over. */
		host_daemon_kill(h, SIGKILL);
		pid_t pid = fork();
		if (!pid) {
			char program[300];
			snprintf(program, sizeof program, "%s/xenblkd", h->programs);
			execl(program, "xenblkd", "--embedded", h->dir, NULL);
			_exit(127);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_reads(f, 0, SEED);
	} else {
		pid_t asks = ctl_start(h, own ? "upgrade" : "upgrade 1:xvda");
		int status, rc = 0;
		while (waitpid(asks, &status, WNOHANG) != asks) {
			/* Once the supervisor is dead, nobody brings the ring up again. */
			if (who && !rc)
				assert_reads(f, 0, SEED);
			usleep(1000);
		}
		if (!who)
			host_daemon_kill(h, SIGKILL);
		/* How it ended says more than that it does not listen any more. */
		if (who == 2)
			assert_null(strstr(ctl_said(h), "takes no message"));
	}
	unsetenv("XENBLKD_DIE_AT");
	if (!h->daemon || !who)
		host_daemon_start(h, NULL);
	assert_reads(f, 0, SEED);
	wait_until(status_is(h, "1:xvda", "ring_state", "connected"));
	wait_until(workers_of(h) == 1);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	/* This very one, and it was there. */
	snprintf(at, sizeof at, "killed at step %u: %u\n", step, who);
	if (step != STEP_ADOPTING)
		assert_int_equal(host_log_count(h, at), 1);
	assert_false(host_log_has(h, "nobody to kill"));
}

/* The old worker has ended when the ring is drained, and the supervisor changes without either. */
static bool is_there(unsigned step, unsigned who)
{
	return !who || (who == 1 && step < STEP_DRAINED) || (who == 2 && step < STEP_EXEC);
}

static void dies_at_each_step(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);

	for (unsigned step = 0; step < STEPS; step++)
		for (unsigned who = 0; who < 3; who++)
			if (is_there(step, who))
				dies_at(h, f, step, who);
	end(h, f);
}

/* Killed before anything is said to it, a new worker has died like any other. */
static void dies_at_its_start(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	char at[40];

	pid_t worker = host_worker(h, "1:xvda");
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	snprintf(at, sizeof at, "%u 2", STEP_SPAWNED);
	setenv("XENBLKD_DIE_AT", at, 1);
	host_daemon_start(h, NULL);
	unsetenv("XENBLKD_DIE_AT");
	assert_reads(f, 0, SEED);
	snprintf(at, sizeof at, "killed at step %u: 2\n", STEP_SPAWNED);
	assert_int_equal(host_log_count(h, at), 1);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	assert_int_equal(workers_of(h), 1);
	end(h, f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(worker_replaced),    T(idle_disk),           T(worker_refused),
	    T(image_renamed_over), T(supervisor_replaced), T(no_leak),
	    T(everything),         T(supervisor_refused),  T(asker_leaves),
	    T(dies_at_each_step),  T(dies_at_its_start),
	};

	return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
