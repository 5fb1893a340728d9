/* SPDX-License-Identifier: MIT */
/* Discards of regular files: they make holes, and nobody waits for them. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "storage/file.h"

#define MIB (1u << 20)

/* What a file system may count of its own. */
#define SLACK 65536

/* In the place of the C library's, so that a discard can be watched, held up and made to fail. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static off_t longest_with_data;      /* under gate */
static int fault;                    /* under gate; the next one's errno */
static unsigned inside, most_inside; /* atomic: at the gate or through it */
static unsigned calls;               /* under gate */
static off_t watched = -1;           /* under gate; the call at that offset … */
static unsigned watched_at;          /* … was the how manieth */

/* In the place of the C library's: whether all of a file is data. */
static bool dense;

off_t lseek(int fd, off_t offset, int whence)
{
	return dense && whence == SEEK_DATA ? offset : syscall(SYS_lseek, fd, offset, whence);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	unsigned now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	unsigned most = __atomic_load_n(&most_inside, __ATOMIC_SEQ_CST);

	while (now > most && !__atomic_compare_exchange_n(&most_inside, &most, now, false,
	                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
	}
	pthread_mutex_lock(&gate);
	int failed = fault;
	fault = 0;
	off_t data = syscall(SYS_lseek, fd, offset, SEEK_DATA);
	if (len > longest_with_data && data >= 0 && data < offset + len)
		longest_with_data = len;
	calls++;
	if (offset == watched)
		watched_at = calls;
	pthread_mutex_unlock(&gate);
	__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	errno = failed;
	return failed ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static uint64_t allocated(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void punches(void **state)
{
	const char *path = test_path("punched");
	unsigned char *buf = buffer(8 * MIB);
	struct stat st;
	struct rig r;

	image_fill(path, 8 * MIB);
	rig_open(&r, path, 0);
	uint64_t before = allocated(path);
	assert_true(before >= 8 * MIB);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, MIB, 4 * MIB), 0);
	assert_true(allocated(path) <= before - 4 * MIB + SLACK);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 8 * MIB), 0);
	for (unsigned i = 0; i < 8 * MIB; i++)
		if (buf[i] != (i >= MIB && i < 5 * MIB ? 0 : pattern(i)))
			fail_msg("byte %u is wrong", i);
	/* To the end: the size stays. */
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 7 * MIB + 512, MIB - 512), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8 * MIB);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 7 * MIB, MIB), 0);
	for (unsigned i = 0; i < MIB; i++)
		if (buf[i] != (i >= 512 ? 0 : pattern(7 * MIB + i)))
			fail_msg("byte %u is wrong", i);
	rig_close(&r);
	free(buf);
}

/* In pieces that others can wait for, every one of them. */
static void large(void **state)
{
	static const unsigned at[] = {0, 64, 100, 127, 191};
	const char *path = test_path("pieces");
	unsigned char *buf = buffer(MIB);
	struct rig r;

	image_create(path, 192ull * MIB);
	rig_open(&r, path, 0);
	memset(buf, 1, MIB);
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++)
		assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, (uint64_t)at[i] * MIB, MIB), 0);
	longest_with_data = 0;
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, MIB / 2, 191ull * MIB), 0);
	/* Where there is data; else it does not matter. */
	assert_in_range(longest_with_data, MIB / 2, 16 * MIB);
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
		assert_int_equal(rig_do(&r, STORAGE_READ, buf, (uint64_t)at[i] * MIB, MIB), 0);
		for (unsigned k = 0; k < MIB; k++)
			if (buf[k] != ((!at[i] && k < MIB / 2) || (at[i] == 191 && k >= MIB / 2)))
				fail_msg("byte %u of MiB %u is wrong", k, at[i]);
	}
	assert_true(allocated(path) <= MIB + SLACK);
	rig_close(&r);
	free(buf);
}

static void secure(void **state)
{
	const char *path = test_path("secure");
	struct rig_io io = {.io = {.op = STORAGE_DISCARD}};
	struct rig r;

	image_fill(path, MIB);
	uint64_t before = allocated(path);
	rig_open(&r, path, 0);
	rig_submit(&r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(rig_wait(&r, &io), 0);
	io.io.op = STORAGE_DISCARD;
	io.io.secure = true;
	io.io.length = MIB;
	io.order = 0;
	storage_submit(r.queue, &io.io);
	assert_int_equal(rig_wait(&r, &io), -EOPNOTSUPP);
	assert_int_equal(allocated(path), before);
	rig_close(&r);
}

static void in_order(void **state)
{
	enum { N = 200 };
	const char *path = test_path("many");
	struct rig_io *io = calloc(N, sizeof *io);
	struct rig r;

	image_fill(path, N * 4096);
	rig_open(&r, path, 0);
	for (unsigned i = 0; i < N; i++)
		rig_submit(&r, &io[i], STORAGE_DISCARD, NULL, i * 4096, 4096);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(rig_wait(&r, &io[i]), 0);
		assert_int_equal(io[i].order, i + 1);
	}
	assert_true(allocated(path) <= SLACK);
	rig_close(&r);
	free(io);
}

