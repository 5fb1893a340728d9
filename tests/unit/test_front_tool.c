/* SPDX-License-Identifier: MIT */
/* The xenblkfront program: data in and out, exit statuses, one-line errors, signals. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "front_fake.h"

static struct xen_process xen;
static char front[PATH_MAX + 128]; /* the command up to the device */
static char out[65536];

/* Runs a shell line in which %F stands for the tool on the test's device; output and errors go to
 * `out`. Returns the exit status. */
static int sh(const char *line)
{
	char command[3 * PATH_MAX], *at = strstr(line, "%F");
	size_t n = 0, got;

	assert_non_null(at);
	snprintf(command, sizeof command, "{ cd %s; %.*s%s%s; } 2>&1", xen.dir, (int)(at - line),
	         line, front, at + 2);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	while (n < sizeof out - 1 && (got = fread(out + n, 1, sizeof out - 1 - n, p)) > 0)
		n += got;
	out[n] = 0;
	int status = pclose(p);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void put_file(const char *name, const void *data, size_t n)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", xen.dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
}

static size_t get_file(const char *name, void *data, size_t cap)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", xen.dir, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	size_t n = fread(data, 1, cap, f);
	fclose(f);
	return n;
}

/* One line from the tool that says this. */
static void assert_says(const char *part)
{
	if (!strstr(out, part) || strncmp(out, "xenblkfront: ", 13) ||
	    strchr(out, '\n') != out + strlen(out) - 1)
		fail_msg("not one line with '%s': %s", part, out);
}

static void copies_both_ways(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	uint8_t *want = malloc(DISK_BYTES), *got = malloc(DISK_BYTES + 1);

	for (uint32_t i = 0; i < DISK_BYTES; i++)
		want[i] = (uint8_t)(i * 40503u >> 7);
	put_file("in", want, DISK_BYTES);
	assert_int_equal(sh("%F write < in"), 0);
	assert_string_equal(out, "");
	assert_memory_equal(b->disk, want, DISK_BYTES);
	assert_int_equal(b->flushes, 1);
	assert_int_equal(sh("%F read > out"), 0);
	assert_int_equal(get_file("out", got, DISK_BYTES + 1), DISK_BYTES);
	assert_memory_equal(got, want, DISK_BYTES);
	assert_int_equal(sh("cat in | %F --abi x86_32 --ring-order 2 write --no-flush"), 0);
	assert_int_equal(b->flushes, 1);
	assert_int_equal(sh("%F --abi none read | cat > out"), 0);
	assert_int_equal(get_file("out", got, DISK_BYTES + 1), DISK_BYTES);
	assert_memory_equal(got, want, DISK_BYTES);

	assert_int_equal(sh("%F read --offset 1K --length 2M > out"), 0);
	assert_int_equal(get_file("out", got, DISK_BYTES), 2u << 20);
	assert_memory_equal(got, want + 1024, 2u << 20);
	memmove(want + 4096, want, 1536);
	assert_int_equal(sh("head -c 2000 in | %F write --offset 4K --length 1536"), 0);
	assert_memory_equal(b->disk, want, DISK_BYTES);
	assert_int_equal(sh("%F discard --offset 8K --length 4K"), 0);
	assert_int_equal(b->discarded, 4096);
	assert_int_equal(sh("%F flush"), 0);
	free(want);
	free(got);
	fake_stop(b);
}

static void shows_progress_when_asked(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	assert_int_equal(sh("%F read --progress > out"), 0);
	assert_non_null(strstr(out, "100%"));
	assert_non_null(strstr(out, "4194304 of 4194304 bytes\n"));
	assert_non_null(strstr(out, "MiB/s"));
	fake_stop(b);
}

