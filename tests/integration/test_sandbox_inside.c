/* SPDX-License-Identifier: MIT */
/*
 * What a worker that a guest has taken over can still do: a child enters the sandbox as a worker
 * does, on a host with a second disk, and then tries one thing. By system calls, and by io_uring,
 * which no filter of system calls sees.
 */
#include <netinet/in.h>
#include <sched.h>

#include "sandbox_child.h"

static char folder[160], abstract_name[64];
static const char *image;
static int abstract_fd, tcp_fd;
static uint16_t tcp_port;

/* Both ways; and as a check of the check: outside they reach it. */
static void assert_reach(struct target t, int by_call, int by_ring)
{
	assert_int_equal(inside(try_connect, &t), by_call);
	t.by_ring = true;
	assert_int_equal(inside(try_connect, &t), by_ring);
	assert_int_equal(try_connect(&t), 0);
	t.by_ring = false;
	assert_int_equal(try_connect(&t), 0);
}

static void control_socket(void **state)
{
	assert_reach(local(SOCK_STREAM, "%s/control.sock", ""), ENOENT, ENOENT);
}

static void xenstore(void **state)
{
	assert_reach(local(SOCK_STREAM, "%s/xenstored.sock", ""), ENOENT, ENOENT);
}

static void xenstore_from_above(void **state)
{
	assert_reach(local(SOCK_STREAM, "%s/disks/1:xvda/../../xenstored.sock", ""), ENOENT,
	             ENOENT);
}

static void other_worker(void **state)
{
	assert_reach(local(SOCK_SEQPACKET, "%s/disks/2:xvda/worker.sock", ""), ENOENT, ENOENT);
}

/* A worker that listens there; its process. */
static pid_t start_worker(const char *dir, const struct target *t, int (*first)(const void *arg))
{
	char program[300];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid;

	unlink(t->addr.un.sun_path);
	assert_int_equal(bind(fd, &t->addr.any, t->length), 0);
	assert_int_equal(listen(fd, 4), 0);
	/* A process that does that, and has ended, before the worker listens to it. */
	pid = first ? fork() : 0;
	if (first && !pid)
		_exit(first(t));
	if (first)
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(program, sizeof program, "%s/xenblkd-worker", host.build);
	pid = fork();
	if (!pid) {
		if (fd == 3)
			fcntl(fd, F_SETFD, 0);
		else
			dup2(fd, 3);
		execl(program, "worker", "--dir", dir, "--embedded", host.dir, "--domid", "1",
		      "--devid", "51712", "--name", "1:xvda", NULL);
		_exit(127);
	}
	close(fd);
	return pid;
}

static int hello(int fd)
{
	struct wm m = {.version = WM_VERSION, .type = WM_HELLO, .serial = 1};

	if (send(fd, &m, sizeof m, MSG_NOSIGNAL) != sizeof m)
		return errno;
	return recv(fd, &m, sizeof m, 0) == sizeof m ? 0 : ECONNRESET;
}

static int try_hello(const void *arg)
{
	const struct target *t = arg;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	return connect(fd, &t->addr.any, t->length) ? errno : hello(fd);
}

/* The next worker of the disk waits, still with all rights, and listens only to its supervisor: as
 * a thread of a process whose leader is gone, or as it is, no worker finds its socket. What the
 * supervisor says to it goes on. */
static void next_worker(void **state)
{
	struct target t = local(SOCK_SEQPACKET, "%s/disks/1:xvda/next.sock", "");
	pid_t next = start_worker(folder, &t, NULL); /* as for an upgrade */
	int status, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &t.addr.any, t.length), 0);
	assert_int_equal(hello(fd), 0);
	assert_int_equal(inside(try_hello, &t), ENOENT);
	assert_int_equal(inside(try_without_leader, &(struct call){try_hello, &t}), ENOENT);
	t.by_ring = true;
	assert_int_equal(inside(try_connect, &t), ENOENT);
	assert_int_equal(hello(fd), 0);
	close(fd); /* which ends it */
	assert_int_equal(waitpid(next, &status, 0), next);
	assert_int_equal(status, 0);
	unlink(t.addr.un.sun_path);
}

/* Where it cannot hide the host's sockets, it cannot call them either, unless its Xen is one. */
static void no_calls_on_a_real_xen(void **state)
{
	struct target t = local(SOCK_SEQPACKET, "%s/disks/2:xvda/worker.sock", "");
	int by_call, by_thread;

	without_admin = real_xen = true;
	by_call = inside(try_connect, &t);
	by_thread = inside(try_without_leader, &(struct call){try_connect, &t});
	without_admin = real_xen = false;
	assert_int_equal(by_call, FORBIDDEN);
	assert_int_equal(by_thread, FORBIDDEN);
}

