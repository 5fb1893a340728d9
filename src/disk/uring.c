/* SPDX-License-Identifier: MIT */
/* Made disabled, restricted, enabled: the kernel then keeps to it whoever holds the ring. */
#include "disk/uring.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 256
#define SMALLEST 32 /* slots of a ring of one page */

/* disk/thread.c: READ, POLL_ADD. storage/file_io.c, discard.c: READ, WRITE, FSYNC. TIMEOUT: waits
 * with an end, on kernels before 5.11, and the pauses of storage/again.c and fault.c. No flags of
 * operations are used. */
static const uint8_t operations[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
                                     IORING_OP_POLL_ADD, IORING_OP_TIMEOUT};
#define NR_OPERATIONS (sizeof operations / sizeof *operations)

/* Not by liburing: versions that are in use declare the two calls and do not have them. */
static int ring_register(struct io_uring *ring, unsigned what, void *arg, unsigned n)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, what, arg, n) < 0 ? -errno : 0;
}

static int restrict_to_operations(struct io_uring *ring)
{
	struct io_uring_restriction r[NR_OPERATIONS] = {0};

	for (size_t i = 0; i < NR_OPERATIONS; i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = operations[i];
	}
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, NR_OPERATIONS);
}

/* Its memory counts as locked, which is limited for all workers together: not more than a ring of
 * that size can use. A request has one operation in flight; a few are the thread's own. Not
 * SINGLE_ISSUER: the issuer would be who enables it, and that is not the queue's thread. */
static int setup(struct io_uring *ring, uint32_t slots)
{
	unsigned entries = 2 * slots < ENTRIES ? 2 * slots : ENTRIES;
	struct io_uring_params p = {
	    .flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE |
	             IORING_SETUP_R_DISABLED,
	    .cq_entries = 4 * slots,
	};
	int rc = io_uring_queue_init_params(entries, ring, &p);

	if (rc == -EINVAL) { /* a kernel before 5.19 */
		p = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
		                             .cq_entries = 4 * slots};
		rc = io_uring_queue_init_params(entries, ring, &p);
	}
	return rc;
}

/* sysctl kernel.io_uring_disabled: 0 allowed, 1 to a group only, 2 to nobody; 0 if there is none.
 */
static int disabled(void)
{
	FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (f && fscanf(f, "%d", &value) != 1)
		value = 0;
	if (f)
		fclose(f);
	return value;
}

/* What forbids it, where nothing else says that, and what to do. */
static void remedy(int rc, char *text, size_t cap)
{
	struct rlimit r = {0};
	int value;

	switch (rc) {
	case -ENOMEM:
		getrlimit(RLIMIT_MEMLOCK, &r);
		snprintf(
		    text, cap,
		    "raise the limit of locked memory, which is %llu KiB (ulimit -l, systemd's "
		    "LimitMEMLOCK), or free memory",
		    (unsigned long long)r.rlim_cur / 1024);
		return;
	case -EINVAL:
		snprintf(text, cap, "Linux 5.10 or newer is needed");
		return;
	case -ENOSYS:
		snprintf(text, cap, "this kernel has none, or a seccomp profile hides it");
		return;
	case -EPERM:
	case -EACCES:
		value = disabled();
		if (value)
			snprintf(text, cap, "sysctl kernel.io_uring_disabled is %d; set it to 0",
			         value);
		else
			snprintf(text, cap,
			         "a seccomp profile forbids it, as Docker's default does; allow "
			         "io_uring_setup, io_uring_enter and io_uring_register there");
		return;
	}
	snprintf(text, cap, "%s", *error_remedy(rc) ? error_remedy(rc) : "see io_uring_setup(2)");
}

int uring_make(struct io_uring *ring, uint32_t slots, struct error *err)
{
	int rc = setup(ring, slots);
	char text[256];

	if (!rc) {
		rc = restrict_to_operations(ring);
		if (!rc)
			rc = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		if (rc)
			io_uring_queue_exit(ring);
	}
	if (!rc)
		return 0;
	remedy(rc, text, sizeof text);
	return error_set(err, rc, "cannot set up io_uring: %s; %s", error_name(rc), text);
}

int uring_check(struct error *err)
{
	struct io_uring ring;
	int rc = uring_make(&ring, SMALLEST, err);

	if (!rc)
		io_uring_queue_exit(&ring);
	return rc;
}
