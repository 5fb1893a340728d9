/* SPDX-License-Identifier: MIT */
/* What the supervisor makes of a dead worker's journals, whatever these are. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/device.h"
#include "disk/journal.h"
#include "../lib/scratch.h"

#define SLOTS 32

struct fixture {
	struct daemon d;   /* only its directory */
	struct device dev; /* only its name in it */
	char dir[64], path[100];
	void *place;
	struct journal j;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct journal_identity id = {.domid = 1, .protocol = BLKIF_PROTO_X86_64};

	assert_non_null(mkdtemp(scratch_path(f->dir, sizeof f->dir, "peek-XXXXXX")));
	f->d.run_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	f->dev.d = &f->d;
	strcpy(f->dev.id, "1:xvda");
	assert_int_equal(mkdirat(f->d.run_fd, "disks", 0700), 0);
	assert_int_equal(mkdirat(f->d.run_fd, "disks/1:xvda", 0700), 0);
	snprintf(f->path, sizeof f->path, "%s/disks/1:xvda/journal-0", f->dir);
	int fd = open(f->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_int_equal(ftruncate(fd, JOURNAL_FILE_BYTES), 0);
	f->place = mmap(NULL, JOURNAL_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(f->place != MAP_FAILED);
	close(fd);
	journal_create(&f->j, f->place, &id, SLOTS, 100);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	journal_close(&f->j, false);
	munmap(f->place, JOURNAL_FILE_BYTES);
	unlink(f->path);
	assert_int_equal(unlinkat(f->d.run_fd, "disks/1:xvda", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f->d.run_fd, "disks", AT_REMOVEDIR), 0);
	close(f->d.run_fd);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void take(struct fixture *f, uint32_t slot, uint64_t seq, uint8_t op, uint64_t sector)
{
	struct blkif_req req = {.op = op, .sector = sector};

	blkif_encode_req(BLKIF_PROTO_X86_64, &req, f->j.slot[slot].raw);
	journal_take(&f->j, slot, seq);
}

static const char *peek(struct fixture *f)
{
	static char text[160];

	peek_in_hand(&f->dev, text, sizeof text);
	return text;
}

static void nothing(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(peek(f), "no request in hand");
	assert_int_equal(unlink(f->path), 0);
	assert_string_equal(peek(f), "no request in hand");
}

static void one(void **state)
{
	struct fixture *f = *state;

	take(f, 7, 100, BLKIF_OP_WRITE, 4711);
	assert_string_equal(peek(f), "1 request in hand, it is a write at sector 4711");
}

/* The oldest is the first suspect, unless one ran alone. An answered one is none. */
static void several(void **state)
{
	struct fixture *f = *state;

	take(f, 9, 100, BLKIF_OP_READ, 1);
	journal_answer(&f->j, 9, BLKIF_RSP_OKAY, 100);
	take(f, 3, 102, BLKIF_OP_READ, 8);
	take(f, 8, 101, BLKIF_OP_DISCARD, 16);
	take(f, 1, 103, BLKIF_OP_WRITE, 24);
	assert_string_equal(peek(f), "3 requests in hand, the oldest a discard at sector 16");
	journal_suspect(&f->j, 1, true);
	assert_string_equal(peek(f), "3 requests in hand, at work on a write at sector 24");
}

/* A worker that was taken over may have written anything, and made anything of the file. */
static void hostile(void **state)
{
	struct fixture *f = *state;
	uint64_t rng = 88172645463325252ull;

	for (int round = 0; round < 2000; round++) {
		unsigned char *bytes = round % 2 ? (void *)f->j.slot : (void *)f->j.h;
		for (int i = 0; i < 64; i++) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			bytes[rng % (round % 2 ? SLOTS * sizeof *f->j.slot : 400)] =
			    (unsigned char)(rng >> 32);
		}
		assert_non_null(strstr(peek(f), " in hand"));
		f->j.h->magic = JOURNAL_MAGIC;
		f->j.h->version = JOURNAL_VERSION;
		f->j.h->slots = round % 3 ? SLOTS : UINT32_MAX;
	}
	/* More slots than any ring has: not one of them is read. */
	memset(f->j.slot, 0, SLOTS * sizeof *f->j.slot);
	take(f, 0, 100, BLKIF_OP_WRITE, 1);
	f->j.h->slots = JOURNAL_SLOTS_MAX + 1;
	assert_string_equal(peek(f), "no request in hand");
	f->j.h->slots = JOURNAL_SLOTS_MAX;
	assert_int_equal(truncate(f->path, 1000), 0);
	assert_string_equal(peek(f), "no request in hand");
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_string_equal(peek(f), "no request in hand");
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink("/dev/zero", f->path), 0);
	assert_string_equal(peek(f), "no request in hand");
}

/* What it died by stands in any of its journals; numbers that are no signal do not count. */
static void signal_of_death(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peek_signal(&f->dev), 0);
	journal_fault(&f->j, 7);
	assert_int_equal(peek_signal(&f->dev), 7);
	f->j.h->version = 1;
	assert_int_equal(peek_signal(&f->dev), 0);
	f->j.h->version = JOURNAL_VERSION;
	journal_fault(&f->j, 1 << 30);
	assert_int_equal(peek_signal(&f->dev), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(nothing), T(one), T(several), T(hostile),
	                                   T(signal_of_death)};

	return cmocka_run_group_tests_name("peek", tests, NULL, NULL);
}
