/* SPDX-License-Identifier: MIT */
/* Faults on request: each kind does what it says, and nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "storage/fault.h"

#define SIZE (1u << 20)
#define OPS 64

static void open_with(struct rig *r, const char *faults)
{
	image_fill(test_path("image"), SIZE);
	image_faults = faults;
	/* One that was killed before may hold it for a moment. */
	rig_open(r, test_path("image"), OPEN_WAIT);
	image_faults = NULL;
}

static void words(void **state)
{
	static const char *const bad[] = {"error",     "error=101", "error=-1",   "error@0=1",
	                                  "bad=5",     "delay=10",  "delay=1/x",  "nothing=1",
	                                  "abort=",    "seed=1,",   "torn=101/1", "cache",
	                                  "cache=101", "noflush=0", "short@0=1",  "discard=x"};
	struct fault_spec s;
	struct error err;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(fault_parse(bad[i], &s, &err), -EINVAL);
		assert_non_null(strstr(err.text, "is not understood"));
	}
	assert_int_equal(
	    fault_parse("seed=9,error=7,error@3=4,bad=8-15,delay=1/2,late=3/4,torn=5/6,abort=77,"
	                "cache=9,noflush=10,discard=11,short@12=13,slow=14",
	                &s, &err),
	    0);
	assert_int_equal(s.seed, 9);
	assert_int_equal(s.error, 7);
	assert_int_equal(s.script_first, 3);
	assert_int_equal(s.script_count, 4);
	assert_int_equal(s.bad_first, 8);
	assert_int_equal(s.bad_last, 15);
	assert_int_equal(s.delay.percent, 1);
	assert_int_equal(s.delay.us, 2);
	assert_int_equal(s.late.percent, 3);
	assert_int_equal(s.late.us, 4);
	assert_int_equal(s.torn.percent, 5);
	assert_int_equal(s.torn.us, 6);
	assert_int_equal(s.abort_sector, 77);
	assert_true(s.cache);
	assert_int_equal(s.cache_early, 9);
	assert_int_equal(s.no_flush, 10);
	assert_int_equal(s.discard_us, 11);
	assert_int_equal(s.short_first, 12);
	assert_int_equal(s.short_count, 13);
	assert_int_equal(s.slow_us, 14);
}

/* An error of the words is an error of opening, and nothing stays open. */
static void not_understood(void **state)
{
	struct storage *s;
	struct error err;

	image_fill(test_path("image"), SIZE);
	image_faults = "nonsense";
	assert_int_equal(image_open(test_path("image"), 0, &s, &err), -EINVAL);
	assert_null(s);
	image_faults = NULL;
	assert_int_equal(image_open(test_path("image"), 0, &s, &err), 0);
	image_close(s);
}

/* Failed, and not done either. */
static void errors(void **state)
{
	unsigned char *buf = buffer(4096);
	struct rig r;

	open_with(&r, "error=100");
	memset(buf, 0x44, 4096);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 8192, 4096), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 8192, 4096), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), -EIO);
	rig_close(&r);
	open_with(&r, "error=0");
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 8192, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], pattern(8192 + i));
	rig_close(&r);
	free(buf);
}

static void scripted(void **state)
{
	unsigned char *buf = buffer(4096);
	struct rig r;

	open_with(&r, "error@3=2");
	for (int i = 1; i <= 6; i++)
		assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096),
		                 i == 3 || i == 4 ? -EIO : 0);
	rig_close(&r);
	free(buf);
}

/* Nobody hears of a short time without memory; what does it anyway is done once. */
static void short_of_memory(void **state)
{
	unsigned char *buf = buffer(4096);
	struct rig r;

	open_with(&r, "short@2=3");
	for (int i = 1; i <= 3; i++)
		assert_int_equal(rig_do(&r, STORAGE_READ, buf, 4096, 4096), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], pattern(4096 + i));
	rig_close(&r);
	open_with(&r, "short@1=1000000");
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 0, 4096), -ENOMEM);
	rig_close(&r);
	free(buf);
}

