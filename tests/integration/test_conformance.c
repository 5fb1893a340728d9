/* SPDX-License-Identifier: MIT */
/* xenblkfront conform against our own back end: nothing fails, and what it says is what it
 * promises: table, JSON, list, exit status. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

#define SIZE (64ull << 20)
#define LEAST 120 /* cases that must really have been judged */

static char output[1 << 20]; /* of the last run, standard output alone */
static char said[4096];      /* … and what went to standard error */

/* Runs the tool; device: with --domain and --vdev. Its exit status. */
static int front(struct host *h, bool device, const char *args)
{
	char command[800], errors[100];
	size_t n;

	snprintf(errors, sizeof errors, "%s/stderr", h->dir);
	snprintf(command, sizeof command, "%s/xenblkfront %s%s %s %s 2>%s </dev/null", h->build,
	         device ? "--run-dir " : "", device ? h->dir : "",
	         device ? "--domain 1 --vdev xvda" : "", args, errors);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	n = fread(output, 1, sizeof output - 1, p);
	output[n] = 0;
	int status = pclose(p);
	assert_true(WIFEXITED(status));
	p = fopen(errors, "r");
	assert_non_null(p);
	n = fread(said, 1, sizeof said - 1, p);
	said[n] = 0;
	fclose(p);
	return WEXITSTATUS(status);
}

static void attach(struct host *h, const char *mode)
{
	char path[200];

	snprintf(path, sizeof path, "%s", host_image(h, "disk.img", SIZE));
	host_fill(path, SIZE, 3);
	host_attach(h, &(struct disk){.params = path, .mode = mode}, path);
}

static const char *text(json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	if (!s)
		fail_msg("no text '%s' in %s", key, json_dumps(j, 0));
	return s;
}

static json_int_t number(json_t *j, const char *key)
{
	assert_true(json_is_integer(json_object_get(j, key)));
	return json_integer_value(json_object_get(j, key));
}

static json_t *parse(void)
{
	json_error_t e;
	json_t *j = json_loads(output, 0, &e);

	if (!j)
		fail_msg("no JSON: line %d: %s", e.line, e.text);
	return j;
}

/* Every case of the answer; the counts by result. */
static void count(json_t *j, unsigned *passed, unsigned *skipped)
{
	json_t *cases = json_object_get(j, "cases"), *k;
	size_t i;

	assert_true(json_is_array(cases));
	*passed = *skipped = 0;
	json_array_foreach(cases, i, k)
	{
		const char *result = text(k, "result");
		assert_true(text(k, "name")[0] && text(k, "group")[0] && text(k, "source")[0]);
		if (!strcmp(result, "pass"))
			(*passed)++;
		else if (!strcmp(result, "skip") && text(k, "detail")[0])
			(*skipped)++;
		else
			fail_msg("%s: %s: %s", text(k, "name"), result, text(k, "detail"));
	}
	json_t *summary = json_object_get(j, "summary");
	assert_int_equal(number(summary, "total"), json_array_size(cases));
	assert_int_equal(number(summary, "passed"), *passed);
	assert_int_equal(number(summary, "skipped"), *skipped);
	assert_int_equal(number(summary, "failed"), 0);
}

static json_t *find(json_t *j, const char *name)
{
	json_t *cases = json_object_get(j, "cases"), *k;
	size_t i;

	json_array_foreach(cases, i, k) if (!strcmp(text(k, "name"), name)) return k;
	fail_msg("no case %s", name);
	return NULL;
}

static void a_writable_disk(void **state)
{
	struct host *h = *state;
	struct bystander b;
	struct xen_usage u;
	unsigned passed, skipped;

	bystander_start(h, &b); /* whatever the hostile cases do, it goes on */
	attach(h, "w");
	int status = front(h, true, "conform --json");
	json_t *j = parse();
	count(j, &passed, &skipped);
	assert_int_equal(status, 0);
	assert_string_equal(said, "");
	assert_true(passed >= LEAST);
	print_message("%u passed, %u skipped\n", passed, skipped);
	assert_string_equal(text(find(j, "write-then-read"), "result"), "pass");
	assert_string_equal(text(find(j, "revoked-in-flight"), "result"), "pass");
	assert_string_equal(text(find(j, "two-queues-serve"), "result"), "pass");
	assert_string_equal(text(find(j, "readonly-disk-reads"), "result"), "skip");
	json_t *disk = json_object_get(j, "disk");
	assert_int_equal(number(disk, "sectors"), SIZE / 512);
	assert_string_equal(text(disk, "vdev"), "xvda");
	assert_true(json_is_false(json_object_get(disk, "readonly")));
	json_decref(j);
	bystander_stop(h, &b);
	/* Nothing of it is left: neither with us nor with the daemon. */
	assert_int_equal(xen_usage(h->xen, &u), 0);
	assert_int_equal(u.maps, 0);
	assert_int_equal(u.interdomain, 0);
	host_detach(h, 1, XVDA);
}

static void a_readonly_disk(void **state)
{
	struct host *h = *state;
	unsigned passed, skipped;
	char path[200];
	uint8_t is[4096], want[4096];

	attach(h, "r");
	snprintf(path, sizeof path, "%s", host_read(h, host_be(1, XVDA), "physical-device-path"));
	int status = front(h, true, "conform --json");
	json_t *j = parse();
	count(j, &passed, &skipped);
	assert_int_equal(status, 0);
	assert_true(passed >= LEAST);
	assert_string_equal(text(find(j, "readonly-disk-refuses-write"), "result"), "pass");
	assert_string_equal(text(find(j, "write-then-read"), "detail"), "the disk is read-only");
	json_decref(j);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (uint64_t at = 0; at < SIZE; at += sizeof is) {
		assert_int_equal(fread(is, 1, sizeof is, f), sizeof is);
		host_pattern(want, at, sizeof want, 3);
		assert_memory_equal(is, want, sizeof is);
	}
	fclose(f);
	host_detach(h, 1, XVDA);
}

