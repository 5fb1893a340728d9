/* SPDX-License-Identifier: MIT */
/* The configuration file is read again (SIGHUP), and read by the new program before an upgrade. A
 * faulty one changes nothing. */
#include <fcntl.h>

#include "package.h"
#include "scratch.h"

static char build[256], config[100];

static void configure(const char *text)
{
	FILE *f = fopen(config, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	const char *const extra[] = {"--config", config, NULL};
	struct host *h = malloc(sizeof *h);
	int fd = mkstemp(scratch_path(config, sizeof config, "config-XXXXXX"));

	assert_true(fd >= 0);
	close(fd);
	configure("[defaults]\nmax-queues = 2\n[disk 7:xvda]\nmax-queues = 5\n");
	package_start(h, build, "xenblkd", "xenblkd-worker");
	host_daemon_kill(h, SIGKILL); /* its Xen stays */
	host_daemon_start(h, extra);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	unlink(config);
	return host_teardown(state);
}

/* A disk that is attached now may have so many queues. */
static void assert_queues(struct host *h, unsigned domid, const char *want)
{
	char image[200];

	make_image(h, "new.img", SEED, image);
	host_attach(h, &(struct disk){.domid = domid, .params = image}, image);
	assert_string_equal(host_read(h, host_be(domid, XVDA), "multi-queue-max-queues"), want);
	host_detach(h, domid, XVDA);
}

static void reload(struct host *h, const char *says, unsigned times)
{
	assert_int_equal(kill(h->daemon, SIGHUP), 0);
	wait_until(host_log_count(h, says) == times);
}

static void reloads(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");

	assert_queues(h, 2, "2");
	assert_queues(h, 7, "5");
	configure("[defaults]\nmax-queues = 3\n[disk 8:xvda]\nmax-queues = 6\n");
	reload(h, "read again; front ends that connect from now on", 1);
	assert_queues(h, 2, "3");
	assert_queues(h, 7, "3");
	assert_queues(h, 8, "6");
	/* A line that is wrong, and no file at all: the settings of before. */
	configure("[defaults]\nmax-queues = 4\nmax-speed = 1\n");
	reload(h, "the configuration stays what it was: ", 1);
	assert_true(host_log_has(h, "line 3: there is no setting \"max-speed\""));
	assert_queues(h, 2, "3");
	assert_queues(h, 8, "6");
	assert_int_equal(unlink(config), 0);
	reload(h, "the configuration stays what it was: ", 2);
	assert_queues(h, 2, "3");
	/* What is connected has not noticed any of it. */
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* After the exec it would be too late. */
static void upgrade_refused(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f = package_disk(h);
	pid_t worker = host_worker(h, "1:xvda");

	configure("[defaults]\nmax-speed = 1\n");
	assert_int_equal(ctl(h, f, "upgrade"), 1);
	assert_non_null(strstr(ctl_said(h), "line 2: there is no setting \"max-speed\""));
	assert_int_equal(host_worker(h, "1:xvda"), worker);
	assert_queues(h, 2, "2");
	configure("[defaults]\nmax-queues = 4\n");
	assert_int_equal(ctl(h, f, "upgrade"), 0);
	assert_queues(h, 2, "4");
	front_end(f);
	host_detach(h, 1, XVDA);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(reloads), T(upgrade_refused)};

	return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
