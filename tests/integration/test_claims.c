/* SPDX-License-Identifier: MIT */
/*
 * One owner for an image, whatever name it is called by and whatever program asks: the same file as
 * a loop device, a mounted device, a partition, another node, an exclusive open, QEMU.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "claims.h"

/* ---- by other names ---- */

static void mounted(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], dir[210];

	device(h, "a.img", path, dev);
	if (!sh("mke2fs -q -F %s 2>/dev/null", dev)) {
		print_message("skipped: there is no mke2fs\n");
		skip();
	}
	snprintf(dir, sizeof dir, "%s.mnt", path);
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount(dev, dir, "ext2", 0, NULL)) {
		print_message("skipped: mount: %s\n", strerror(errno));
		skip();
	}
	refused(h, dev, "w", "it is mounted at /");
	/* And the file below. */
	refused(h, path, "w", " on it is in use: it is mounted at /");
	assert_int_equal(umount(dir), 0);
	can_be_attached(h, dev);
	can_be_attached(h, path);
	/* Nor the other way round: the kernel lets nobody mount what a guest writes. */
	attached(h, dev, "w");
	assert_int_equal(mount(dev, dir, "ext2", 0, NULL), -1);
	assert_int_equal(errno, EBUSY);
	host_detach(h, 1, XVDA);
	assert_int_equal(mount(dev, dir, "ext2", 0, NULL), 0);
	assert_int_equal(umount(dir), 0);
}

static void held_exclusively(void **state)
{
	struct host *h = *state;
	char path[200], dev[64];

	device(h, "a.img", path, dev);
	int fd = open(dev, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(fd >= 0);
	refused(h, dev, "w", "another process has it");
	refused(h, dev, "w!", "another process has it");
	close(fd);
	can_be_attached(h, dev);
	attached(h, dev, "w");
	assert_int_equal(open(dev, O_RDONLY | O_EXCL | O_CLOEXEC), -1);
	assert_int_equal(errno, EBUSY);
	host_detach(h, 1, XVDA);
}

static void partition(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], part[70];

	device(h, "a.img", path, dev);
	snprintf(part, sizeof part, "%sp1", dev);
	/* One of an earlier loop device may be left. */
	sh("delpart %s 1 2>/dev/null", dev);
	if (!sh("addpart %s 1 2048 2048 2>/dev/null", dev) || access(part, F_OK)) {
		print_message("skipped: a loop device has no partitions here\n");
		skip();
	}
	other_has(h, part, "w");
	refused(h, dev, "w", "disk 2:xvda of xenblkd has its partition /dev/");
	refused(h, path, "w", " on it is in use");
	other_lets_go(h);
	other_has(h, dev, "w");
	refused(h, part, "w", "disk 2:xvda of xenblkd has the disk that it is a partition of");
	other_lets_go(h);
	can_be_attached(h, part);
	assert_true(sh("delpart %s 1", dev));
}

static void another_node(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], node[210];
	struct stat st;

	device(h, "a.img", path, dev);
	snprintf(node, sizeof node, "%s.node", path);
	assert_int_equal(stat(dev, &st), 0);
	if (mknod(node, S_IFBLK | 0600, st.st_rdev) || open(node, O_RDONLY | O_CLOEXEC) < 0) {
		print_message("skipped: device nodes do not work there\n");
		skip();
	}
	static const char *const modes[] = {"w", "r", "w!"};
	for (unsigned i = 0; i < 3; i++) {
		other_has(h, dev, modes[i]);
		refused(h, node, "w", "disk 2:xvda of xenblkd has it");
		other_lets_go(h);
		other_has(h, node, modes[i]);
		refused(h, dev, "w", "disk 2:xvda of xenblkd has it");
		other_lets_go(h);
	}
	can_be_attached(h, node);
}

static void file_and_its_loop(void **state)
{
	struct host *h = *state;
	char path[200], dev[64];

	device(h, "a.img", path, dev);
	other_has(h, path, "w");
	refused(h, dev, "w", "it stands on /");
	refused(h, dev, "r", "disk 2:xvda of xenblkd has it");
	other_lets_go(h);
	other_has(h, dev, "w");
	refused(h, path, "w", " on it is in use");
	refused(h, path, "r", " on it is in use");
	other_lets_go(h);
	other_has(h, dev, "r");
	refused(h, path, "w", " on it is in use");
	attached(h, path, "r");
	host_detach(h, 1, XVDA);
	other_lets_go(h);
	can_be_attached(h, path);
	can_be_attached(h, dev);
}

static void loop_of_a_loop(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], outer[64], number[32];

	device(h, "a.img", path, dev);
	loop_setup(dev, 512, outer, number);
	other_has(h, path, "w");
	refused(h, outer, "w", "it stands on /");
	other_lets_go(h);
	other_has(h, outer, "w");
	refused(h, dev, "w", " on it is in use");
	other_lets_go(h);
}