/* Its supervisor died before it was heard: the worker does not wait for ever. */
static void caller_has_ended(void **state)
{
	struct target t = local(SOCK_SEQPACKET, "%s/disks/1:xvda/next.sock", "");
	pid_t worker = start_worker(folder, &t, try_connect);
	int status;

	assert_int_equal(waitpid(worker, &status, 0), worker);
	assert_int_equal(status, 0);
	unlink(t.addr.un.sun_path);
}

static void copy_folder(const char *from, const char *to)
{
	char command[500];

	snprintf(command, sizeof command, "cp -r --sparse=always '%s' '%s'", from, to);
	assert_int_equal(system(command), 0);
}

/* Half-way into the sandbox there is no way but out: it says why, and ends. */
static void sandbox_fails(void **state)
{
	struct target t = local(SOCK_SEQPACKET, "%s/disks/9.sock", "");
	struct wm m = {.version = WM_VERSION, .type = WM_OPEN, .serial = 7};
	int status, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char dir[200], xen[200], away[220], text[300];
	pid_t worker;

	snprintf(dir, sizeof dir, "%s/disks/9", host.dir);
	snprintf(xen, sizeof xen, "%s/xen.sock", host.dir);
	snprintf(away, sizeof away, "%s.away", xen);
	copy_folder(folder, dir);
	worker = start_worker(dir, &t, NULL);
	assert_int_equal(connect(fd, &t.addr.any, t.length), 0);
	assert_int_equal(hello(fd), 0);
	assert_int_equal(rename(xen, away), 0);
	m.open.target.engine = STORAGE_NULL;
	m.open.target.size = 1 << 20;
	assert_int_equal(send(fd, &m, sizeof m, 0), sizeof m);
	assert_int_equal(recv(fd, &m, sizeof m, 0), sizeof m);
	assert_int_equal(m.type, WM_FAILED);
	assert_int_equal(m.serial, 7);
	assert_int_equal(m.rc, -ENOENT);
	assert_int_equal(rename(away, xen), 0);
	snprintf(text, sizeof text,
	         "cannot make a root directory of its own: %s: No such file or directory", xen);
	assert_string_equal(m.text, text);
	assert_int_equal(recv(fd, &m, sizeof m, 0), 0);
	assert_int_equal(waitpid(worker, &status, 0), worker);
	assert_int_equal(status, 0);
	close(fd);
}

/* The next message of that type; others are skipped. */
static void await(int fd, struct wm *m, uint32_t type)
{
	do
		assert_int_equal(recv(fd, m, sizeof *m, 0), sizeof *m);
	while (m->type != type);
}

/* What connecting takes it gives up for good, also where the connection did not come about. */
static void one_connection(void **state)
{
	struct target t = local(SOCK_SEQPACKET, "%s/disks/8.sock", "");
	struct wm m = {.version = WM_VERSION, .type = WM_OPEN, .serial = 7};
	int status, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char dir[200];
	pid_t worker;

	snprintf(dir, sizeof dir, "%s/disks/8", host.dir);
	copy_folder(folder, dir);
	worker = start_worker(dir, &t, NULL);
	assert_int_equal(connect(fd, &t.addr.any, t.length), 0);
	m.open.target.engine = STORAGE_NULL;
	m.open.target.size = 1 << 20;
	assert_int_equal(send(fd, &m, sizeof m, 0), sizeof m);
	await(fd, &m, WM_OPENED);
	for (uint32_t i = 0; i < 2; i++) {
		m = (struct wm){.version = WM_VERSION, .type = WM_CONNECT, .serial = 8 + i};
		m.connect.nr_queues = 1;
		m.connect.protocol = BLKIF_PROTO_X86_64;
		m.connect.sector_size = 512;
		assert_int_equal(send(fd, &m, sizeof m, 0), sizeof m);
		await(fd, &m, WM_FAILED);
		assert_int_equal(m.serial, 8 + i);
		assert_int_equal(m.rc == -EALREADY, i);
	}
	m = (struct wm){.version = WM_VERSION, .type = WM_QUIT};
	assert_int_equal(send(fd, &m, sizeof m, 0), sizeof m);
	assert_int_equal(waitpid(worker, &status, 0), worker);
	assert_int_equal(status, 0);
	close(fd);
}

/* What it needs is there. */
static void xen_socket(void **state)
{
	assert_reach(local(SOCK_SEQPACKET, "%s/xen.sock", ""), 0, 0);
}