static void a_table(void **state)
{
	struct host *h = *state;

	attach(h, "w");
	assert_int_equal(front(h, true, "conform --group limits --case last"), 0);
	assert_string_equal(output, "pass  limits       last-page-is-read\n"
	                            "pass  limits       last-page-is-written\n"
	                            "pass  limits       last-sector-is-read\n"
	                            "3 cases: 3 passed, 0 failed, 0 skipped\n");
	assert_string_equal(said, "");
	assert_int_equal(front(h, true, "conform --progress --group limits --case last-page"), 0);
	assert_non_null(strstr(said, "[1/2] limits: last-page-is-read"));
	assert_non_null(strstr(said, "[2/2] limits: last-page-is-written"));
	assert_int_equal(front(h, true, "conform --case readonly-disk-read?"), 0);
	assert_string_equal(output, "skip  operations   readonly-disk-reads                    "
	                            "the disk is not read-only\n"
	                            "1 cases: 0 passed, 0 failed, 1 skipped\n");
	host_detach(h, 1, XVDA);
}

static int setup_other_units(void **state)
{
	static const char *const extra[] = {"--sector-size", "4096", "--sector-units", "freebsd",
	                                    NULL};
	struct host *h = malloc(sizeof *h);

	host_start(h, extra);
	*state = h;
	return 0;
}

/* A back end that counts as FreeBSD's does: told apart, with the exit status, and only by the cases
 * that are about it. */
static void a_back_end_that_fails(void **state)
{
	struct host *h = *state;

	attach(h, "w");
	assert_int_equal(front(h, true, "conform --group segments --case sectors-are"), 1);
	assert_int_equal(
	    strncmp(output, "fail  segments     sectors-are-512-bytes\n      a page ", 48), 0);
	assert_non_null(strstr(output, ": expected 0x"));
	assert_non_null(strstr(output, "\n      source: blkif.h (4.20): "));
	assert_non_null(strstr(output, "\n1 cases: 0 passed, 1 failed, 0 skipped\n"));
	assert_int_equal(front(h, true, "conform --json --group limits --case across"), 1);
	json_t *j = parse();
	assert_string_equal(text(find(j, "read-across-the-end-refused"), "result"), "fail");
	assert_string_equal(
	    text(find(j, "read-across-the-end-refused"), "detail"),
	    "reading 16 sectors, 8 of them beyond the end: expected ERROR, saw OKAY "
	    "(0)");
	json_decref(j);
	assert_int_equal(front(h, true, "conform --group ordering --case in-flight"), 0);
	host_detach(h, 1, XVDA);
}

static void a_list(void **state)
{
	struct host *h = *state;
	unsigned lines = 0;

	assert_int_equal(front(h, false, "conform --list"), 0);
	for (const char *p = output; *p; p++)
		lines += *p == '\n';
	assert_true(lines >= LEAST);
	assert_non_null(strstr(output, "\nlimits       first-page "));
	assert_non_null(strstr(output, " blkif.h: struct blkif_request: sector_number\n"));
	assert_int_equal(front(h, false, "conform --list --json"), 0);
	json_t *j = parse();
	assert_int_equal(json_array_size(json_object_get(j, "cases")), lines);
	assert_string_equal(text(find(j, "first-page"), "group"), "limits");
	json_decref(j);
	assert_int_equal(front(h, false, "conform --list --group ABIs --case response"), 0);
	assert_non_null(strstr(output, "x86_64-response-layout"));
	assert_null(strstr(output, "limits"));
}

static void assert_says(const char *part)
{
	if (strncmp(said, "xenblkfront: ", 13) || !strstr(said, part) ||
	    strchr(said, '\n') != said + strlen(said) - 1)
		fail_msg("not one line with '%s': %s", part, said);
	assert_string_equal(output, "");
}

static void bad_input(void **state)
{
	struct host *h = *state;

	/* Without an embedded Xen it is somebody's disk. */
	assert_int_equal(front(h, false, "--domain 1 --vdev xvda conform"), 2);
	assert_says("--yes-overwrite");
	assert_says("overwrites the disk");
	assert_int_equal(front(h, false, "--vdev xvda conform"), 2);
	assert_says("--domain");
	assert_int_equal(front(h, true, "conform --group everything"), 2);
	assert_says("--group is negotiation, rings");
	assert_int_equal(front(h, true, "conform --case nonsense"), 2);
	assert_says("no case fits");
	assert_int_equal(front(h, true, "--abi x86_32 conform"), 2);
	assert_says("conform has no option --abi");
	assert_int_equal(front(h, true, "info --list"), 2);
	assert_says("info has no option --list");
	assert_int_equal(front(h, true, "conform --json"), 1); /* nothing is attached */
	assert_says("no domain 1");
	char path[200];
	snprintf(path, sizeof path, "%s", host_image(h, "small.img", 1 << 20));
	host_attach(h, &(struct disk){.params = path}, path);
	assert_int_equal(front(h, true, "conform --json"), 1);
	assert_says("4 MiB");
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(a_writable_disk),
	    case_of(a_readonly_disk),
	    case_of(a_table),
	    cmocka_unit_test_setup_teardown(a_back_end_that_fails, setup_other_units,
	                                    host_teardown),
	    case_of(a_list),
	    case_of(bad_input),
	};

	return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}
