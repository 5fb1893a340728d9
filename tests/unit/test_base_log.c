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
#include <string.h>
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(full), T(no_reader)};

	return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
