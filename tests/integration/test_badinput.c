/* SPDX-License-Identifier: MIT */
/* Bad input: images that cannot be served, and command lines that cannot work. One line says why
 * and what to do, and nothing else is disturbed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "image_lock.h"
#include "control.h"
#include "needs.h"
#include "scratch.h"

#define ID "1:xvda"

/* ---- images ---- */

/* The device fails with both words in its error; then mend() makes the image good, and a new attach
 * succeeds. */
static void refuses(struct host *h, const char *path, const char *word, const char *cause)
{
	struct bystander b;

	bystander_start(h, &b);
	host_attach(h, &(struct disk){0}, path);
	assert_fatal(h, 1, XVDA, ID, word);
	if (!strstr(status_text(h, ID, "error"), cause))
		fail_msg("no '%s' in: %s", cause, status_text(h, ID, "error"));
	assert_true(status_is(h, ID, "image_state", "failed"));
	bystander_check(h, &b);
	/* What holds the image of a disk that failed? Nobody; and it can be detached. */
	host_detach(h, 1, XVDA);
	bystander_stop(h, &b);
}

static void serves(struct host *h, const char *path)
{
	host_attach(h, &(struct disk){0}, path);
	wait_image_open(h, ID);
	front_end(host_front_connected(h, 1, "xvda"));
	host_detach(h, 1, XVDA);
}

static void no_such_image(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "there.img", 1, path);
	assert_int_equal(unlink(path), 0);
	refuses(h, path, "there.img", "no such image");
	make_image(h, "there.img", 1, path);
	serves(h, path);
}

static void a_relative_path(void **state)
{
	refuses(*state, "disk.img", "disk.img", "path from the root");
}

static void a_format_that_is_not_built_in(void **state)
{
	refuses(*state, "floppy:/a.img", "floppy", "");
	refuses(*state, "qcow2:/a.img", "qcow2", "convert");
}

/* Root may open anything but what is immutable. */
static void no_permission(void **state)
{
	struct host *h = *state;
	char path[200], command[300];

	make_image(h, "mine.img", 1, path);
	snprintf(command, sizeof command, "chattr +i %s 2>/dev/null", path);
	if (geteuid() ? chmod(path, 0) : system(command))
		needs("needs chattr +i or an ordinary user: root may open everything here");
	host_attach(h, &(struct disk){0}, path);
	host_wait_error(h, ID, "permission denied");
	snprintf(command, sizeof command, "chattr -i %s 2>/dev/null", path);
	assert_int_equal(geteuid() ? chmod(path, 0600) : system(command), 0);
	assert_fatal(h, 1, XVDA, ID, "mine.img");
	host_detach(h, 1, XVDA);
	serves(h, path);
}

static void a_directory(void **state)
{
	struct host *h = *state;
	char path[200], *slash;

	make_image(h, "a.img", 1, path);
	slash = strrchr(path, '/');
	*slash = 0;
	refuses(h, path, path + 5, "directory");
}

static void an_empty_file(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "empty.img", 1, path);
	assert_int_equal(truncate(path, 0), 0);
	refuses(h, path, "empty.img", "empty");
	assert_int_equal(truncate(path, 512), 0);
	host_attach(h, &(struct disk){0}, path); /* one sector is a disk */
	wait_image_open(h, ID);
}

static void a_size_between_sectors(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "odd.img", 1, path);
	assert_int_equal(truncate(path, 10000), 0);
	refuses(h, path, "odd.img", "10000 bytes");
	assert_int_equal(truncate(path, 10240), 0);
	serves(h, path);
}

static void an_image_in_use(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "used.img", 1, path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(image_own(fd));
	refuses(h, path, "used.img", "in use: process ");
	close(fd);
	serves(h, path);
}

