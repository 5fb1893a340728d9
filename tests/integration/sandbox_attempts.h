/* SPDX-License-Identifier: MIT */
/* What a worker that a guest has taken over might try. Each attempt takes the struct named with it,
 * or a path, and returns 0 or an errno value; those of a ring go by io_uring, which no filter of
 * system calls sees. */
#ifndef TESTS_INTEGRATION_SANDBOX_ATTEMPTS_H
#define TESTS_INTEGRATION_SANDBOX_ATTEMPTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct target {
	bool by_ring;
	int family, type;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
	} addr;
	socklen_t length;
	int fd; /* of the attempt */
};
int try_connect(const void *target);

struct file {
	const char *path;
	int flags;
};
int try_open(const void *file);
int try_ring_open(const void *file);

int try_ring_mkdir(const void *path);
int try_ring_symlink(const void *path);
int try_unlink(const void *path);
int try_ring_unlink(const void *path);
int try_mknod(const void *path);
int try_chroot(const void *path);
int try_unshare(const void *nothing);
int try_isatty(const void *nothing);   /* of the standard error */
int no_directory(const void *nothing); /* EEXIST: there is a descriptor of a directory */

/* Another attempt, by a thread whose process has no leader any more. */
struct call {
	int (*attempt)(const void *arg);
	const void *arg;
};
int try_without_leader(const void *call);

struct kill_by_socket {
	pid_t victim;
	int fd[2]; /* a pair */
};
/* Who owns a descriptor is sent a signal when something comes. 0: it was. */
int try_ioctl_owner(const void *kill_by_socket);
int try_fcntl_owner(const void *kill_by_socket);

struct growth {
	int fd;
	off_t at;
};
/* One byte more of a file. */
int try_grow_file(const void *growth);
int try_ring_grow_file(const void *growth);
int try_raise_size(const void *nothing); /* the limit of file sizes */

struct memory {
	size_t bytes;
	int flags; /* of mmap */
};
int try_memory(const void *memory);
int try_protect(const void *memory); /* made writable afterwards */
int try_grow(const void *memory);    /* a page that grows to that */
int try_no_limit(const void *arg);
int try_thread(const void *arg);

/* Forbidden calls that are to have no consequences. */
int try_ignore(const void *arg);
int try_blocked(const void *arg);

/* The ring to use where it is set; else each attempt makes one. */
extern struct io_uring *sealed_ring;
int try_new_ring(const void *arg);
int try_register(const void *arg); /* a descriptor with that ring */
int try_operation(const void *op); /* uint8_t, IORING_OP_* */
int try_flags(const void *arg);

#endif