static void bad_input(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	assert_int_equal(sh("head -c 1000 /dev/zero | %F write"), 1);
	assert_says("488 bytes that fill no sector of 512: the 512 bytes before them were written");
	assert_int_equal(b->flushes, 1);
	assert_int_equal(b->disk[511], 0);
	assert_int_equal(sh("head -c 4194305 /dev/zero | %F write"), 1);
	assert_says("longer than the 4194304 bytes");
	assert_int_equal(b->disk[DISK_BYTES - 1], 0);
	assert_int_equal(sh("%F read --offset 100"), 1);
	assert_says("multiples of the sector size 512");
	assert_int_equal(sh("%F read --offset 8M"), 1);
	assert_says("--offset 8388608 lies beyond the end: the disk has 4194304 bytes");
	assert_int_equal(sh("%F read --length 8M"), 1);
	assert_says("8388608 bytes at 0 lie beyond the end");
	assert_int_equal(sh("%F read > /dev/full"), 1);
	assert_says("cannot write to standard output: No space left on device");
	assert_int_equal(sh("%F write < ."), 1);
	assert_says("cannot read standard input: Is a directory");
	assert_int_equal(sh("%F bench --depth 33"), 1);
	assert_says("--depth 33 is more than the 32 slots");
	fake_stop(b);
}

static void usage_errors(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
	    {"%F", "no command given"},
	    {"%F frob", "unknown command `frob`"},
	    {"%F info more", "info wants no argument"},
	    {"%F info --depth 3", "info has no option --depth"},
	    {"%F discard --offset 0", "discard needs --offset and --length"},
	    {"%F read --length 1X", "invalid --length `1X`: bytes are expected"},
	    {"%F --domain 99999 info", "invalid --domain `99999`: a number from 0 to 32751"},
	    {"%F --vdev qqq info", "invalid --vdev `qqq`"},
	    {"%F --abi arm info", "invalid --abi `arm`: x86_64, x86_32, native or none"},
	    {"%F --ring-order 5 info", "invalid --ring-order `5`: a number from 0 to 4"},
	    {"%F --bogus", "unknown option --bogus"},
	    {"%F info --timeout", "--timeout needs a value"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(sh(cases[i].line), 2);
		assert_says(cases[i].says);
	}
	assert_int_equal(sh("%F --help"), 0);
	assert_non_null(strstr(out, "Usage: xenblkfront"));
}

static void no_device(void **state)
{
	assert_int_equal(sh("%F info"), 1);
	assert_says("no device xvda in domain 1: attach one first: xenblkctl attach");
	assert_int_equal(sh("%F --domain 2 info"), 1);
	assert_says("no domain 2");
	assert_int_equal(sh("%F --run-dir /nonexistent info"), 1);
	assert_says("/nonexistent");
}

static json_t *parse(void)
{
	json_error_t err;
	json_t *j = json_loads(out, 0, &err);

	if (!j)
		fail_msg("%s in %s", err.text, out);
	return j;
}

static void json(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	assert_int_equal(sh("%F info --json"), 0);
	json_t *j = parse();
	assert_int_equal(json_integer_value(json_object_get(j, "max_ring_order")), 4);
	assert_int_equal(json_integer_value(json_object_get(j, "ring_slots")), 0);
	json_decref(j);
	assert_int_equal(b->front_states[1], 0); /* it did not connect */

	assert_int_equal(sh("%F info --json --connect"), 0);
	j = parse();
	assert_true(json_is_integer(json_object_get(j, "bytes")));
	assert_int_equal(json_integer_value(json_object_get(j, "bytes")), DISK_BYTES);
	assert_int_equal(json_integer_value(json_object_get(j, "ring_slots")), 32);
	assert_true(json_is_true(json_object_get(j, "flush")));
	assert_string_equal(json_string_value(json_object_get(j, "abi")), "x86_64");
	assert_string_equal(json_string_value(json_object_get(j, "mode")), "w");
	json_decref(j);

	assert_int_equal(sh("%F bench --json --seconds 1 --op mixed --pattern seq --depth 4"), 0);
	j = parse();
	json_t *latency = json_object_get(j, "latency_us");
	double iops = json_real_value(json_object_get(j, "iops"));
	assert_true(iops > 0);
	assert_true(json_integer_value(json_object_get(j, "reads")) > 0);
	assert_true(json_integer_value(json_object_get(j, "writes")) > 0);
	assert_true(json_real_value(json_object_get(latency, "median")) > 0);
	assert_true(json_real_value(json_object_get(latency, "p99")) >=
	            json_real_value(json_object_get(latency, "median")));
	assert_int_equal(json_integer_value(json_object_get(j, "queues")), 1);
	json_decref(j);

	MUST(store_write(b->store, XBT_NULL, BACK, "multi-queue-max-queues", "3"));
	assert_int_equal(sh("%F --queues 3 --persistent bench --json --seconds 1 --depth 2"), 0);
	j = parse();
	assert_int_equal(json_integer_value(json_object_get(j, "queues")), 3);
	json_decref(j);
	for (unsigned i = 0; i < 3; i++)
		assert_true(b->queue[i].requests > 0);
	fake_stop(b);
}

