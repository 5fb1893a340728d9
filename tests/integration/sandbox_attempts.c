/* SPDX-License-Identifier: MIT */
/* The attempts, one function each: by a system call, or by io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sandbox_attempts.h"

struct io_uring *sealed_ring;

static int ring_op(void (*prep)(struct io_uring_sqe *sqe, const void *arg), const void *arg)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int rc = sealed_ring ? 0 : io_uring_queue_init(4, &ring, 0);

	if (rc)
		return rc;
	if (sealed_ring)
		ring = *sealed_ring;
	prep(io_uring_get_sqe(&ring), arg);
	io_uring_submit(&ring);
	rc = io_uring_wait_cqe(&ring, &cqe);
	if (!rc)
		rc = cqe->res;
	if (!sealed_ring)
		io_uring_queue_exit(&ring);
	return rc;
}

int try_new_ring(const void *arg)
{
	struct io_uring ring;

	return -io_uring_queue_init(4, &ring, 0);
}

int try_register(const void *arg)
{
	int fds[1] = {0};

	return -io_uring_register_files(sealed_ring, fds, 1);
}

static void prep_any(struct io_uring_sqe *sqe, const void *op)
{
	io_uring_prep_nop(sqe);
	sqe->opcode = *(const uint8_t *)op;
	sqe->fd = -1;
}

int try_operation(const void *op)
{
	return -ring_op(prep_any, op);
}

static void prep_linked(struct io_uring_sqe *sqe, const void *arg)
{
	io_uring_prep_read(sqe, 0, NULL, 0, 0);
	sqe->flags |= IOSQE_ASYNC;
}

int try_flags(const void *arg)
{
	return -ring_op(prep_linked, arg);
}

static void prep_socket(struct io_uring_sqe *sqe, const void *arg)
{
	const struct target *t = arg;

	io_uring_prep_socket(sqe, t->family, t->type, 0, 0);
}

static void prep_connect(struct io_uring_sqe *sqe, const void *arg)
{
	const struct target *t = arg;

	io_uring_prep_connect(sqe, t->fd, &t->addr.any, t->length);
}

int try_connect(const void *arg)
{
	struct target t = *(const struct target *)arg;
	int rc;

	t.fd = t.by_ring ? ring_op(prep_socket, &t) : socket(t.family, t.type, 0);
	if (t.fd < 0)
		return t.by_ring ? -t.fd : errno;
	if (t.by_ring) {
		rc = ring_op(prep_connect, &t);
		return rc < 0 ? -rc : 0;
	}
	return connect(t.fd, &t.addr.any, t.length) ? errno : 0;
}

int try_open(const void *arg)
{
	const struct file *f = arg;

	return open(f->path, f->flags, 0600) < 0 ? errno : 0;
}

static void prep_open(struct io_uring_sqe *sqe, const void *arg)
{
	const struct file *f = arg;

	io_uring_prep_openat(sqe, AT_FDCWD, f->path, f->flags, 0600);
}

int try_ring_open(const void *arg)
{
	int rc = ring_op(prep_open, arg);

	return rc < 0 ? -rc : 0;
}

/* As a worker does; else the signal is the answer. */
static void no_signal(void)
{
	signal(SIGXFSZ, SIG_IGN);
}

int try_grow_file(const void *arg)
{
	const struct growth *g = arg;

	no_signal();
	return pwrite(g->fd, "x", 1, g->at) == 1 ? 0 : errno;
}

static void prep_growth(struct io_uring_sqe *sqe, const void *arg)
{
	const struct growth *g = arg;

	io_uring_prep_write(sqe, g->fd, "x", 1, (uint64_t)g->at);
}

int try_ring_grow_file(const void *arg)
{
	int rc;

	no_signal();
	rc = ring_op(prep_growth, arg);
	return rc < 0 ? -rc : 0;
}

int try_raise_size(const void *arg)
{
	const struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	return setrlimit(RLIMIT_FSIZE, &r) ? errno : 0;
}

static void prep_mkdir(struct io_uring_sqe *sqe, const void *path)
{
	io_uring_prep_mkdirat(sqe, AT_FDCWD, path, 0755);
}

int try_ring_mkdir(const void *path)
{
	return -ring_op(prep_mkdir, path);
}

static void prep_symlink(struct io_uring_sqe *sqe, const void *path)
{
	io_uring_prep_symlinkat(sqe, "/", AT_FDCWD, path);
}

int try_ring_symlink(const void *path)
{
	return -ring_op(prep_symlink, path);
}

static void prep_unlink(struct io_uring_sqe *sqe, const void *path)
{
	io_uring_prep_unlinkat(sqe, AT_FDCWD, path, 0);
}

int try_ring_unlink(const void *path)
{
	return -ring_op(prep_unlink, path);
}

int try_unlink(const void *path)
{
	return unlink(path) ? errno : 0;
}

static void *after_the_leader(void *arg)
{
	const struct call *c = arg;

	/* Time for the leader to be gone. */
	usleep(50 * 1000);
	_exit(c->attempt(c->arg));
}

int try_without_leader(const void *arg)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, after_the_leader, (void *)(uintptr_t)arg);

	/* Not pthread_exit, which opens a library. */
	if (!rc)
		syscall(SYS_exit, 0);
	return rc;
}

int try_mknod(const void *path)
{
	return mknod(path, S_IFCHR | 0600, makedev(1, 1)) ? errno : 0;
}

int try_chroot(const void *path)
{
	return chroot(path) ? errno : 0;
}

int try_unshare(const void *arg)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

int try_isatty(const void *arg)
{
	return isatty(STDERR_FILENO) ? 0 : errno;
}

int try_ioctl_owner(const void *arg)
{
	const struct kill_by_socket *k = arg;
	int pid = k->victim, on = 1;

	if (ioctl(k->fd[0], FIOSETOWN, &pid) || ioctl(k->fd[0], FIOASYNC, &on))
		return errno;
	return write(k->fd[1], "", 1) == 1 ? 0 : errno;
}

int try_fcntl_owner(const void *arg)
{
	const struct kill_by_socket *k = arg;

	if (fcntl(k->fd[0], F_SETOWN, k->victim) || fcntl(k->fd[0], F_SETSIG, SIGKILL) ||
	    fcntl(k->fd[0], F_SETFL, O_ASYNC))
		return errno;
	return write(k->fd[1], "", 1) == 1 ? 0 : errno;
}

int no_directory(const void *arg)
{
	struct stat st;

	for (int fd = 0; fd < 1024; fd++)
		if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
			return EEXIST;
	return 0;
}

int try_memory(const void *arg)
{
	const struct memory *m = arg;

	return mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, m->flags, -1, 0) == MAP_FAILED ? errno
	                                                                                   : 0;
}

int try_protect(const void *arg)
{
	const struct memory *m = arg;
	void *p = mmap(NULL, m->bytes, PROT_READ, m->flags, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	return mprotect(p, m->bytes, PROT_READ | PROT_WRITE) ? errno : 0;
}

int try_grow(const void *arg)
{
	const struct memory *m = arg;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, m->flags, -1, 0);

	return mremap(p, 4096, m->bytes, MREMAP_MAYMOVE) == MAP_FAILED ? errno : 0;
}

int try_no_limit(const void *arg)
{
	const struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	return setrlimit(RLIMIT_DATA, &r) ? errno : 0;
}

static void *nothing(void *arg)
{
	return NULL;
}

int try_thread(const void *arg)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL);
}

int try_ignore(const void *arg)
{
	return signal(SIGSYS, SIG_IGN) == SIG_ERR ? errno : 0;
}

int try_blocked(const void *arg)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return try_unshare(arg);
}