static void bad_sectors(void **state)
{
	unsigned char *buf = buffer(8192);
	struct rig r;

	open_with(&r, "bad=8-15");
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 0, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 3584, 1024), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 7680, 512), -EIO);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, 8192, 4096), 0);
	assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), 0);
	rig_close(&r);
	free(buf);
}

/* Which of OPS reads fail. */
static void choices(const char *faults, bool failed[OPS])
{
	unsigned char *buf = buffer(4096);
	struct rig r;

	open_with(&r, faults);
	for (int i = 0; i < OPS; i++)
		failed[i] = rig_do(&r, STORAGE_READ, buf, 0, 4096) != 0;
	rig_close(&r);
	free(buf);
}

static void seeded(void **state)
{
	bool a[OPS], again[OPS], b[OPS];
	unsigned n = 0;

	choices("seed=5,error=50", a);
	choices("seed=5,error=50", again);
	choices("seed=6,error=50", b);
	assert_memory_equal(a, again, sizeof a);
	assert_memory_not_equal(a, b, sizeof a);
	for (int i = 0; i < OPS; i++)
		n += a[i];
	assert_in_range(n, OPS / 4, OPS * 3 / 4);
}

/* Many writes at once: all are done, each once, and not in their order. */
static void overtaking(const char *faults)
{
	unsigned char *buf = buffer(OPS * 4096), *back = buffer(OPS * 4096);
	struct rig_io io[OPS];
	unsigned overtaken = 0;
	struct rig r;

	open_with(&r, faults);
	for (int i = 0; i < OPS; i++) {
		memset(buf + i * 4096, i + 1, 4096);
		rig_submit(&r, &io[i], STORAGE_WRITE, buf + i * 4096, (uint64_t)i * 4096, 4096);
	}
	for (int i = 0; i < OPS; i++)
		assert_int_equal(rig_wait(&r, &io[i]), 0);
	for (int i = 1; i < OPS; i++)
		overtaken += io[i].order < io[i - 1].order;
	assert_true(overtaken > 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, back, 0, OPS * 4096), 0);
	assert_memory_equal(back, buf, OPS * 4096);
	rig_close(&r);
	free(buf);
	free(back);
}

static void delayed(void **state)
{
	overtaking("delay=100/20000");
}

static void reported_late(void **state)
{
	overtaking("late=100/20000");
}

/* Also in two halves it is whole in the end. */
static void two_halves(void **state)
{
	unsigned char *buf = buffer(12288), *back = buffer(12288);
	struct rig r;

	open_with(&r, "torn=100/1000");
	for (unsigned i = 0; i < 12288; i++)
		buf[i] = (unsigned char)(i * 7);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 4096, 12288), 0);
	assert_int_equal(rig_do(&r, STORAGE_WRITE, buf, 512, 512), 0);
	assert_int_equal(rig_do(&r, STORAGE_READ, back, 4096, 12288), 0);
	assert_memory_equal(back, buf, 12288);
	rig_close(&r);
	free(buf);
	free(back);
}

static unsigned char byte_at(int fd, off_t at)
{
	unsigned char c = 0;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	return c;
}