/* A done() that submits the next one, as a barrier does. */
struct chain {
	struct storage_io io;
	struct rig *rig;
	unsigned left;
};

static void chain_done(struct storage_io *io, int rc)
{
	struct chain *c = (struct chain *)io;

	assert_int_equal(rc, 0);
	if (!--c->left)
		return;
	c->io.offset += 4096;
	storage_submit(c->rig->queue, &c->io);
}

static void chained(void **state)
{
	const char *path = test_path("chain");
	struct rig r;

	image_fill(path, 64 * 4096);
	rig_open(&r, path, 0);
	struct chain c = {.io = {.op = STORAGE_DISCARD, .length = 4096, .done = chain_done},
	                  .rig = &r,
	                  .left = 64};
	storage_submit(r.queue, &c.io);
	while (c.left) {
		assert_true(io_uring_submit_and_wait(&r.ring, 1) >= 0);
		uring_reap(&r.ring);
	}
	assert_true(allocated(path) <= SLACK);
	/* Nothing stays on the ring of an idle disk: the next completion is this one's. */
	struct rig_io io;
	rig_submit(&r, &io, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(rig_wait(&r, &io), 0);
	rig_close(&r);
}

/* Nobody waits for a discard that takes long. */
static void beside_others(void **state)
{
	const char *path = test_path("slow");
	unsigned char *buf = buffer(4096);
	struct rig_io discard;
	struct rig r;

	image_fill(path, MIB);
	rig_open(&r, path, 0);
	pthread_mutex_lock(&gate);
	rig_submit(&r, &discard, STORAGE_DISCARD, NULL, 0, MIB / 2);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(rig_do(&r, STORAGE_READ, buf, MIB / 2 + i * 4096, 4096), 0);
		assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, MIB / 2 + i * 4096, 4096), 0);
	}
	assert_int_equal(discard.order, 0);
	/* Nor does the data thread ask for it over and over. */
	assert_int_equal(r.completions, 20);
	pthread_mutex_unlock(&gate);
	assert_int_equal(rig_wait(&r, &discard), 0);
	assert_int_equal(r.completions, 21);
	rig_close(&r);
	free(buf);
}

/* Three queues of one disk, each with a discard. They wait at the gate, which the caller holds. */
struct trio {
	struct rig r;
	struct storage_queue *queue[3];
	struct rig_io io[3];
};

static bool all_have_come(struct rig *r)
{
	struct discard_turns *t = &container_of(r->storage, struct file, base)->turns;

	pthread_mutex_lock(&t->lock);
	bool come = t->last == 3;
	pthread_mutex_unlock(&t->lock);
	unsigned at_gate = __atomic_load_n(&inside, __ATOMIC_SEQ_CST);
	return (come && at_gate) || at_gate == 3;
}

static void trio_begin(struct trio *t, const uint64_t at[3], const uint64_t length[3])
{
	const char *path = test_path("trio");
	struct error err;

	image_create(path, 256ull * MIB);
	rig_open(&t->r, path, 0);
	t->queue[0] = t->r.queue;
	for (unsigned i = 1; i < 3; i++)
		assert_int_equal(storage_queue_open(t->r.storage, &t->r.ring, &t->queue[i], &err),
		                 0);
	dense = true;
	calls = most_inside = watched_at = 0;
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < 3; i++) {
		t->r.queue = t->queue[i];
		rig_submit(&t->r, &t->io[i], STORAGE_DISCARD, NULL, at[i], length[i]);
	}
	/* Until each has come, and waits for its turn or, if there were none, at the gate. */
	while (!all_have_come(&t->r))
		usleep(1000);
}

static void trio_end(struct trio *t)
{
	pthread_mutex_unlock(&gate);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rig_wait(&t->r, &t->io[i]), 0);
	for (unsigned i = 1; i < 3; i++)
		storage_queue_close(t->queue[i]);
	dense = false;
	t->r.queue = t->queue[0];
	rig_close(&t->r);
}

