/* SPDX-License-Identifier: MIT */
/*
 * One owner for an image, whatever name it is called by and whatever program asks: the same file as
 * a loop device, a mounted device, a partition, another node, an exclusive open, QEMU. And from
 * attach to detach, whatever dies meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "image_lock.h"
#include "loop_device.h"
#include "holder/holder.h"
#include "storage/claim.h"

#define ID "1:xvda"
#define MANY 600 /* claims: more than the line to the holder has room for */

static bool sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool sh(const char *fmt, ...)
{
	char command[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	return !system(command);
}

static void needs_root(void)
{
	if (!geteuid())
		return;
	print_message("skipped: block devices need root\n");
	skip();
}

/* Disk 1:xvda cannot be attached; the error says all of these, the last one NULL. */
static void refused(struct host *h, const char *path, const char *mode, const char *says)
{
	host_attach(h, &(struct disk){.mode = mode}, path);
	host_wait_error(h, ID, "is in use: ");
	if (!strstr(status_text(h, ID, "error"), says))
		fail_msg("no '%s' in: %s", says, status_text(h, ID, "error"));
	assert_non_null(
	    strstr(status_text(h, ID, "error"), "; end that first, or share the image"));
	host_detach(h, 1, XVDA);
}

static void attached(struct host *h, const char *path, const char *mode)
{
	host_attach(h, &(struct disk){.mode = mode}, path);
	wait_image_open(h, ID);
}

static void can_be_attached(struct host *h, const char *path)
{
	attached(h, path, "w");
	host_detach(h, 1, XVDA);
}

/* Disk 2:xvda has it. */
static void other_has(struct host *h, const char *path, const char *mode)
{
	host_attach(h, &(struct disk){.domid = 2, .mode = mode}, path);
	wait_image_open(h, "2:xvda");
}

static void other_lets_go(struct host *h)
{
	host_detach(h, 2, XVDA);
}

static void device(struct host *h, const char *name, char path[200], char dev[64])
{
	char number[32];

	needs_root();
	snprintf(path, 200, "%s", host_image(h, name, 16 * MIB));
	loop_setup(path, 512, dev, number);
}

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

/* ---- from attach to detach ---- */

static bool owned(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool is = locks_met(fd, locks_byte(LOCK_OWNER), 1, true, NULL);

	close(fd);
	return is;
}

static void wait_worker(struct host *h, pid_t before)
{
	wait_until(host_worker(h, ID) > 0 && host_worker(h, ID) != before);
}

/* Between two workers, and while none is started, the image is the disk's. */
static void no_worker(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	assert_int_equal(kill(worker, SIGKILL), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	wait_until(image_is_still(fd));
	close(fd);
	assert_true(owned(path));
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	wait_worker(h, worker);
	assert_reads(f, 0, 3);
	/* The supervisor stops, and its workers with it: the guest waits, and so does its image. */
	host_daemon_kill(h, SIGTERM);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	/* Both die. */
	worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	usleep(QUIET_MS * 1000);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* Whoever of the two dies, the other one still has it. */
static void holder_dies(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (int i = 0; i < 3; i++) {
		host_holder_kill(h);
		assert_true(owned(path));
		wait_until(host_log_count(h, "xenblkd-holder has ended") == (unsigned)i + 1);
		assert_false(status_is(h, ID, "image_state", "none"));
		pid_t worker = host_worker(h, ID);
		host_daemon_kill(h, SIGKILL);
		assert_int_equal(kill(worker, SIGKILL), 0);
		assert_true(owned(path));
		host_daemon_start(h, NULL);
		assert_reads(f, 0, 3);
	}
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* How many descriptors of that image the holder has. */
static unsigned held(struct host *h, const char *image)
{
	char path[64], link[300];
	pid_t holder = host_holder(h);
	unsigned n = 0;

	for (int fd = 0; fd < 2 * MANY; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)holder, fd);
		ssize_t length = readlink(path, link, sizeof link - 1);
		link[length > 0 ? length : 0] = '\0';
		n += !strcmp(link, image);
	}
	return n;
}

static int holder_line(struct host *h)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/" HOLDER_SOCKET, h->dir);
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof addr), 0);
	return sock;
}

