/* SPDX-License-Identifier: MIT */
/* The conformance suite finds what is wrong: back ends with one fault each, which a named case must
 * notice, and which it must not see in an honest one. And the registry is in order. */
#include "front_fixture.h"

#include <ctype.h>

#include "front/conform/conform.h"

/* ---- the registry ---- */

static void each_case(void (*look)(const struct conform_group *g, const struct conform_case *k))
{
	for (const struct conform_group *g = conform_groups; g->name; g++)
		for (const struct conform_case *const *of = g->cases; *of; of++)
			for (const struct conform_case *k = *of; k->name; k++)
				look(g, k);
}

static const char *names[1000];
static unsigned nr_names;

static void look_at_name(const struct conform_group *g, const struct conform_case *k)
{
	for (const char *p = k->name; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-' &&
		    *p != '_')
			fail_msg("%s: odd name", k->name);
	for (unsigned i = 0; i < nr_names; i++)
		if (!strcmp(names[i], k->name))
			fail_msg("%s: two of that name", k->name);
	assert_true(nr_names < 1000);
	names[nr_names++] = k->name;
	assert_non_null(k->run);
}

static void names_are_unique(void **state)
{
	nr_names = 0;
	each_case(look_at_name);
	assert_true(nr_names >= 120);
	assert_int_equal(conform_count(&(struct conform_options){0}), nr_names);
}

static void look_at_source(const struct conform_group *g, const struct conform_case *k)
{
	static const char *const known[] = {
	    "blkif.h: ", "blkif.h (4.20): ", "ring.h: ", "grant_table.h: ", "convention: "};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strncmp(k->source, known[i], strlen(known[i])) &&
		    strlen(k->source) > strlen(known[i]) + 3)
			return;
	fail_msg("%s: source '%s'", k->name, k->source);
}

static void sources_name_who_demands(void **state)
{
	each_case(look_at_source);
}

static void groups(void **state)
{
	static const char *const want[] = {"negotiation", "rings",      "ABIs",
	                                   "segments",    "operations", "ordering",
	                                   "limits",      "errors",     "hostile"};

	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		assert_string_equal(conform_groups[i].name, want[i]);
		assert_true(conform_count(&(struct conform_options){.group = want[i]}) >= 10);
		assert_int_equal(conform_groups[i].hostile, !strcmp(want[i], "hostile"));
	}
	assert_null(conform_groups[9].name);
	assert_int_equal(conform_count(&(struct conform_options){.group = "none"}), 0);
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
	    {"full", "full-ring", true},      {"ring", "full-ring", true},
	    {"full-ring", "full-ring", true}, {"Full", "full-ring", false},
	    {"full*", "full-ring", true},     {"*ring", "full-ring", true},
	    {"ring*", "full-ring", false},    {"full-rin[f-h]", "full-ring", true},
	    {"full-rin?", "full-ring", true}, {"?ull", "full-ring", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct conform_options o = {.pattern = rows[i].pattern};
		struct conform_case k = {.name = rows[i].name};
		assert_int_equal(conform_matches(&o, &conform_groups[0], &k), rows[i].fits);
	}
}

/* ---- faults ---- */

struct seen {
	unsigned begun, n;
	struct conform_outcome last, all[8];
};

static void begins(void *arg, const struct conform_group *g, const struct conform_case *k)
{
	((struct seen *)arg)->begun++;
}

static void ends(void *arg, const struct conform_outcome *o)
{
	struct seen *s = arg;

	if (s->n < 8)
		s->all[s->n] = *o;
	s->n++;
	s->last = *o;
}

static struct conform_options options(const char *pattern, struct seen *seen)
{
	memset(seen, 0, sizeof *seen);
	return (struct conform_options){
	    .disk = {.run_dir = xen.dir, .domid = GUEST, .vdev = "xvda", .timeout_ms = 2000},
	    .pattern = pattern,
	    .begins = begins,
	    .ends = ends,
	    .arg = seen};
}

static struct conform_outcome judge(enum fake_mood mood, const char *name)
{
	/* These two make every answer late: not too long, then. */
	bool late = mood == NO_EVENT || mood == REARMS_LATE;

	/* The suite looks at the disk first, and that must work. */
	struct fake *b = fake_start(xen.dir, mood);
	struct seen seen;
	struct error err = {""};
	char glob[80];

	snprintf(glob, sizeof glob, "[%c]%s", name[0], name + 1);
	struct conform_options o = options(glob, &seen);
	o.disk.timeout_ms = late ? 400 : 5000;
	int rc = conform_run(&o, NULL, &err);
	fake_stop(b);
	if (rc)
		fail_msg("%s: %s", name, err.text);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.begun, 1);
	assert_string_equal(seen.last.at->name, name);
	assert_null(strchr(seen.last.detail, '\n'));
	return seen.last;
}