/* Never two of one disk at the same time, whatever the queues. */
static void one_at_a_time(void **state)
{
	static const uint64_t at[] = {0, 64 * MIB, 128 * MIB};
	static const uint64_t length[] = {4 * MIB, 4 * MIB, 4 * MIB};
	struct trio t;

	trio_begin(&t, at, length);
	assert_int_equal(inside, 1);
	trio_end(&t);
	assert_in_range(calls, 3, 12);
	assert_int_equal(most_inside, 1);
}

/* One that is short does not wait for all of those that are long. */
static void they_take_turns(void **state)
{
	static const uint64_t at[] = {0, 64 * MIB, 128 * MIB};
	static const uint64_t length[] = {64 * MIB, 64 * MIB, MIB};
	struct trio t;

	watched = (off_t)at[2];
	trio_begin(&t, at, length);
	trio_end(&t);
	watched = -1;
	assert_in_range(calls, 9, 129);
	assert_in_range(watched_at, 1, 4);
}

/* An error ends it and is passed on; the next one is done again. */
static void fails(void **state)
{
	const char *path = test_path("fails");
	struct rig r;

	image_fill(path, MIB);
	assert_int_equal(truncate(path, 256 * MIB), 0);
	rig_open(&r, path, 0);
	fault = EOPNOTSUPP;
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 256 * MIB), -EOPNOTSUPP);
	fault = EINTR;
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 256 * MIB), 0);
	assert_int_equal(fault, 0);
	assert_true(allocated(path) <= SLACK);
	/* Short memory is no error of the disk. */
	fault = ENOMEM;
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 256 * MIB), 0);
	assert_int_equal(fault, 0);
	rig_close(&r);
}

/* Pieces grow while they are quick, shrink when they are slow, and have bounds. */
static void pace(void **state)
{
	static const uint64_t quick[] = {190000, 190000, 4000000};
	static const uint64_t slow[] = {1100000, 1100000, 21000000};
	static const uint64_t min[] = {MIB, MIB, 64 * MIB};
	static const uint64_t max[] = {16 * MIB, 4096ull * MIB, 1024ull * MIB};

	for (int k = 0; k < DISCARD_KINDS; k++) {
		enum discard_kind kind = (enum discard_kind)k;
		uint64_t piece = discard_pace(kind, 0, 0);
		assert_int_equal(piece, min[k]);
		for (; piece < max[k]; piece *= 2)
			assert_int_equal(discard_pace(kind, piece, quick[k]), piece * 2);
		assert_int_equal(discard_pace(kind, max[k], quick[k]), max[k]);
		for (; piece > min[k]; piece /= 2) {
			assert_int_equal(discard_pace(kind, piece, 2 * quick[k]), piece);
			assert_int_equal(discard_pace(kind, piece, slow[k]), piece / 2);
			assert_int_equal(discard_pace(kind, piece, 4 * slow[k]), min[k]);
		}
		assert_int_equal(discard_pace(kind, min[k], slow[k]), min[k]);
	}
}

/* What has no data is done in few pieces; what was allocated in advance is given back all the same,
 * and data behind it are gone. */
static void holes(void **state)
{
	const char *path = test_path("hole");
	unsigned char *buf = buffer(MIB);
	uint64_t size = 1ull << 40;
	struct rig r;

	image_create(path, size);
	rig_open(&r, path, 0);
	memset(buf, 1, MIB);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, size / 2, MIB), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(syscall(SYS_fallocate, fd, 0, 4 * MIB, 8 * MIB), 0);
	close(fd);
	assert_true(allocated(path) >= 9 * MIB);
	calls = 0;
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, size), 0);
	/* 256 of the largest, and the way there. A piece that the machine delays is smaller. */
	assert_in_range(calls, 256, 16384);
	assert_true(allocated(path) <= SLACK);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, size / 2, MIB), 0);
	for (unsigned i = 0; i < MIB; i++)
		assert_int_equal(buf[i], 0);
	rig_close(&r);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(punches),         cmocka_unit_test(large),
	    cmocka_unit_test(secure),          cmocka_unit_test(in_order),
	    cmocka_unit_test(chained),         cmocka_unit_test(beside_others),
	    cmocka_unit_test(fails),           cmocka_unit_test(one_at_a_time),
	    cmocka_unit_test(they_take_turns), cmocka_unit_test(pace),
	    cmocka_unit_test(holes),
	};

	return cmocka_run_group_tests_name("discard", tests, NULL, NULL);
}