static void reader_goes_away(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	assert_int_equal(sh("{ %F read; echo status $? >&2; } | head -c 10 > out"), 0);
	assert_string_equal(out, "status 0\n");
	assert_string_equal(b->front_states, "1356"); /* said good-bye */
	fake_stop(b);
}

static void signals(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);

	/* It waits for input that does not come, and for output that nobody takes. */
	static const char *const lines[] = {
	    "mkfifo f; sleep 20 > f & s=$!; %F write < f & p=$!; sleep 0.3; kill -TERM $p; wait "
	    "$p; "
	    "r=$?; kill $s; rm f; exit $r",
	    "mkfifo f; sleep 20 < f & s=$!; %F read > f & p=$!; sleep 0.3; kill -INT $p; wait $p; "
	    "r=$?; kill $s; rm f; exit $r",
	};
	for (size_t i = 0; i < 2; i++) {
		memset(b->front_states, 0, sizeof b->front_states);
		uint64_t start = clock_ns();
		assert_int_equal(sh(lines[i]), 1);
		assert_says("interrupted by a signal");
		assert_true(clock_ns() - start < 15 * NS_PER_S);
		assert_string_equal(b->front_states + strlen(b->front_states) - 3, "356");
	}
	fake_stop(b);
}

static void back_end_fails(void **state)
{
	struct fake *b = fake_start(xen.dir, FAILS);

	assert_int_equal(sh("%F read"), 1);
	assert_says("READ failed with an I/O error");
	assert_int_equal(sh("head -c 512 /dev/zero | %F write"), 1);
	assert_says("WRITE failed with an I/O error");
	assert_int_equal(sh("%F bench --seconds 1"), 1);
	assert_says("READ failed with status -1");
	b->mood = MUTE;
	uint64_t start = clock_ns();
	assert_int_equal(sh("%F --timeout 300 read"), 1);
	assert_says("no response to 32 requests within 300 ms");
	assert_true(clock_ns() - start < 20 * NS_PER_S);
	b->mood = REFUSES;
	assert_int_equal(sh("%F read"), 1);
	assert_says("(it says: 22 the moon is full)");
	fake_stop(b);
}

/* Mends the back end as soon as the file is there. */
static void *mender(void *arg)
{
	struct fake *b = arg;
	char path[128];

	snprintf(path, sizeof path, "%s/mended", xen.dir);
	while (access(path, F_OK) && !b->stop)
		usleep(2000);
	b->mood = HONEST;
	return NULL;
}

static const char cases[] = "%%F --timeout 300 conform --group rings --case 'order-[012]-serves' "
                            "--revive '%s'";