static struct target abstract(void)
{
	struct target t = {.family = AF_UNIX, .type = SOCK_STREAM};

	t.addr.un.sun_family = AF_UNIX;
	strcpy(t.addr.un.sun_path + 1, abstract_name);
	t.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract_name));
	return t;
}

static void abstract_socket(void **state)
{
	assert_reach(abstract(), ECONNREFUSED, ECONNREFUSED);
}

static void loopback(void **state)
{
	struct target t = {.family = AF_INET, .type = SOCK_STREAM};

	t.addr.in.sin_family = AF_INET;
	t.addr.in.sin_port = tcp_port;
	t.addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	t.length = sizeof t.addr.in;
	/* Landlock looks first. */
	assert_reach(t, FORBIDDEN, landlock_version() >= 4 ? EACCES : ENETUNREACH);
	t.type = SOCK_DGRAM;
	assert_reach(t, FORBIDDEN, ENETUNREACH);
}

static void assert_open(const char *path, int flags, int rc)
{
	struct file f = {.path = path, .flags = flags};

	assert_int_equal(inside(try_open, &f), rc);
	assert_int_equal(inside(try_ring_open, &f), rc);
}

static void files_outside(void **state)
{
	char above[300], other[200];

	snprintf(above, sizeof above, "%s/../../../../../../etc/passwd", folder);
	snprintf(other, sizeof other, "%s/disks/2:xvda/stats", host.dir);
	assert_int_equal(access(above, R_OK), 0);
	assert_int_equal(access(other, R_OK), 0);
	assert_open("/etc/passwd", O_RDONLY, ENOENT);
	assert_open(above, O_RDONLY, ENOENT);
	assert_open(other, O_RDONLY, ENOENT);
	assert_open(image, O_RDONLY, ENOENT);
	assert_open("/dev/null", O_RDWR, ENOENT);
}

static void processes(void **state)
{
	assert_open("/proc/1/root/etc/passwd", O_RDONLY, ENOENT);
	assert_open("/proc/1/environ", O_RDONLY, ENOENT);
	assert_open("/proc/self/fd/0", O_RDWR, ENOENT);
}

/* What it has of its own folder it has in memory: the folder is as far as any other. */
static void own_folder(void **state)
{
	static const char *const names[] = {"journal-0", "stats",      "lost",      "worker.sock",
	                                    "source",    "connection", "statistics"};
	char path[200];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		assert_open(path, O_RDONLY, ENOENT);
		assert_int_equal(inside(try_unlink, path), FORBIDDEN);
		assert_int_equal(inside(try_ring_unlink, path), ENOENT);
	}
}

/* Nothing can be made: a million files, a link that the supervisor would write through. */
static void nothing_made(void **state)
{
	char path[200];

	assert_open("/new", O_RDWR | O_CREAT, EROFS);
	assert_int_equal(inside(try_ring_mkdir, "/new"), EROFS);
	snprintf(path, sizeof path, "%s/new", folder);
	assert_open(path, O_RDWR | O_CREAT, ENOENT);
	assert_int_equal(inside(try_ring_mkdir, path), ENOENT);
	assert_int_equal(inside(try_ring_symlink, path), ENOENT);
	assert_int_equal(inside(try_mknod, path), FORBIDDEN);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void no_way_out(void **state)
{
	assert_int_equal(inside(no_directory, NULL), 0);
	assert_int_equal(inside(try_chroot, folder), FORBIDDEN);
	assert_int_equal(inside(try_unshare, NULL), FORBIDDEN);
	assert_int_equal(inside(try_ignore, NULL), FORBIDDEN);
	assert_int_equal(inside(try_blocked, NULL), FORBIDDEN);
}

static void assert_no_signal(int (*attempt)(const void *arg))
{
	struct kill_by_socket k = {.victim = fork()};
	int status;

	if (!k.victim)
		for (;;)
			pause();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, k.fd), 0);
	assert_int_equal(inside(attempt, &k), FORBIDDEN);
	assert_int_equal(waitpid(k.victim, &status, WNOHANG), 0);
	kill(k.victim, SIGKILL);
	assert_int_equal(waitpid(k.victim, &status, 0), k.victim);
	close(k.fd[0]);
	close(k.fd[1]);
}

static void no_signals(void **state)
{
	assert_no_signal(try_ioctl_owner);
	assert_no_signal(try_fcntl_owner);
}

/* Without the right to make namespaces the disk is served all the same; what else there is holds.
 */
