/* SPDX-License-Identifier: MIT */
/*
 * What a worker logs is its disk's, whatever it writes: it forges nobody else's lines, does not
 * fill the log, and loses lines rather than wait for a reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "adopt.h"

/* The worker's log, as one has it that runs the guest's code in it. */
static int log_of(pid_t worker)
{
	char path[40];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/fd/2", (int)worker);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void says(pid_t worker, const char *text, size_t n)
{
	int fd = log_of(worker);

	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

/* Lines that are this, whole. */
static unsigned lines(const struct host *h, const char *want)
{
	FILE *f = fopen(h->log, "r");
	char line[2048];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		n += !strcmp(line, want);
	}
	fclose(f);
	return n;
}

static off_t log_size(const struct host *h)
{
	struct stat st;

	assert_int_equal(stat(h->log, &st), 0);
	return st.st_size;
}

static void lines_have_its_name(void **state)
{
	static const char forged[] = "harmless\nxenblkd: 2:xvda: gone\n\033[2J\r\a\nnul\0byte\nend";
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	wait_until(lines(h, "xenblkd 1:xvda: mapped the rings: 1 queue of 1 page, x86_64-abi"));
	says(t.worker, forged, sizeof forged - 1);
	/* What has no end yet is no line yet. */
	wait_until(lines(h, "xenblkd 1:xvda: nul?byte"));
	assert_false(host_log_has(h, "1:xvda: end"));
	assert_true(lines(h, "xenblkd 1:xvda: harmless"));
	assert_true(lines(h, "xenblkd 1:xvda: xenblkd: 2:xvda: gone"));
	assert_false(lines(h, "xenblkd: 2:xvda: gone"));
	assert_true(lines(h, "xenblkd 1:xvda: ?[2J??"));
	kill(t.worker, SIGKILL);
	wait_until(lines(h, "xenblkd 1:xvda: end"));
	assert_reads(t.front, 0, SEED);
	disk_end(h, &t);
}

/* Without a line's end there is one, sooner or later. */
static void endless_line(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char text[4000];

	disk_start(h, &t);
	memset(text, 'x', sizeof text);
	says(t.worker, text, sizeof text);
	wait_until(host_log_count(h, "xenblkd 1:xvda: xxxx") == 4);
	disk_end(h, &t);
}

/* It writes as fast as it can: the log grows by what is allowed, the supervisor answers, and when
 * it has stopped its lines are read again. */
static void flood(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	uint64_t start;
	pid_t pid;

	disk_start(h, &t);
	off_t before = log_size(h);
	start = clock_ns();
	pid = fork();
	if (!pid) {
		int fd = log_of(t.worker);
		for (;;)
			if (write(fd, "much ado about nothing\n", 23) < 0 && errno != EAGAIN)
				_exit(1);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(host_worker(h, "1:xvda"), t.worker);
		usleep(100 * 1000);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	off_t grown = log_size(h) - before;
	/* A line of 23 bytes costs 123 and is logged with 16 more; 100000 at once, 10000 a second.
	 */
	assert_in_range(grown, 1, (110000 + 10000 * (uint64_t)ms_since(start) / 1000) / 123 * 39);
	assert_int_equal(host_log_count(h, "its worker logs too much"), 1);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	disk_end(h, &t);
}

/* Nobody reads: lines are lost, the guest notices nothing; the next supervisor hears of it. */
static void nobody_reads(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	assert_int_equal(kill(t.worker, SIGCONT), 0);
	assert_reads(t.front, 0, SEED);
	host_daemon_start(h, NULL);
	wait_until(host_worker(h, "1:xvda") == t.worker);
	assert_int_equal(truncate(t.image, 2 * MIB), 0);
	wait_until(lines(h, "xenblkd 1:xvda: the image has 2097152 bytes now, it had 1048576"));
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	disk_end(h, &t);
}

/* What the supervisor says goes into a pipe that is full. Disks and commands go on. */
static void stderr_is_full(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char byte[4096] = "";

	host_daemon_kill(h, SIGKILL);
	assert_int_equal(unlink(h->log), 0);
	assert_int_equal(mkfifo(h->log, 0600), 0);
	int fifo = open(h->log, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fifo >= 0);
	while (write(fifo, byte, sizeof byte) > 0)
		;
	host_daemon_start(h, NULL);
	disk_start(h, &t);
	for (int i = 0; i < 3; i++) {
		kill(t.worker, SIGKILL);
		wait_until(host_worker(h, "1:xvda") > 0 && host_worker(h, "1:xvda") != t.worker);
		t.worker = host_worker(h, "1:xvda");
		assert_reads(t.front, 0, SEED);
	}
	disk_end(h, &t);
	host_daemon_kill(h, SIGKILL);
	close(fifo);
	unlink(h->log);
	close(open(h->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	host_daemon_start(h, NULL);
}

/* The loop waits for xenstored; the log says so. */
static void xenstored_is_silent(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	assert_int_equal(xen_fault(h->xen, "delay-store 6000", NULL), 0);
	host_write(h, host_fe(1, XVDA), "state", "%d", XS_CONNECTED);
	wait_until(host_log_has(h, "warning: xenstored has not answered for"));
	assert_reads(t.front, 0, SEED);
	assert_int_equal(xen_fault(h->xen, "delay-store 0", NULL), 0);
	wait_until(host_log_has(h, "xenstored answers again"));
	disk_end(h, &t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(lines_have_its_name), T(endless_line),   T(flood),
	    T(nobody_reads),        T(stderr_is_full), T(xenstored_is_silent),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