static void conform_revives(void **state)
{
	struct fake *b = fake_start(xen.dir, MUTE);
	char line[400];
	pthread_t thread;

	MUST(-pthread_create(&thread, NULL, mender, b));
	/* signals and the pipe are as usual for the command, and what it says is not mixed in */
	snprintf(
	    line, sizeof line, cases,
	    "grep Sig[BI] /proc/self/status; echo after $CONFORM_CASE; touch mended; sleep 0.2");
	strcat(line, " 2> said");
	assert_int_equal(sh(line), 1);
	pthread_join(thread, NULL);
	assert_int_equal(strncmp(out, "fail  rings        order-0-serves\n", 34), 0);
	assert_non_null(strstr(out, "\npass  rings        order-1-serves\n"
	                            "pass  rings        order-2-serves\n"
	                            "3 cases: 2 passed, 1 failed, 0 skipped\n"));
	out[get_file("said", out, sizeof out - 1)] = 0;
	assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
	                         "after order-0-serves\n");
	fake_stop(b);
}

static void conform_revives_in_vain(void **state)
{
	static const struct {
		const char *command, *says;
	} rows[] = {
	    {"exit 3", "could not be revived: --revive ended with status 3"},
	    {"kill -9 $$", "could not be revived: --revive ended by signal 9"},
	    {"no-such-command-at-all 2> /dev/null",
	     "could not be revived: --revive ended with status 127"},
	    {"true", "was revived in vain: "},
	};
	struct fake *b = fake_start(xen.dir, MUTE);
	char line[400], want[200];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(line, sizeof line, cases, rows[i].command);
		assert_int_equal(sh(line), 1);
		for (int n = 1; n < 3; n++) {
			snprintf(want, sizeof want,
			         "\nskip  rings        order-%d-serves %23s back end %s", n, "",
			         rows[i].says);
			if (!strstr(out, want))
				fail_msg("row %zu: %s", i, out);
		}
	}
	fake_stop(b);
}

/* A signal for the tool ends the command, too; and it is not the command that has failed. */
static void conform_interrupted_as_it_revives(void **state)
{
	struct fake *b = fake_start(xen.dir, MUTE);
	char line[400];

	snprintf(line, sizeof line, cases, "kill -TERM $PPID; exec sleep 20");
	uint64_t start = clock_ns();
	assert_int_equal(sh(line), 1);
	assert_true(clock_ns() - start < 15 * NS_PER_S);
	assert_non_null(strstr(out, "interrupted by a signal: the disk was disconnected"));
	assert_non_null(strstr(out, "\nskip  rings        order-1-serves"));
	assert_non_null(strstr(out, " interrupted\n"));
	fake_stop(b);
}

static int start_xen(void **state)
{
	/* Whoever runs us may ignore them, and then so would the tool. */
	for (int sig = SIGHUP; sig <= SIGTERM; sig++)
		signal(sig, SIG_DFL);
	int rc = xen_process_start(&xen);
	char tool[PATH_MAX];

	snprintf(tool, sizeof tool, "%.*sfront", (int)(strrchr(xen_program(), 'd') - xen_program()),
	         xen_program()); /* …/xenblkd-xen → …/xenblkfront */
	if (!rc && access(tool, X_OK))
		rc = -errno;
	snprintf(front, sizeof front, "%s --run-dir %s --domain 1 --vdev xvda", tool, xen.dir);
	return rc;
}

static int stop_xen(void **state)
{
	xen_process_stop(&xen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(copies_both_ways),
	    cmocka_unit_test(shows_progress_when_asked),
	    cmocka_unit_test(bad_input),
	    cmocka_unit_test(usage_errors),
	    cmocka_unit_test(no_device),
	    cmocka_unit_test(json),
	    cmocka_unit_test(reader_goes_away),
	    cmocka_unit_test(signals),
	    cmocka_unit_test(back_end_fails),
	    cmocka_unit_test(conform_revives),
	    cmocka_unit_test(conform_revives_in_vain),
	    cmocka_unit_test(conform_interrupted_as_it_revives),
	};

	return cmocka_run_group_tests_name("front_tool", tests, start_xen, stop_xen);
}