static void no_namespaces(void **state)
{
	struct target t = local(SOCK_STREAM, "%s/control.sock", "");
	struct file f = {.path = "/etc/passwd", .flags = O_RDONLY};
	int reached, opened;

	without_admin = true;
	reached = inside(try_connect, &t);
	opened = inside(try_open, &f);
	without_admin = false;
	assert_int_equal(reached, 0);
	assert_int_equal(opened, EACCES);
}

/* A network of its own does without it. Where there is none, Landlock's scopes are what there is.
 */
static void no_namespaces_but_scopes(void **state)
{
	struct target t = abstract();

	if (landlock_version() < 6) {
		print_message("# this kernel's Landlock does not know %s\n",
		              landlock_lacks(landlock_version()));
		skip();
	}
	without_admin = true;
	int by_call = inside(try_connect, &t);
	t.by_ring = true;
	int by_ring = inside(try_connect, &t);
	without_admin = false;
	assert_int_equal(by_call, EPERM);
	assert_int_equal(by_ring, EPERM);
	assert_int_equal(try_connect(&t), 0);
}

/* What Xen's libraries ask when they open /dev/xen/gntdev has an answer; it is no way to end a
 * worker. */
static void libraries(void **state)
{
	real_xen = true;
	int rc = inside(try_isatty, NULL);
	real_xen = false;
	assert_int_equal(rc, ENOTTY);
}

static ino_t mounts_of_self(void)
{
	struct stat st;

	return stat("/proc/self/ns/mnt", &st) ? 0 : st.st_ino;
}

/* Fails half-way, by a policy of the system: back in the host's mounts, not in a copy of them. */
static int try_root_twice(ino_t before)
{
	struct sandbox s = {.xen = xen_platform_paths(host.xen), .net_fd = -1};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	struct error err;

	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(pivot_root), 0) ||
	    seccomp_load(ctx))
		return 1;
	if (root_enter(&s, &err) != -EACCES)
		return 2;
	if (mounts_of_self() != before)
		return 3;
	return access("/etc/passwd", R_OK) ? 4 : 0;
}

static void failed_half_way(void **state)
{
	ino_t before = mounts_of_self();
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(try_root_twice(before));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- the host ---- */

static void listeners(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof in;

	snprintf(abstract_name, sizeof abstract_name, "xenblkd-test-%d", (int)getpid());
	strcpy(un.sun_path + 1, abstract_name);
	abstract_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(abstract_fd, (struct sockaddr *)&un,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract_name))),
	    0);
	assert_int_equal(listen(abstract_fd, 16), 0);
	tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(tcp_fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(tcp_fd, 16), 0);
	assert_int_equal(getsockname(tcp_fd, (struct sockaddr *)&in, &length), 0);
	tcp_port = in.sin_port;
}

static int setup(void **state)
{
	host_start(&host, NULL);
	image = host_image(&host, "a.img", 1 << 20);
	host_attach(&host, &(struct disk){.params = image}, image);
	host_attach(&host, &(struct disk){.domid = 2, .params = "null:1M"}, "null:1M");
	snprintf(folder, sizeof folder, "%s/disks/1:xvda", host.dir);
	/* What is tried is whether its socket can be reached. */
	while (!host_worker(&host, "2:xvda"))
		usleep(1000);
	listeners();
	return 0;
}

static int teardown(void **state)
{
	close(abstract_fd);
	close(tcp_fd);
	host_stop(&host);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(control_socket),
	    cmocka_unit_test(xenstore),
	    cmocka_unit_test(xenstore_from_above),
	    cmocka_unit_test(other_worker),
	    cmocka_unit_test(next_worker),
	    cmocka_unit_test(xen_socket),
	    cmocka_unit_test(abstract_socket),
	    cmocka_unit_test(loopback),
	    cmocka_unit_test(files_outside),
	    cmocka_unit_test(processes),
	    cmocka_unit_test(own_folder),
	    cmocka_unit_test(nothing_made),
	    cmocka_unit_test(no_calls_on_a_real_xen),
	    cmocka_unit_test(no_way_out),
	    cmocka_unit_test(no_signals),
	    cmocka_unit_test(sandbox_fails),
	    cmocka_unit_test(caller_has_ended),
	    cmocka_unit_test(no_namespaces),
	    cmocka_unit_test(no_namespaces_but_scopes),
	    cmocka_unit_test(failed_half_way),
	    cmocka_unit_test(libraries),
	    cmocka_unit_test(one_connection),
	};

	program_needs(lacks_sandbox() ?: lacks_own_root());
	return cmocka_run_group_tests_name("sandbox_inside", tests, setup, teardown);
}