/* The toolstack may name another image after a failure, without a new attach. */
static void a_corrected_path(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "good.img", 1, path);
	for (int round = 0; round < 20; round++) {
		host_attach(h, &(struct disk){0}, "/nonexistent/bad.img");
		assert_fatal(h, 1, XVDA, ID, "bad.img");
		front_state(h, 1, XVDA, XS_CLOSED);
		host_wait_state(h, 1, XVDA, XS_CLOSED);
		host_write(h, host_be(1, XVDA), "physical-device-path", "%s", path);
		front_state(h, 1, XVDA, XS_INITIALISING);
		host_wait_state(h, 1, XVDA, XS_INITWAIT);
		struct xenblkfront *f = host_front_connected(h, 1, "xvda");
		assert_reads(f, 0, 1);
		assert_string_equal(status_text(h, ID, "error"), "");
		front_end(f);
		host_detach(h, 1, XVDA);
	}
}

/* ---- command lines ---- */

/* Runs BUILD/xenblkd with these arguments, without a Xen around. Its exit status; what it said on
 * stderr in said. */
static int xenblkd(struct host *h, const char *args, char *said, size_t cap)
{
	char command[800];

	snprintf(command, sizeof command,
	         "env -u XENSTORED_PATH timeout 10 %s/xenblkd %s 2>&1 >/dev/null </dev/null",
	         h->build, args);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	size_t n = fread(said, 1, cap - 1, p);
	said[n] = 0;
	int status = pclose(p);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Exit status, and one line with both words in it. */
static void assert_refused(struct host *h, const char *args, int status, const char *word,
                           const char *remedy)
{
	char said[4096];
	int is = xenblkd(h, args, said, sizeof said);

	if (is != status || !strstr(said, word) || !strstr(said, remedy))
		fail_msg("xenblkd %s: exit %d, said: %s", args, is, said);
	char *end = strchr(said, '\n');
	if (!end || (status == 1 && end[1]))
		fail_msg("not one line: %s", said);
}

static void a_second_supervisor(void **state)
{
	struct host *h = *state;
	struct bystander b;
	char args[200], pid[32];

	bystander_start(h, &b);
	snprintf(args, sizeof args, "--embedded %s", h->dir);
	snprintf(pid, sizeof pid, "%d", (int)h->daemon);
	assert_refused(h, args, 1, pid, h->dir);
	bystander_stop(h, &b);
}

static void directories_that_do_not_work(void **state)
{
	struct host *h = *state;
	char args[400], path[200];

	snprintf(args, sizeof args, "--embedded %s/%0150d", scratch_dir(), 0);
	assert_refused(h, args, 1, "shorter", "000");
	make_image(h, "a.img", 1, path);
	snprintf(args, sizeof args, "--embedded %s", path); /* a file */
	assert_refused(h, args, 1, "a.img", "");
	snprintf(args, sizeof args, "--embedded %s/deeper", path);
	assert_refused(h, args, 1, "a.img", "");
}

static void without_a_xen(void **state)
{
	struct host *h = *state;
	char args[200];

	if (!access("/dev/xen/xenbus", F_OK) || !access("/proc/xen/xenbus", F_OK))
		needs("needs a machine without a Xen");
	snprintf(args, sizeof args, "--run-dir %s/other", h->dir);
	assert_refused(h, args, 1, "Xen", "--embedded");
}

static void options(void **state)
{
	struct host *h = *state;

	assert_refused(h, "--nonsense", 2, "nonsense", "xenblkd");
	assert_refused(h, "--embedded", 2, "embedded", "xenblkd");
	assert_refused(h, "argument", 2, "argument", "xenblkd");
	assert_refused(h, "--kinds ,,", 2, "kinds", "xenblkd");
	assert_refused(h, "--default-protocol sparc", 2, "sparc", "x86_64-abi");
	assert_refused(h, "--embedded /tmp/a --run-dir /tmp/b", 2, "run-dir", "embedded");
	assert_refused(h, "--embedded ''", 2, "embedded", "xenblkd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(no_such_image),
	    case_of(a_relative_path),
	    case_of(a_format_that_is_not_built_in),
	    case_of(no_permission),
	    case_of(a_directory),
	    case_of(an_empty_file),
	    case_of(a_size_between_sectors),
	    case_of(an_image_in_use),
	    case_of(a_corrected_path),
	    case_of(a_second_supervisor),
	    case_of(directories_that_do_not_work),
	    case_of(without_a_xen),
	    case_of(options),
	};

	return cmocka_run_group_tests_name("badinput", tests, NULL, NULL);
}
