/* SPDX-License-Identifier: MIT */
/* What a worker that a guest has taken over can still do once a front end is connected: its rings
 * and its memory are what its disk needs, and its image has the size that it had. */
#include "sandbox_child.h"

/* What it gave up when it opened its image it did not get back, and it makes no descriptor any more
 * that leads somewhere; not even to its own Xen. */
static void sealed_calls(void **state)
{
	struct target xen = local(SOCK_SEQPACKET, "%s/xen.sock", "");
	struct file f = {.path = "/etc/passwd", .flags = O_RDONLY};

	connected = true;
	assert_int_equal(inside(try_connect, &xen), FORBIDDEN);
	assert_int_equal(inside(try_new_ring, NULL), FORBIDDEN);
	assert_int_equal(inside(try_register, NULL), FORBIDDEN);
	assert_int_equal(inside(try_open, &f), ENOENT);
	assert_int_equal(inside(try_unshare, NULL), FORBIDDEN);
	connected = false;
}

/* Its image does not grow by it, whoever it has the descriptor from. */
static void sealed_size(void **state)
{
	int fd = open(host_image(&host, "grow.img", FILE_BYTES), O_RDWR | O_CLOEXEC);
	struct growth fits = {fd, FILE_BYTES - 1}, more = {fd, FILE_BYTES};

	connected = true;
	assert_int_equal(inside(try_grow_file, &fits), 0);
	assert_int_equal(inside(try_grow_file, &more), EFBIG);
	assert_int_equal(inside(try_ring_grow_file, &more), EFBIG);
	assert_int_equal(inside(try_raise_size, NULL), FORBIDDEN);
	connected = false;
	close(fd);
}

/* It has the memory that its disk needs, and no threads besides its queues'. */
static void sealed_memory(void **state)
{
	struct memory fits = {MEMORY / 2, MAP_PRIVATE | MAP_ANONYMOUS};
	struct memory more = {2 * MEMORY, MAP_PRIVATE | MAP_ANONYMOUS};
	struct memory shared = {4096, MAP_SHARED | MAP_ANONYMOUS};
	struct memory stack = {4096, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN};

	connected = true;
	assert_int_equal(inside(try_memory, &fits), 0);
	assert_int_equal(inside(try_memory, &more), ENOMEM);
	assert_int_equal(inside(try_protect, &more), ENOMEM);
	assert_int_equal(inside(try_grow, &more), ENOMEM);
	assert_int_equal(inside(try_memory, &shared), FORBIDDEN);
	assert_int_equal(inside(try_memory, &stack), FORBIDDEN);
	assert_int_equal(inside(try_no_limit, NULL), FORBIDDEN);
	assert_int_equal(inside(try_thread, NULL), FORBIDDEN);
	connected = false;
	assert_int_equal(inside(try_thread, NULL), 0);
}

/* Its rings do what serving a disk needs, one by one, and nothing else. */
static void sealed_rings(void **state)
{
	static const uint8_t allowed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
	                                  IORING_OP_POLL_ADD};
	uint8_t operation = 0;

	connected = true;
	for (; operation < IORING_OP_LAST; operation++) {
		bool ours = memchr(allowed, operation, sizeof allowed);
		if (operation == IORING_OP_TIMEOUT)
			continue; /* would wait */
		assert_int_equal(inside(try_operation, &operation), ours ? EBADF : EACCES);
	}
	assert_int_equal(inside(try_flags, NULL), EACCES);
	struct target t = {.family = AF_INET, .type = SOCK_STREAM, .by_ring = true};
	assert_int_equal(inside(try_connect, &t), EACCES);
	connected = false;
}

static int setup(void **state)
{
	host_start(&host, NULL);
	return 0;
}

static int teardown(void **state)
{
	host_stop(&host);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sealed_calls),
	    cmocka_unit_test(sealed_rings),
	    cmocka_unit_test(sealed_memory),
	    cmocka_unit_test(sealed_size),
	};

	program_needs(lacks_sandbox() ?: lacks_own_root());
	return cmocka_run_group_tests_name("sandbox_sealed", tests, setup, teardown);
}
