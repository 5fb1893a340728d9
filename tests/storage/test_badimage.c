/* SPDX-License-Identifier: MIT */
/* Images that cannot be served: the exact words, and nothing leaks. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "storage/claim.h"
#include "storage/engines.h"
#include "../lib/needs.h"

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* format has one %s, for the path. */
static void expect(const char *path, int flags, int rc, const char *format)
{
	char text[ERROR_TEXT_MAX];
	struct storage *s;
	struct error err;
	unsigned fds = open_fds();

	assert_int_equal(image_open(path, flags, &s, &err), rc);
	snprintf(text, sizeof text, format, path);
	assert_string_equal(err.text, text);
	assert_null(s);
	assert_int_equal(open_fds(), fds);
}

static void kinds(void **state)
{
	const char *path = test_path("missing");
	expect(path, 0, -ENOENT,
	       "no such image: %s does not exist; correct the path, or create it with truncate -s "
	       "SIZE");
	image_create(test_path("file"), 512);
	expect(test_path("file/x"), 0, -ENOTDIR,
	       "no such image: a part of %s is not a directory; correct the path");
	expect(test_dir(), 0, -EISDIR,
	       "image %s is a directory; give a regular file or a block device");
	expect("/dev/null", 0, -EINVAL,
	       "image %s is a character device; give a regular file or a block device");
	assert_int_equal(mkfifo(path = test_path("fifo"), 0600), 0);
	expect(path, 0, -EINVAL, "image %s is a fifo; give a regular file or a block device");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path = test_path("socket"));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	close(fd);
	expect(path, 0, -EINVAL, "image %s is a socket; give a regular file or a block device");
	assert_int_equal(symlink("circle", path = test_path("circle")), 0);
	expect(path, 0, -ELOOP, "image %s: the symbolic links run in a circle; correct them");
}

static void sizes(void **state)
{
	const char *path = test_path("size");

	image_create(path, 0);
	expect(path, 0, -EINVAL, "image %s is empty; give it a size, as in truncate -s 10G");
	image_create(path, 1);
	expect(
	    path, OPEN_RO, -EINVAL,
	    "image %s has 1 bytes, no multiple of the sector's 512; round it up with truncate -s "
	    "512");
	image_create(path, 1048575);
	expect(path, 0, -EINVAL,
	       "image %s has 1048575 bytes, no multiple of the sector's 512; round it up with "
	       "truncate -s 1048576");
}

/* Between the claim and a later worker's look. */
static void shrunk_since_claim(void **state)
{
	struct storage_spec spec = {.target.engine = STORAGE_FILE};
	struct storage *s = NULL;
	struct error err;

	snprintf(spec.target.path, sizeof spec.target.path, "%s", test_path("shrunk"));
	image_create(spec.target.path, 4096);
	assert_int_equal(claim_take(&(struct claim_spec){.target = &spec.target}, &spec.fd, &err),
	                 0);
	assert_int_equal(truncate(spec.target.path, 0), 0);
	assert_int_equal(storage_open(&spec, &s, &err), -EINVAL);
	assert_non_null(strstr(err.text, " is empty; give it a size"));
	close(spec.fd);
}

/* The path may lead elsewhere by now; the descriptor does not. */
static void descriptor_counts(void **state)
{
	struct storage_spec spec = {.target.engine = STORAGE_FILE};
	struct storage *s = NULL;
	struct error err;

	snprintf(spec.target.path, sizeof spec.target.path, "%s", test_path("moved"));
	image_create(spec.target.path, 4096);
	assert_int_equal(claim_take(&(struct claim_spec){.target = &spec.target}, &spec.fd, &err),
	                 0);
	assert_int_equal(unlink(spec.target.path), 0);
	image_create(spec.target.path, 8192);
	assert_int_equal(storage_open(&spec, &s, &err), 0);
	assert_int_equal(storage_caps(s)->size, 4096);
	storage_close(s);
	close(spec.fd);
}

static void as_nobody(void (*fn)(void))
{
	needs(lacks_root());
	/* So that it may come that far. */
	assert_int_equal(chmod(test_dir(), 0755), 0);
	pid_t pid = fork();
	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(99);
		fn();
		fflush(stdout);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void nobody_search(void)
{
	expect(test_path("closed/x"), 0, -EACCES,
	       "image %s: permission denied; allow this user to search every directory on the way "
	       "(chmod +x)");
}

static void nobody_open(void)
{
	expect(test_path("roots"), 0, -EACCES,
	       "image %s: permission denied to open it for reading and writing; give this user "
	       "access (chmod, setfacl, chattr -i) or attach it with mode r");
	expect(test_path("roots"), OPEN_RO, -EACCES,
	       "image %s: permission denied to open it for reading; give this user access (chmod, "
	       "setfacl, chattr -i)");
}

static void permissions(void **state)
{
	assert_int_equal(mkdir(test_path("closed"), 0700), 0);
	image_create(test_path("closed/x"), 512);
	as_nobody(nobody_search);
	image_create(test_path("roots"), 512);
	as_nobody(nobody_open);
}

/* A path as long as can be still leaves room for the remedy. */
static void long_path(void **state)
{
	struct storage_target t = {.engine = STORAGE_FILE};
	struct error err;
	int fd;

	memset(t.path, '/', sizeof t.path - 1);
	memcpy(t.path + sizeof t.path - 8, "missing", 8);
	assert_int_equal(claim_take(&(struct claim_spec){.target = &t}, &fd, &err), -ENOENT);
	assert_int_equal(fd, -1);
	assert_non_null(strstr(err.text, "no such image: .../"));
	assert_non_null(strstr(err.text, "/missing does not exist; correct the path, or create it "
	                                 "with truncate -s SIZE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kinds),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(shrunk_since_claim),
	    cmocka_unit_test(descriptor_counts),
	    cmocka_unit_test(permissions),
	    cmocka_unit_test(long_path),
	};

	return cmocka_run_group_tests_name("badimage", tests, NULL, NULL);
}