static void each_fault_is_found(void **state)
{
	static const struct {
		enum fake_mood mood;
		const char *name, *says;
	} rows[] = {
	    {WRONG_OP, "op-echo", "expected operation 0 in the response, saw 1"},
	    {WRONG_ID, "id-echo", "expected a response with id 0, saw 0x3e8"},
	    {WRONG_ID, "x86_32-id-64-bits", "expected a response with id 0xfedcba9876543210"},
	    {STALE_ID, "full-ring", "expected each id from"},
	    {TWICE, "full-ring", "twice"},
	    {OVERRUN, "as-many-responses-as-requests", "rsp_prod"},
	    {LEAKS, "x86_64-padding", "byte 9 of the response's slot"},
	    {LEAKS, "x86_32-padding", "saw 0xab"},
	    {NO_EVENT, "event-when-asked", "expected an event, saw none"},
	    {EVERY_EVENT, "no-event-unasked", "expected no event, saw one"},
	    {EVERY_EVENT, "no-event-before-third-response", "expected no event, saw one"},
	    {REARMS_LATE, "req-event-rearmed", "expected an idle back end to ask for an event"},
	    {UNITS_OF_SIZE, "one-beyond-refused", "expected ERROR, saw OKAY"},
	    {UNITS_OF_WIRE, "sectors-are-512-bytes", "8 sectors a page: expected"},
	    {UNITS_OF_WIRE, "eleven-segments", ""}, /* alone, this one cannot tell */
	    {WRITES_MORE, "neighbour-sectors-untouched", "the sector after: expected"},
	    {FORGETS_SECTOR, "x86_64-sector-64-bits", "expected ERROR, saw OKAY"},
	    {FAILS, "write-then-read", "writing 8 sectors to 1024: expected OKAY, saw ERROR"},
	    {SUPPORTS_NOTHING, "write-then-read", "expected OKAY, saw EOPNOTSUPP"},
	    /* It answers in reverse, in any mood. */
	    {HONEST, "barrier-in-a-full-ring", "expected the barrier's response as number 16"},
	    {HONEST, "waits-for-front-end", ""},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct conform_outcome o = judge(rows[i].mood, rows[i].name);
		enum conform_result want = rows[i].says[0] ? CONFORM_FAIL : CONFORM_PASS;
		if (o.result != want || !strstr(o.detail, rows[i].says))
			fail_msg("row %zu, %s: %s: %s", i, rows[i].name,
			         conform_result_name(o.result), o.detail);
		if (rows[i].mood == HONEST || !rows[i].says[0])
			continue;
		o = judge(HONEST, rows[i].name);
		if (o.result != CONFORM_PASS)
			fail_msg("honest, %s: %s: %s", rows[i].name, conform_result_name(o.result),
			         o.detail);
	}
}

static void what_is_not_offered_is_skipped(void **state)
{
	struct conform_outcome o = judge(HONEST, "two-queues-serve");

	assert_int_equal(o.result, CONFORM_SKIP);
	assert_non_null(strstr(o.detail, "not offered"));
	/* Allowed at any time. */
	o = judge(SUPPORTS_NOTHING, "flush-without-segments");
	assert_int_equal(o.result, CONFORM_SKIP);
	assert_non_null(strstr(o.detail, "allowed at any time"));
	o = judge(HONEST, "readonly-disk-reads");
	assert_int_equal(o.result, CONFORM_SKIP);
	assert_string_equal(o.detail, "the disk is not read-only");
}

/* A back end that is stuck fails the case within its time; the others are not tried. */
static void a_back_end_that_is_down(void **state)
{
	struct fake *b = fake_start(xen.dir, MUTE);
	struct error err = {""};
	struct seen seen;
	struct conform_options o = options("order-[012]-serves", &seen);

	o.disk.timeout_ms = 300;
	assert_int_equal(conform_run(&o, NULL, &err), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.begun, 1);
	assert_int_equal(seen.all[0].result, CONFORM_FAIL);
	assert_non_null(strstr(seen.all[0].detail, "expected 32 responses, saw 0"));
	assert_non_null(strstr(seen.all[0].detail, "afterwards the back end cannot be used"));
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(seen.all[i].result, CONFORM_SKIP);
		assert_string_equal(seen.all[i].detail, "back end does not answer any more");
	}
	fake_stop(b);
}

/* What its host does about a back end that is down. */
struct host_of {
	struct seen seen; /* first: options() hands it to begins and ends */
	struct fake **b;
	enum fake_mood next;
	bool able;
	unsigned asked;
	const char *after[8];
};

static bool bring_back(void *arg, const struct conform_case *k, struct error *why)
{
	struct host_of *h = arg;

	h->after[h->asked++ % 8] = k->name;
	if (!h->able)
		return error_set(why, false, "no\nspare");
	fake_stop(*h->b);
	*h->b = fake_start(xen.dir, h->next);
	return true;
}

