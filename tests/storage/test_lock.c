/* SPDX-License-Identifier: MIT */
/* One writer or many readers; the lock is the fence after a death. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blkif/vdev.h"
#include "harness.h"
#include "storage/claim.h"
#include "storage/locks.h"

#define SIZE (32u << 20)
#define DEPTH 32

static char path[256];

/* A process of its own that opens the image. */
struct holder {
	pid_t pid;
	int says; /* a struct answer, once it has one */
};

struct answer {
	int rc;
	uint64_t size;
};

enum behaviour { HOLD, WRITE_ON, DISCARD_ON };

static void keep_writing(struct rig *r)
{
	static struct rig_io io[DEPTH];
	unsigned char *buf = buffer(SIZE / DEPTH);

	memset(buf, 0xdd, SIZE / DEPTH);
	for (unsigned i = 0;; i++) {
		unsigned at = i % DEPTH;
		if (i >= DEPTH)
			rig_wait(r, &io[at]);
		rig_submit(r, &io[at], STORAGE_WRITE, buf, (uint64_t)at * (SIZE / DEPTH),
		           SIZE / DEPTH);
	}
}

static void keep_discarding(struct rig *r)
{
	for (;;)
		rig_do(r, STORAGE_DISCARD, NULL, 0, r->caps->size);
}

static void nothing(int sig)
{
}

static void holder_main(int out, int flags, enum behaviour behaviour)
{
	struct sigaction sa = {.sa_handler = nothing}; /* without SA_RESTART */
	struct error err;
	struct rig r;

	sigaction(SIGUSR1, &sa, NULL);
	struct answer answer = {.rc = rig_try_open(&r, path, flags, &err)};
	if (!answer.rc)
		answer.size = r.caps->size;
	if (write(out, &answer, sizeof answer) < 0 || answer.rc)
		_exit(1);
	switch (behaviour) {
	case HOLD:
		for (;;)
			pause();
	case WRITE_ON:
		keep_writing(&r);
		break;
	case DISCARD_ON:
		keep_discarding(&r);
		break;
	}
	_exit(1);
}

static struct holder holder_start(int flags, enum behaviour behaviour)
{
	int pipefd[2];

	assert_int_equal(pipe(pipefd), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(pipefd[0]);
		alarm(100); /* whatever becomes of the test */
		holder_main(pipefd[1], flags, behaviour);
	}
	close(pipefd[1]);
	return (struct holder){pid, pipefd[0]};
}

/* The size that it found. */
static uint64_t holder_says(struct holder *h)
{
	struct answer answer = {.rc = 12345};

	assert_int_equal(read(h->says, &answer, sizeof answer), sizeof answer);
	assert_int_equal(answer.rc, 0);
	return answer.size;
}

static bool holder_silent(struct holder *h, int ms)
{
	struct pollfd p = {.fd = h->says, .events = POLLIN};

	return poll(&p, 1, ms) == 0;
}

static void holder_kill(struct holder *h)
{
	kill(h->pid, SIGKILL);
}

static void holder_reap(struct holder *h)
{
	assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
	close(h->says);
}

static void holder_end(struct holder *h)
{
	holder_kill(h);
	holder_reap(h);
}

/* Whose disk it is, see image_open. */
static void expect_busy_of(int flags, uint32_t devid)
{
	struct storage *s;
	struct error err;
	char text[ERROR_TEXT_MAX], vdev[VDEV_NAME_MAX];

	assert_int_equal(image_open(path, flags, &s, &err), -EBUSY);
	vdev_name(devid, vdev);
	snprintf(text, sizeof text,
	         "image %s is in use: disk 1:%s of xenblkd has it; end that first, or share the "
	         "image with mode w!",
	         path, vdev);
	assert_string_equal(err.text, text);
}

static void expect_busy(int flags, const struct holder *h)
{
	expect_busy_of(flags, image_devid(h->pid));
}

static void expect_free(int flags)
{
	struct storage *s;
	struct error err;

	if (image_open(path, flags, &s, &err))
		fail_msg("%s", err.text);
	image_close(s);
}

static void combinations(void **state)
{
	struct holder h;

	h = holder_start(0, HOLD);
	assert_int_equal(holder_says(&h), SIZE);
	expect_busy(0, &h);
	expect_busy(OPEN_RO, &h);
	expect_busy(OPEN_SHARED, &h);
	holder_end(&h);
	expect_free(0);

	h = holder_start(OPEN_RO, HOLD);
	assert_int_equal(holder_says(&h), SIZE);
	expect_busy(0, &h);
	expect_free(OPEN_RO);
	holder_end(&h);

	h = holder_start(OPEN_SHARED, HOLD);
	assert_int_equal(holder_says(&h), SIZE);
	expect_busy(0, &h);
	expect_free(OPEN_SHARED);
	expect_free(OPEN_RO);
	holder_end(&h);
}

