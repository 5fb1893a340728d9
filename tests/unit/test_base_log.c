/* SPDX-License-Identifier: MIT */
/* A log that nobody reads: lines are lost and counted, and nothing waits. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

static int end[2], saved;

static int setup(void **state)
{
	saved = dup(STDERR_FILENO);
	assert_int_equal(pipe2(end, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(log_move(end[1]), 0);
	close(end[1]);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(log_move(saved), 0);
	close(saved);
	close(end[0]);
	return 0;
}

/* All that is in the pipe; its lines, the last of them in `last`. */
static unsigned drain(char last[200])
{
	char text[4096], line[200] = "";
	unsigned n = 0;
	size_t at = 0;
	ssize_t got;

	while ((got = read(end[0], text, sizeof text)) > 0)
		for (ssize_t i = 0; i < got; i++) {
			if (text[i] != '\n' && at < sizeof line - 1) {
				line[at++] = text[i];
				continue;
			}
			line[at] = '\0';
			memcpy(last, line, sizeof line);
			at = 0;
			n++;
		}
	return n;
}

static void full(void **state)
{
	unsigned written = 3000, kept, lost = 0;
	char last[200], text[200];

	log_init("", false);
	for (unsigned i = 0; i < written; i++)
		log_info("%060u", i);
	kept = drain(last);
	assert_in_range(kept, 1, written - 1);
	snprintf(text, sizeof text, "%060u", kept - 1);
	assert_string_equal(last, text);
	log_info("after it");
	assert_int_equal(read(end[0], text, sizeof text - 1) > 0, 1);
	assert_int_equal(sscanf(text, "warning: %u lines before this are lost\nafter it", &lost),
	                 1);
	assert_int_equal(lost, written - kept);
	log_info("and no more");
	assert_int_equal(drain(last), 1);
	assert_string_equal(last, "and no more");
}

/* The reader is gone; a new one hears of what was lost meanwhile. */
static void no_reader(void **state)
{
	char last[200], text[200] = "";

	signal(SIGPIPE, SIG_IGN);
	log_init("xenblkd", false);
	close(end[0]);
	log_warn("nobody hears this");
	log_warn("nor this");
	assert_int_equal(pipe2(end, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(log_move(end[1]), 0);
	close(end[1]);
	log_from("1:xvda", "a\033line");
	assert_true(read(end[0], text, sizeof text - 1) > 0);
	assert_string_equal(text,
	                    "warning: 2 lines before this are lost\nxenblkd 1:xvda: a?line\n");
	assert_int_equal(drain(last), 0);
}

/* stderr is `fd` and blocks; nobody reads it. Lines are lost, and no write waits. */
static void never_waits(int fd)
{
	int flags;

	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	flags = fcntl(fd, F_GETFL);
	assert_false(flags & O_NONBLOCK);
	log_init("", false);
	alarm(20);
	for (unsigned i = 0; i < 30000; i++)
		log_info("%060u", i);
	alarm(0);
	/* Others who write there may rely on it. */
	assert_int_equal(fcntl(fd, F_GETFL), flags);
}

/* What is read first, after some lines and a last one. */
static void lost_are_told(int reader)
{
	char text[4096];
	unsigned lost = 0;
	ssize_t n;

	fcntl(reader, F_SETFL, O_NONBLOCK);
	while (read(reader, text, sizeof text) > 0)
		;
	log_info("after it");
	n = read(reader, text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	/* A line that was cut short is ended first. */
	char *at = strstr(text, "warning: ");
	assert_non_null(at);
	assert_true(at == text || at == text + 1);
	assert_int_equal(sscanf(at, "warning: %u lines before this are lost", &lost), 1);
	assert_in_range(lost, 1, 29999);
	assert_non_null(strstr(text, "\nafter it\n"));
}

static void blocking_pipe(void **state)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	never_waits(p[1]);
	lost_are_told(p[0]);
	close(p[0]);
	close(p[1]);
}

/* /proc cannot give a description of our own. */
static void pipe_without_proc(void **state)
{
	struct rlimit old, none;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	never_waits(p[1]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	lost_are_told(p[0]);
	close(p[0]);
	close(p[1]);
}

static void blocking_socket(void **state)
{
	int p[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	never_waits(p[1]);
	lost_are_told(p[0]);
	close(p[0]);
	close(p[1]);
}

static void halted_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1;

	if (master < 0 || grantpt(master) || unlockpt(master) ||
	    (slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		print_message("no terminals here\n");
		skip();
	}
	never_waits(slave);
	close(slave);
	close(master);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(full),
	    T(no_reader),
	    T(blocking_pipe),
	    T(pipe_without_proc),
	    T(blocking_socket),
	    T(halted_terminal),
	};

	return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