/* As a supervisor that has so many more disks would have left them. */
static void hold_many(struct host *h, const char *image)
{
	int sock = holder_line(h);
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	char name[HOLDER_NAME_MAX];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "%d:xvda", i + 2);
		assert_int_equal(holder_send(sock, HOLDER_PUT, name, fd, 0), 0);
	}
	close(fd);
	wait_until(held(h, image) == MANY + 1);
	close(sock);
}

/* A new holder gets all of them, and is not there yet when the first one comes. */
static void holder_of_many_dies(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	hold_many(h, path);
	/* While it does not know which disks there are, it keeps all claims. */
	assert_int_equal(xen_fault(h->xen, "read 5 /vbd/1/51712/state 1000000", NULL), 0);
	/* On one processor the new holder cannot keep up with who sends. */
	cpu_set_t all, one;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	CPU_ZERO(&one);
	for (int i = 0; !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	host_daemon_start(h, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
	host_holder_kill(h);
	wait_until(held(h, path) == MANY + 1);
	assert_false(host_log_has(h, "cannot be started"));
	assert_int_equal(xen_fault(h->xen, "clear", NULL), 0);
	wait_until(held(h, path) == 1);
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
}

/* What a supervisor said before it died counts, also if the next one is there by then. */
static void last_words(void **state)
{
	struct host *h = *state;
	char path[200], name[8];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	int line = holder_line(h), fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(holder_send(line, HOLDER_PUT, "2:xvda", fd, 0), 0);
	wait_until(held(h, path) == 2);
	host_holder_stop(h);
	for (int i = 3; i < 6; i++) {
		snprintf(name, sizeof name, "%d:xvda", i);
		assert_int_equal(holder_send(line, HOLDER_PUT, name, fd, 0), 0);
	}
	close(fd);
	close(line);
	line = holder_line(h);
	assert_int_equal(kill(host_holder(h), SIGCONT), 0);
	wait_until(held(h, path) == 5);
	close(line);
	host_daemon_start(h, NULL);
	wait_until(held(h, path) == 1);
	host_detach(h, 1, XVDA);
}

/* One that does not answer keeps no image from others, and holds no supervisor up. */
static void holder_stops(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_holder_stop(h);
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_holder_stop(h);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	front_end(f);
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
}

/* The toolstack takes a disk away that its guest has closed before: there is no more handshake, and
 * its script may want the device next. */
static void closed_before(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	front_end(f);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	assert_true(owned(path));
	host_write(h, "/local/domain/0/backend/vbd/1/51712", "online", "0");
	wait_until(!owned(path));
	host_detach(h, 1, XVDA);
}

/* The moment that a disk is gone, its device is free. */
static void free_at_once(void **state)
{
	struct host *h = *state;
	char path[200], dev[64];

	device(h, "a.img", path, dev);
	for (int i = 0; i < 10; i++) {
		attached(h, dev, "w");
		host_detach(h, 1, XVDA);
		int fd = open(dev, O_RDONLY | O_EXCL | O_CLOEXEC);
		assert_true(fd >= 0);
		close(fd);
	}
}

/* A disk that is gone when the next supervisor comes keeps nothing. */
static void gone_meanwhile(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	host_remove_nodes(h, 1, XVDA);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	wait_until(!owned(path));
	can_be_attached(h, path);
}

/* It stays as long as there is something to hold, and then leaves nothing. */
static void holder_ends(void **state)
{
	struct host *h = *state;
	char path[200], socket[100];

	snprintf(socket, sizeof socket, "%s/holder.sock", h->dir);
	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGTERM);
	usleep(QUIET_MS * 1000);
	assert_true(host_holder(h) > 0);
	assert_int_equal(access(socket, F_OK), 0);
	host_daemon_start(h, NULL);
	host_detach(h, 1, XVDA);
	assert_true(host_holder(h) > 0);
	host_daemon_kill(h, SIGTERM);
	wait_until(!host_holder(h));
	assert_int_equal(access(socket, F_OK), -1);
}

/* The byte of the fence that the process has put on an image. */
static uint64_t fence_of(pid_t pid)
{
	char path[64], line[200];
	unsigned long long first;

	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f))
			if (sscanf(line, "lock: %*s OFDLCK ADVISORY WRITE %*s %*s %llu", &first) ==
			        1 &&
			    first >= locks_disk(RANGE_FENCE, 0)) {
				fclose(f);
				return first;
			}
		if (f)
			fclose(f);
	}
	fail_msg("process %d has no fence", (int)pid);
	return 0;
}