/* Another disk: it runs in a process of its own. */
static void other_finds_busy(void)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct storage *s;
		struct error err;
		_exit(image_open(path, 0, &s, &err) == -EBUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void given_back(void **state)
{
	struct rig r;

	rig_open(&r, path, 0);
	other_finds_busy();
	rig_close(&r);
	rig_open(&r, path, 0);
	rig_close(&r);
}

/* It waits as long as it takes, through signals. */
static void waits(void **state)
{
	/* Not this process: a fork has the same descriptor, hence the same lock. */
	struct holder first = holder_start(0, HOLD);

	assert_int_equal(holder_says(&first), SIZE);
	struct holder h = holder_start(OPEN_WAIT, HOLD);
	assert_true(holder_silent(&h, 100));
	for (int i = 0; i < 10; i++) {
		kill(h.pid, SIGUSR1);
		assert_true(holder_silent(&h, 10));
	}
	/* What the owner does to the image until then counts. */
	assert_int_equal(truncate(path, SIZE / 2), 0);
	holder_end(&first);
	assert_int_equal(holder_says(&h), SIZE / 2);
	assert_int_equal(truncate(path, SIZE), 0);
	holder_end(&h);
}

/* Once the lock is ours, nothing that the dead one had under way reaches the disk. */
static void nothing_comes_late(int flags)
{
	unsigned char *ours = buffer(SIZE / DEPTH), *back = buffer(SIZE / DEPTH);

	memset(ours, 0x11, SIZE / DEPTH);
	for (int round = 0; round < 3; round++) {
		struct holder h = holder_start(flags, WRITE_ON);
		struct rig r;
		assert_int_equal(holder_says(&h), SIZE);
		if (!(flags & OPEN_SHARED))
			expect_busy_of(0, 7);
		holder_kill(&h);
		rig_open(&r, path, flags | OPEN_WAIT);
		for (unsigned i = 0; i < DEPTH; i++)
			assert_int_equal(
			    rig_do(&r, STORAGE_WRITE, ours, i * (SIZE / DEPTH), SIZE / DEPTH), 0);
		holder_reap(&h);
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_int_equal(
			    rig_do(&r, STORAGE_READ, back, i * (SIZE / DEPTH), SIZE / DEPTH), 0);
			assert_memory_equal(back, ours, SIZE / DEPTH);
		}
		rig_close(&r);
	}
	free(ours);
	free(back);
}

static void killed_while_writing(void **state)
{
	nothing_comes_late(OPEN_OWNED);
}

/* Others may write to a shared image, but the same disk must not do so twice. */
static void killed_while_sharing(void **state)
{
	struct holder other = holder_start(OPEN_SHARED, HOLD);

	assert_int_equal(holder_says(&other), SIZE);
	nothing_comes_late(OPEN_SHARED | OPEN_OWNED);
	holder_end(&other);
}

/* The disk was taken away by force with I/O under way, and comes back in another mode. */
static void other_mode(void **state)
{
	static const enum locks_range before[] = {RANGE_FENCE, RANGE_FENCE_SHARED};
	static const int flags[] = {OPEN_SHARED, 0};
	int fd = open(path, O_RDWR | O_CLOEXEC);

	for (int i = 0; i < 2; i++) {
		uint64_t byte = locks_disk(before[i], claim_owner(0, 1, 7));
		assert_int_equal(locks_take(fd, byte, true, false), 0);
		struct holder h = holder_start(OPEN_OWNED | flags[i], HOLD);
		assert_true(holder_silent(&h, 100));
		/* Closed would not do: the holder is a fork, and has it, too. */
		assert_int_equal(locks_leave(fd, byte), 0);
		assert_int_equal(holder_says(&h), SIZE);
		holder_end(&h);
	}
	close(fd);
}

static void killed_while_discarding(void **state)
{
	struct rig r;

	/* So that it is under way for sure. */
	image_create(path, 256ull << 30);
	struct holder h = holder_start(OPEN_OWNED, DISCARD_ON);
	assert_int_equal(holder_says(&h), 256ull << 30);
	expect_busy_of(0, 7);
	holder_kill(&h);
	rig_open(&r, path, OPEN_OWNED | OPEN_WAIT);
	rig_close(&r);
	holder_reap(&h);
	image_create(path, SIZE);
}

/* The byte of a disk's fence follows from its numbers alone. */
static void owner_numbers(void **state)
{
	static const struct {
		uint16_t domid;
		uint32_t devid;
	} disks[] = {{0, 0},     {1, 51712},         {1, 51728},
	             {2, 51712}, {32751, 268435456}, {7, 536870911}};
	const size_t n = sizeof disks / sizeof *disks;

	for (size_t i = 0; i < n; i++) {
		uint64_t owner = claim_owner(UINT64_MAX, disks[i].domid, disks[i].devid);
		uint16_t domid;
		uint32_t devid;
		claim_owner_disk(owner, &domid, &devid);
		assert_int_equal(domid, disks[i].domid);
		assert_int_equal(devid, disks[i].devid);
		assert_true(owner < 1ull << CLAIM_OWNER_BITS);
		assert_true(owner == claim_owner(UINT64_MAX, disks[i].domid, disks[i].devid));
		/* Another Xen's disk of the same numbers is another one. */
		assert_true(owner != claim_owner(1, disks[i].domid, disks[i].devid));
		for (size_t j = 0; j < i; j++)
			assert_true(owner !=
			            claim_owner(UINT64_MAX, disks[j].domid, disks[j].devid));
	}
}

/* flock is another kind of lock, wherever the two are told apart, and nobody waits for it. */
static void flock_is_nothing(void **state)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	expect_free(0);
	expect_free(OPEN_SHARED);
	close(fd);
}

static int setup(void **state)
{
	snprintf(path, sizeof path, "%s", test_path("image"));
	image_fill(path, SIZE);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(combinations),
	    cmocka_unit_test(given_back),
	    cmocka_unit_test(waits),
	    cmocka_unit_test(killed_while_writing),
	    cmocka_unit_test(killed_while_sharing),
	    cmocka_unit_test(other_mode),
	    cmocka_unit_test(killed_while_discarding),
	    cmocka_unit_test(owner_numbers),
	    cmocka_unit_test(flock_is_nothing),
	};

	return cmocka_run_group_tests_name("lock", tests, setup, NULL);
}
