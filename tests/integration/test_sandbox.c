/* SPDX-License-Identifier: MIT */
/* A worker that serves a guest has no privileges left. */
#include <stdio.h>
#include <string.h>

#include "host.h"

/* Value of a field of /proc/PID/status; static buffer. */
static const char *status_field(pid_t pid, const char *field)
{
	static char value[64];
	char path[64], line[256];
	size_t n = strlen(field);

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	value[0] = 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, n) && line[n] == ':')
			sscanf(line + n + 1, "%63s", value);
	fclose(f);
	return value;
}

static void confined(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	print_message("# built with sanitizers, hence without the sandbox\n");
	skip();
#endif
	struct host *h = *state;
	const char *image = host_image(h, "a.img", 1 << 20);

	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, "1:xvda");
	assert_true(worker > 0);
	assert_string_equal(status_field(worker, "CapEff"), "0000000000000000");
	assert_string_equal(status_field(worker, "CapPrm"), "0000000000000000");
	assert_string_equal(status_field(worker, "CapBnd"), "0000000000000000");
	assert_string_equal(status_field(worker, "NoNewPrivs"), "1");
	assert_string_equal(status_field(worker, "Seccomp"), "2");
	/* And it still reconnects: all that needs is allowed. */
	assert_front(f, xenblkfront_disconnect(f));
	assert_front(f, xenblkfront_connect(f));
	assert_front(f, xenblkfront_discard(f, 0, 65536, false));
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(confined, host_setup, host_teardown)};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