static void killed_between_the_halves(void **state)
{
	int status, fd;
	pid_t pid;

	image_fill(test_path("image"), SIZE);
	pid = fork();
	if (!pid) {
		unsigned char *buf = buffer(8192);
		struct rig_io io;
		struct rig r;
		image_faults = "seed=3,torn=100/10000000";
		rig_open(&r, test_path("image"), 0);
		memset(buf, 0x99, 8192);
		rig_submit(&r, &io, STORAGE_WRITE, buf, 0, 8192);
		rig_wait(&r, &io);
		_exit(0);
	}
	fd = open(test_path("image"), O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 10000 && byte_at(fd, 0) != 0x99; i++)
		usleep(1000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(byte_at(fd, 0), 0x99);
	assert_int_equal(byte_at(fd, 4095), 0x99);
	assert_int_equal(byte_at(fd, 4096), pattern(4096));
	close(fd);
}

/* The filter has the size of what is below it. */
static void grows(void **state)
{
	unsigned char *buf = buffer(4096);
	struct error err;
	struct rig r;

	open_with(&r, "error@9=1");
	assert_int_equal(storage_size(r.storage), SIZE);
	assert_int_equal(truncate(test_path("image"), 2 * SIZE), 0);
	assert_int_equal(storage_resize(r.storage, &err), 0);
	assert_int_equal(storage_size(r.storage), 2 * SIZE);
	assert_int_equal(rig_do(&r, STORAGE_READ, buf, SIZE, 4096), 0);
	rig_close(&r);
	free(buf);
}

static void aborts(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		unsigned char *buf = buffer(4096);
		struct rig r;
		open_with(&r, "abort=16");
		if (rig_do(&r, STORAGE_READ, buf, 0, 4096))
			_exit(1);
		rig_do(&r, STORAGE_READ, buf, 8192, 4096);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- the volatile cache ---- */

#define LOST 0xee /* not written by anybody */

/* What stands in the image, past the cache: the byte if the block is full of it, or LOST. */
static int in_image(uint64_t block)
{
	unsigned char *buf = buffer(4096);
	int fd = open(test_path("image"), O_RDONLY | O_CLOEXEC), c;

	assert_int_equal(pread(fd, buf, 4096, (off_t)block * 4096), 4096);
	close(fd);
	c = buf[0];
	for (unsigned i = 1; i < 4096; i++)
		if (buf[i] != c)
			c = LOST;
	free(buf);
	return c;
}

static void put(struct rig *r, uint64_t block, unsigned char c)
{
	unsigned char *buf = buffer(4096);

	memset(buf, c, 4096);
	assert_int_equal(rig_do(r, STORAGE_WRITE, buf, block * 4096, 4096), 0);
	free(buf);
}

static int seen(struct rig *r, uint64_t block)
{
	unsigned char *buf = buffer(4096);
	int c;

	assert_int_equal(rig_do(r, STORAGE_READ, buf, block * 4096, 4096), 0);
	c = buf[4095];
	free(buf);
	return c;
}

static void flush(struct rig *r)
{
	assert_int_equal(rig_do(r, STORAGE_FLUSH, NULL, 0, 0), 0);
}

static void cache_is_volatile(void **state)
{
	struct rig r;

	open_with(&r, "cache=0");
	put(&r, 1, 0x11);
	flush(&r);
	put(&r, 1, 0x12);
	put(&r, 2, 0x22);
	assert_int_equal(seen(&r, 1), 0x12);
	assert_int_equal(seen(&r, 2), 0x22);
	assert_int_equal(in_image(1), 0x11);
	assert_int_equal(in_image(2), LOST);
	/* A close that is in order loses nothing. */
	rig_close(&r);
	assert_int_equal(in_image(1), 0x12);
	assert_int_equal(in_image(2), 0x22);
}

/* Also of another queue, as it has one cache. */
static void flush_covers_what_was_done(void **state)
{
	struct storage_queue *first, *other;
	struct error err;
	struct rig r;

	open_with(&r, "cache=0");
	assert_int_equal(storage_queue_open(r.storage, &r.ring, &other, &err), 0);
	put(&r, 1, 0x11);
	first = r.queue;
	r.queue = other;
	assert_int_equal(seen(&r, 1), 0x11);
	flush(&r);
	assert_int_equal(in_image(1), 0x11);
	r.queue = first;
	storage_queue_close(other);
	rig_close(&r);
}

/* Writes that were done after it was submitted are not covered, however long it takes. */
static void flush_covers_nothing_else(void **state)
{
	unsigned char *buf = buffer(4096);
	struct rig_io w, f;
	struct rig r;

	open_with(&r, "cache=0");
	put(&r, 1, 0x11);
	memset(buf, 0x22, 4096);
	rig_submit(&r, &w, STORAGE_WRITE, buf, 8192, 4096);
	rig_submit(&r, &f, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(rig_wait(&r, &w), 0);
	assert_int_equal(rig_wait(&r, &f), 0);
	assert_int_equal(in_image(1), 0x11);
	assert_int_equal(in_image(2), LOST);
	rig_close(&r);
	free(buf);
}

/* Not before it is done: it may be answered no earlier than it counts. */
static void flush_counts_when_it_ends(void **state)
{
	struct rig_io f;
	struct rig r;

	open_with(&r, "cache=0,late=100/1");
	put(&r, 1, 0x11);
	rig_submit(&r, &f, STORAGE_FLUSH, NULL, 0, 0);
	assert_int_equal(in_image(1), LOST);
	assert_int_equal(rig_wait(&r, &f), 0);
	assert_int_equal(in_image(1), 0x11);
	rig_close(&r);
}

static void cache_writes_back_early(void **state)
{
	unsigned early = 0;
	struct rig r;

	open_with(&r, "cache=50,seed=3");
	for (unsigned i = 0; i < OPS; i++)
		put(&r, i, 0x33);
	/* A block of the guest's is eight of the cache's; those that are whole. */
	for (unsigned i = 0; i < OPS; i++) {
		int fd = open(test_path("image"), O_RDONLY | O_CLOEXEC);
		for (unsigned k = 0; k < 8; k++)
			early += byte_at(fd, i * 4096 + k * 512) == 0x33;
		close(fd);
	}
	rig_close(&r);
	assert_in_range(early, OPS * 8 / 4, OPS * 8 * 3 / 4);
}

static void cache_of_discards(void **state)
{
	struct rig r;

	open_with(&r, "cache=0");
	put(&r, 1, 0x11);
	assert_int_equal(rig_do(&r, STORAGE_DISCARD, NULL, 0, 8192), 0);
	assert_int_equal(seen(&r, 1), 0);
	flush(&r);
	assert_int_equal(in_image(1), 0);
	rig_close(&r);
}

static void cache_needs_an_image(void **state)
{
	struct storage *s;
	struct error err;

	image_faults = "cache=0";
	assert_int_equal(image_open("null:1M", 0, &s, &err), -EINVAL);
	assert_non_null(strstr(err.text, "a cache needs an image"));
	image_faults = NULL;
}

static void flush_withdrawn(void **state)
{
	struct rig r;

	open_with(&r, "noflush=3");
	for (int i = 1; i < 6; i++)
		assert_int_equal(rig_do(&r, STORAGE_FLUSH, NULL, 0, 0), i < 3 ? 0 : -EOPNOTSUPP);
	put(&r, 1, 0x11);
	rig_close(&r);
}

/* Discards only; what is asked for later is done before it. */
static void slow_discards(void **state)
{
	struct rig_io d;
	struct rig r;

	open_with(&r, "discard=100000");
	rig_submit(&r, &d, STORAGE_DISCARD, NULL, 4096, 4096);
	put(&r, 2, 0x22);
	assert_int_equal(seen(&r, 2), 0x22);
	flush(&r);
	assert_int_equal(d.order, 0);
	assert_int_equal(rig_wait(&r, &d), 0);
	assert_int_equal(in_image(1), 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words),
	    cmocka_unit_test(not_understood),
	    cmocka_unit_test(errors),
	    cmocka_unit_test(scripted),
	    cmocka_unit_test(short_of_memory),
	    cmocka_unit_test(bad_sectors),
	    cmocka_unit_test(seeded),
	    cmocka_unit_test(delayed),
	    cmocka_unit_test(reported_late),
	    cmocka_unit_test(two_halves),
	    cmocka_unit_test(killed_between_the_halves),
	    cmocka_unit_test(grows),
	    cmocka_unit_test(aborts),
	    cmocka_unit_test(cache_is_volatile),
	    cmocka_unit_test(flush_covers_what_was_done),
	    cmocka_unit_test(flush_covers_nothing_else),
	    cmocka_unit_test(flush_counts_when_it_ends),
	    cmocka_unit_test(cache_writes_back_early),
	    cmocka_unit_test(cache_of_discards),
	    cmocka_unit_test(cache_needs_an_image),
	    cmocka_unit_test(flush_withdrawn),
	    cmocka_unit_test(slow_discards),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