static void a_back_end_that_is_revived(void **state)
{
	struct fake *b = fake_start(xen.dir, MUTE);
	struct host_of h = {.b = &b, .next = HONEST, .able = true};
	struct error err = {""};
	struct conform_options o = options("order-[012]-serves", &h.seen);

	o.disk.timeout_ms = 300;
	o.revive = bring_back;
	assert_int_equal(conform_run(&o, NULL, &err), 0);
	assert_int_equal(h.asked, 1);
	assert_string_equal(h.after[0], "order-0-serves");
	assert_int_equal(h.seen.begun, 3);
	assert_int_equal(h.seen.all[0].result, CONFORM_FAIL);
	assert_non_null(strstr(h.seen.all[0].detail, "afterwards the back end cannot be used"));
	assert_int_equal(h.seen.all[1].result, CONFORM_PASS);
	assert_int_equal(h.seen.all[2].result, CONFORM_PASS);
	fake_stop(b);
}

/* Revived, but no better; and not at all. Nobody is asked after the last case. */
static void a_back_end_that_is_revived_in_vain(void **state)
{
	static const char *const says[] = {"back end could not be revived: no?spare",
	                                   "back end was revived in vain: "};

	for (int able = 0; able < 2; able++) {
		struct fake *b = fake_start(xen.dir, MUTE);
		struct host_of h = {.b = &b, .next = MUTE, .able = able};
		struct error err = {""};
		struct conform_options o = options("order-[012]-serves", &h.seen);

		o.disk.timeout_ms = 300;
		o.revive = bring_back;
		assert_int_equal(conform_run(&o, NULL, &err), 0);
		assert_int_equal(h.asked, 1);
		assert_int_equal(h.seen.begun, 1);
		assert_int_equal(h.seen.n, 3);
		for (unsigned i = 1; i < 3; i++) {
			assert_int_equal(h.seen.all[i].result, CONFORM_SKIP);
			assert_memory_equal(h.seen.all[i].detail, says[able], strlen(says[able]));
		}
		h.asked = 0;
		o = options("order-0-serves", &h.seen);
		o.disk.timeout_ms = 300;
		o.revive = bring_back;
		assert_int_equal(conform_run(&o, NULL, &err), 0);
		assert_int_equal(h.seen.all[0].result, CONFORM_FAIL);
		assert_int_equal(h.asked, 0);
		fake_stop(b);
	}
}

/* The limit of a whole case holds also if each single answer is in time. */
static void a_case_that_takes_too_long(void **state)
{
	struct fake *b = fake_start(xen.dir, SLOW);
	struct error err = {""};
	struct seen seen;
	struct conform_options o = options("read-sees-answered-write", &seen);

	o.case_ms = 2000; /* 64 requests of 100 ms */
	o.disk.timeout_ms = 5000;
	assert_int_equal(conform_run(&o, NULL, &err), 0);
	assert_int_equal(seen.last.result, CONFORM_FAIL);
	assert_non_null(strstr(seen.last.detail, "took longer"));
	fake_stop(b);
}

static bool stop_at_second(void *arg)
{
	return ((struct seen *)arg)->n >= 1;
}

static void stops_when_told(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct error err = {""};
	struct seen seen;
	struct conform_options o = options("order-[012]-serves", &seen);

	o.stop = stop_at_second;
	assert_int_equal(conform_run(&o, NULL, &err), -EINTR);
	assert_int_equal(seen.begun, 1);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.all[0].result, CONFORM_PASS);
	assert_string_equal(seen.all[2].detail, "interrupted");
	fake_stop(b);
}

static void no_disk(void **state)
{
	struct error err = {""};
	struct seen seen;
	struct conform_options o = options(NULL, &seen);

	assert_int_equal(conform_run(&o, NULL, &err), -ENODEV);
	assert_non_null(strstr(err.text, "no device xvda"));
	assert_int_equal(seen.n, 0);
}

static void nothing_is_left_behind(void **state)
{
	struct fake *b = fake_start(xen.dir, HONEST);
	struct xen_usage before = usage();
	struct error err = {""};
	struct seen seen;
	struct conform_options o = options("order-[0-4]-serves", &seen);

	assert_int_equal(conform_run(&o, NULL, &err), 0);
	struct xen_usage after = usage();
	assert_int_equal(after.grants, before.grants);
	assert_int_equal(after.ports, before.ports);
	assert_int_equal(after.clients, before.clients);
	fake_stop(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_unique),
	    cmocka_unit_test(sources_name_who_demands),
	    cmocka_unit_test(groups),
	    cmocka_unit_test(patterns),
	    cmocka_unit_test(each_fault_is_found),
	    cmocka_unit_test(what_is_not_offered_is_skipped),
	    cmocka_unit_test(a_back_end_that_is_down),
	    cmocka_unit_test(a_back_end_that_is_revived),
	    cmocka_unit_test(a_back_end_that_is_revived_in_vain),
	    cmocka_unit_test(a_case_that_takes_too_long),
	    cmocka_unit_test(stops_when_told),
	    cmocka_unit_test(no_disk),
	    cmocka_unit_test(nothing_is_left_behind),
	};

	return cmocka_run_group_tests_name("conform", tests, start_xen, stop_xen);
}