/* Two loop devices over one file have the same bytes. */
static void loop_beside_a_loop(void **state)
{
	struct host *h = *state;
	char path[200], dev[64], beside[64], number[32];

	device(h, "a.img", path, dev);
	loop_setup(path, 512, beside, number);
	other_has(h, dev, "w");
	refused(h, beside, "w", " on it is in use");
	refused(h, beside, "r", " on it is in use");
	other_lets_go(h);
	other_has(h, dev, "r");
	refused(h, beside, "w", " on it is in use");
	attached(h, beside, "r");
	host_detach(h, 1, XVDA);
	other_lets_go(h);
	other_has(h, dev, "w!");
	attached(h, beside, "w!");
	host_detach(h, 1, XVDA);
	other_lets_go(h);
	can_be_attached(h, beside);
}

/* ---- other programs ---- */

static pid_t start_quietly(char *const argv[])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execvp(argv[0], argv);
	_exit(127);
}

/* One that cannot have the image ends at once. */
static void qemu_is_refused(char *const argv[])
{
	pid_t pid = start_quietly(argv);
	int status;

	for (unsigned i = 0; i < WAIT_MS; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 1);
			return;
		}
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fail_msg("QEMU opens the image beside a disk");
}

/* A QEMU that has the image open for reading and writing; 0: it could not. */
static pid_t qemu_opens(const char *path, char *const argv[])
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	pid_t pid = start_quietly(argv);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < WAIT_MS; i++) {
		int status;
		if (locks_met(fd, QEMU_UNSHARED + QEMU_WRITE, 1, true, NULL))
			break;
		if (waitpid(pid, &status, WNOHANG) == pid) {
			pid = 0;
			break;
		}
		usleep(1000);
	}
	close(fd);
	return pid;
}

static void qemu(void **state)
{
	struct host *h = *state;
	char path[200], drive[300];
	char *argv[] = {(char *)"qemu-system-x86_64",
	                (char *)"-nodefaults",
	                (char *)"-display",
	                (char *)"none",
	                (char *)"-S",
	                (char *)"-drive",
	                drive,
	                NULL};

	if (!sh("qemu-system-x86_64 --version >/dev/null 2>&1")) {
		print_message("skipped: there is no qemu-system-x86_64\n");
		skip();
	}
	snprintf(path, sizeof path, "%s", host_image(h, "a.img", 16 * MIB));
	snprintf(drive, sizeof drive, "file=%s,if=ide,format=raw,cache=writeback", path);
	pid_t pid = qemu_opens(path, argv);
	assert_true(pid > 0);
	char says[100];
	snprintf(says, sizeof says, "process %d (qemu-system-x86) has locked it", (int)pid);
	refused(h, path, "w", says);
	refused(h, path, "r", says);
	refused(h, path, "w!", says);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* The other order. */
	static const char *const modes[] = {"w", "r", "w!"};
	for (unsigned i = 0; i < 3; i++) {
		attached(h, path, modes[i]);
		qemu_is_refused(argv);
		host_detach(h, 1, XVDA);
	}
	/* An HVM guest's device model opens the image beside us, on behalf of the guest. */
	host_write(h, "/libxl/1", "type", "hvm");
	attached(h, path, "w");
	pid = qemu_opens(path, argv);
	assert_true(pid > 0);
	/* And stays no reason against the disk's own next worker. */
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(worker, SIGKILL), 0);
	wait_until(host_worker(h, ID) != worker && status_is(h, ID, "image_state", "open"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	host_detach(h, 1, XVDA);
}

/* The locks alone, where there is no QEMU: what it has when a guest writes. */
static void qemus_locks(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	static const unsigned bytes[] = {QEMU_PERM + QEMU_WRITE, QEMU_UNSHARED + QEMU_WRITE};
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(locks_take(fd, bytes[i], false, false), 0);
		refused(h, path, "w", "has locked it");
		close(fd);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	attached(h, path, "w");
	for (unsigned i = 0; i < 2; i++)
		assert_true(locks_met(fd, bytes[i], 1, true, NULL));
	host_detach(h, 1, XVDA);
	assert_true(image_is_free(fd));
	close(fd);
}

/* A lock of another kind, as udev takes on what it looks at, holds nobody up. */
static void a_reader_locks(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	can_be_attached(h, path);
	close(fd);
}

/* ---- sharing ---- */

static void sharing(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	other_has(h, path, "w!");
	attached(h, path, "w!");
	host_detach(h, 1, XVDA);
	attached(h, path, "r");
	host_detach(h, 1, XVDA);
	refused(h, path, "w", "disk 2:xvda of xenblkd has it");
	other_lets_go(h);
	other_has(h, path, "r");
	attached(h, path, "r");
	host_detach(h, 1, XVDA);
	attached(h, path, "w!");
	host_detach(h, 1, XVDA);
	refused(h, path, "w", "disk 2:xvda of xenblkd has it");
	other_lets_go(h);
	other_has(h, path, "w");
	refused(h, path, "r", "disk 2:xvda of xenblkd has it");
	refused(h, path, "w!", "disk 2:xvda of xenblkd has it");
	other_lets_go(h);
	can_be_attached(h, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    owner_case(mounted),
	    owner_case(held_exclusively),
	    owner_case(partition),
	    owner_case(another_node),
	    owner_case(file_and_its_loop),
	    owner_case(loop_of_a_loop),
	    owner_case(loop_beside_a_loop),
	    owner_case(qemu),
	    owner_case(qemus_locks),
	    owner_case(a_reader_locks),
	    owner_case(sharing),
	};

	return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