/* The supervisor dies before it has read of the claim that its worker made. */
static void claimed_unseen(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	uint64_t fence = fence_of(host_worker(h, ID));
	host_detach(h, 1, XVDA);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(locks_take(fd, fence, true, false), 0);
	host_attach(h, &(struct disk){0}, path);
	wait_until(owned(path));
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	close(fd);
	usleep(QUIET_MS * 1000);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	wait_image_open(h, ID);
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	usleep(QUIET_MS * 1000);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 3);
	/* Served, its guest could not get at it. */
	char line[300], out[64];
	snprintf(line, sizeof line, "ls -l /proc/%d/fd 2>/dev/null | grep -c 'a.img'",
	         (int)host_worker(h, ID));
	run(out, sizeof out, line);
	assert_string_equal(out, "1");
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* I/O of a disk that was taken away by force may be under way still. */
static void others_fence(void **state)
{
	static const char *const modes[] = {"w", "r", "w!"};
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	for (unsigned i = 0; i < 3; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(
		    locks_take(fd, locks_disk(RANGE_FENCE, claim_owner(0, 3, XVDB)), true, false),
		    0);
		refused(h, path, modes[i], "disk 3:xvdb of xenblkd has it");
		close(fd);
		attached(h, path, modes[i]);
		host_detach(h, 1, XVDA);
	}
}

/* Whoever removes the run directory of a host whose supervisor has stopped wants none of it back.
 */
static void run_directory_removed(void **state)
{
	struct host *h = *state;
	char path[200], socket[100];

	snprintf(socket, sizeof socket, "%s/holder.sock", h->dir);
	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGTERM);
	assert_true(owned(path));
	assert_int_equal(unlink(socket), 0);
	wait_until(!host_holder(h));
	assert_false(owned(path));
}

/* A disk of the same name that was attached meanwhile has the image that its own keys name. */
static void another_of_its_name(void **state)
{
	struct host *h = *state;
	char path[200], old[210];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	host_remove_nodes(h, 1, XVDA);
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(rename(path, old), 0);
	make_image(h, "a.img", 4, path);
	host_disk(h, &(struct disk){0});
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_script(h, 1, XVDA, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 4);
	front_end(f);
	host_detach(h, 1, XVDA);
	wait_until(!owned(old));
}

/* Each takes some loop devices. */
static int teardown(void **state)
{
	int rc = host_teardown(state);

	loop_end_all();
	return rc;
}

#define owner_case(name) cmocka_unit_test_setup_teardown(name, host_setup, teardown)

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
	    owner_case(no_worker),
	    owner_case(holder_dies),
	    owner_case(holder_ends),
	    owner_case(holder_stops),
	    owner_case(holder_of_many_dies),
	    owner_case(last_words),
	    owner_case(closed_before),
	    owner_case(free_at_once),
	    owner_case(claimed_unseen),
	    owner_case(others_fence),
	    owner_case(run_directory_removed),
	    owner_case(gone_meanwhile),
	    owner_case(another_of_its_name),
	};

	return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
