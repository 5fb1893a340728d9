/* SPDX-License-Identifier: MIT */
/* Every family of cases of the conformance suite, on a back end that is right in all of it and on
 * the same one with one fault: exactly the cases that are there for the fault must fail. */
#include "front_fixture.h"

#include "front/conform/conform.h"
#include "front_fake_full.h"

#define NAMES 4000

/* What a run found; the names as they came, with a blank between. */
struct found {
	unsigned passed, failed, skipped;
	char fails[NAMES], skips[NAMES];
	char detail[CONFORM_DETAIL_MAX]; /* of the first that failed */
};

static void add(char *names, const char *name)
{
	size_t n = strlen(names);

	snprintf(names + n, NAMES - n, "%s%s", n ? " " : "", name);
}

static void ends(void *arg, const struct conform_outcome *o)
{
	struct found *f = arg;

	if (o->result == CONFORM_PASS) {
		f->passed++;
	} else if (o->result == CONFORM_SKIP) {
		f->skipped++;
		add(f->skips, o->at->name);
	} else {
		if (!f->failed++)
			memcpy(f->detail, o->detail, sizeof f->detail);
		add(f->fails, o->at->name);
	}
}

static void judge(enum full_fault fault, const char *group, const char *pattern, struct found *f)
{
	/* Where nothing comes, or nothing that can be heard: not too long. */
	bool waits = fault == DROPS_BAD || fault == TELLS_QUEUE_0 || fault == NOT_FOR_MINIOS ||
	             fault == DEAF_AT_NO_STATE || fault == DEAD_BY_OVERFLOW;
	struct full *own = calloc(1, sizeof *own);
	struct error err = {""};
	struct conform_options o = {.disk = {.run_dir = xen.dir,
	                                     .domid = GUEST,
	                                     .vdev = "xvda",
	                                     .timeout_ms = waits ? 1000 : 20000},
	                            .group = group,
	                            .pattern = pattern,
	                            .ends = ends,
	                            .arg = f};

	*f = (struct found){0};
	own->fault = fault;
	struct fake *b = fake_start_kind(xen.dir, HONEST, &full_kind, own);
	int rc = conform_run(&o, NULL, &err);
	fake_stop(b);
	free(own);
	if (rc)
		fail_msg("%s: %s", pattern ?: group, err.text);
}

struct row {
	enum full_fault fault;
	const char *group, *pattern; /* the family, or the case alone */
	const char *fails, *says;
};

static void exactly(const struct row *rows, size_t n)
{
	struct found f;

	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		judge(r->fault, r->group, r->pattern, &f);
		if (strcmp(f.fails, r->fails) || !strstr(f.detail, r->says))
			fail_msg("row %zu: expected to fail: %s (%s)\nsaw: %s (%s)", i, r->fails,
			         r->says, f.fails, f.detail);
	}
}

#define EXACTLY(rows) exactly(rows, sizeof(rows) / sizeof *(rows))

/* ---- no fault ---- */

static void all_of_it_without_a_fault(void **state)
{
	struct found f;

	judge(NO_FAULT, NULL, NULL, &f);
	assert_string_equal(f.fails, "");
	assert_string_equal(
	    f.skips,
	    "ring-order-and-pages-agree discard-enable-obeyed unaligned-sector-refused "
	    "unaligned-segment-refused indirect-several-pages flush-not-offered "
	    "barrier-not-offered indirect-not-offered secure-flag-ignored discard-not-offered "
	    "readonly-disk-reads readonly-disk-refuses-write readonly-disk-refuses-barrier "
	    "readonly-disk-refuses-flush-with-data readonly-disk-refuses-discard "
	    "readonly-disk-flushes indirect-readonly-disk");
}

static void a_readonly_disk_without_a_fault(void **state)
{
	struct found f;

	judge(READONLY_HONEST, NULL, "*readonly-disk*", &f);
	assert_string_equal(f.fails, "");
	assert_string_equal(f.skips, "");
	assert_int_equal(f.passed, 7);
}

/* ---- one fault each ---- */

static void discards(void **state)
{
	static const struct row rows[] = {
	    {DISCARDS_BEYOND, NULL, "discard",
	     "x86_64-discard-layout x86_32-discard-layout discard-beyond-the-end-refused "
	     "discard-across-the-end-refused discard-that-wraps-refused",
	     "discarding 8 * 2^32 + 8 sectors: expected ERROR, saw OKAY"},
	    {DISCARD_SUM_WRAPS, NULL, "discard", "discard-that-wraps-refused",
	     "expected ERROR, saw OKAY"},
	    {DISCARDS_MORE, NULL, "discard",
	     "x86_64-discard-layout x86_32-discard-layout discard-leaves-neighbours "
	     "discard-finer-than-granularity",
	     "reading the page before the discarded one: expected"},
	    {DISCARD_UNDONE_OKAY, NULL, "discard", "discard-not-offered",
	     "expected EOPNOTSUPP, saw OKAY"},
	    {SECURE_REFUSED, NULL, "secure", "secure-flag-ignored",
	     "expected OKAY, saw EOPNOTSUPP"},
	};

	EXACTLY(rows);
}

static void indirect_requests(void **state)
{
	static const struct row rows[] = {
	    {INDIRECT_OUTER_OP, NULL, "indirect", "indirect-op-echo",
	     "expected the inner operation 0 in the response, saw 6"},
	    {INDIRECT_11, NULL, "*indirect-*segments", "indirect-12-segments indirect-31-segments",
	     "a page of an indirect read: expected"},
	    {INDIRECT_ALL_REFS, NULL, "indirect", "indirect-spare-references-ignored",
	     "nonsense in the spare references: expected OKAY, saw ERROR"},
	    {INDIRECT_MAPS_RW, NULL, "indirect", "indirect-readonly-descriptors",
	     "granted read-only: expected OKAY, saw ERROR"},
	    {INDIRECT_MORE, NULL, "indirect", "indirect-over-maximum-refused",
	     "expected ERROR, saw OKAY"},
	    {INDIRECT_ANY_OP, NULL, "indirect",
	     "indirect-of-flush-refused indirect-of-discard-refused indirect-of-indirect-refused",
	     "with inner operation 3: expected ERROR, saw OKAY"},
	    {INDIRECT_RANGES, NULL, "indirect", "indirect-first-beyond-last indirect-last-8",
	     "no range in its page: expected ERROR, saw OKAY"},
	};

	EXACTLY(rows);
}

static void persistent_grants(void **state)
{
	static const struct row rows[] = {
	    {KEEPS_PAGES, "operations", "pages", "pages-unmapped-before-response",
	     "taking pages back right after the response"},
	    {KEEPS_AFTER_CLOSED, NULL, "persistent", "persistent-pages-come-back",
	     "taking persistent pages back"},
	    {PERSISTENT_FULL, NULL, "persistent", "persistent-fresh-pages",
	     "expected OKAY, saw ERROR"},
	    {PERSISTENT_STALE, "operations", "persistent",
	     "persistent-pages-used-again persistent-read-then-written persistent-full-ring "
	     "persistent-bad-gref",
	     "a page that is used over and over: expected"},
	    {PERSISTENT_READ_ONLY, NULL, "persistent", "persistent-full-ring",
	     "a write in a full ring: expected OKAY, saw ERROR"},
	};

	EXACTLY(rows);
}

static void queues(void **state)
{
	static const struct row rows[] = {
	    {QUEUE_0_IDS, NULL, "all-queues-full", "all-queues-full",
	     "expected the responses of queue 1's requests in it, saw one of queue 0"},
	    {TELLS_QUEUE_0, NULL, "event-of-its-own-queue", "event-of-its-own-queue",
	     "expected an event at the port of queue 1 for its response, saw none"},
	    {QUEUES_APART, NULL, "queue", "write-seen-in-other-queues flush-in-another-queue",
	     "reading in one queue what the other one wrote: expected"},
	    {QUEUE_BARRIERS, NULL, "barrier", "barrier-in-its-queue",
	     "expected the barrier's response as number 11"},
	    {QUEUE_NUMBERS, NULL, "num-queues",
	     "num-queues-0-refused num-queues-above-maximum-refused num-queues-negative "
	     "num-queues-huge",
	     "saw the back end Connected"},
	    {QUEUE_0_FOR_ALL, NULL, "queue", "no-ring-ref-in-queue-1-refused queue-ring-ref-text",
	     "saw the back end Connected"},
	};

	EXACTLY(rows);
}

static void hostile_guests(void **state)
{
	static const struct row rows[] = {
	    {NO_OVERFLOW_CHECK, "hostile", "req-prod-o*", "req-prod-overflow-stops-the-ring",
	     "expected no response, saw 32"},
	    {DEAD_BY_OVERFLOW, "hostile", "req-prod-far-ahead", "req-prod-far-ahead",
	     "afterwards the back end cannot be used any more"},
	    {DROPS_BAD, "hostile", "noise", "slots-of-noise indirect-noise", "responses, saw"},
	    {NOISE_OKAY, "hostile", "noise", "indirect-noise", "expected no OKAY, saw OKAY"},
	    {DEAF_AT_NO_STATE, "hostile", "state-text", "state-text",
	     "afterwards the back end cannot be used any more"},
	};

	EXACTLY(rows);
}

static void keys_and_walks(void **state)
{
	static const struct row rows[] = {
	    {ANY_PROTOCOL, "negotiation", NULL, "unknown-protocol-refused",
	     "saw the back end Connected"},
	    {WANTS_REF_0, "negotiation", NULL, "order-0-with-ring-ref", "Connected, saw Closing"},
	    {NOT_FOR_MINIOS, "negotiation", "connected-without-initialised",
	     "connected-without-initialised", "stays InitWait"},
	    {RINGS_STAY_MAPPED, "negotiation", "pages-come-back", "pages-come-back",
	     "still maps our pages"},
	};

	EXACTLY(rows);
}

static void operations_limits_and_order(void **state)
{
	static const struct row rows[] = {
	    {UNKNOWN_IS_ERROR, "operations", NULL,
	     "operation-4-unsupported operation-7-unsupported operation-255-unsupported",
	     "operation 4: expected EOPNOTSUPP, saw ERROR"},
	    {EMPTY_OKAY, "segments", NULL, "read-of-0-segments-refused write-of-0-segments-refused",
	     "expected ERROR, saw OKAY"},
	    {BYTES_WRAP, "limits", NULL, "sector-2-55-refused sector-2-63-refused",
	     "reading at sector 0x80000000000000: expected ERROR, saw OKAY"},
	    {BARRIER_LETS_PASS, "ordering", NULL,
	     "barrier-before-writes barrier-in-a-full-ring empty-barrier-orders "
	     "barrier-in-its-queue",
	     "expected the barrier's response as number 1, saw a write from after it"},
	    {READONLY_WRITES, NULL, "*readonly-disk*",
	     "readonly-disk-refuses-write readonly-disk-refuses-barrier "
	     "readonly-disk-refuses-flush-with-data readonly-disk-refuses-discard "
	     "indirect-readonly-disk",
	     "operation 1 on a read-only disk: expected ERROR, saw OKAY"},
	    {READONLY_DISCARDS, NULL, "*readonly-disk*", "readonly-disk-refuses-discard",
	     "operation 5 on a read-only disk: expected ERROR, saw OKAY"},
	};

	EXACTLY(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_of_it_without_a_fault),
	    cmocka_unit_test(a_readonly_disk_without_a_fault),
	    cmocka_unit_test(discards),
	    cmocka_unit_test(indirect_requests),
	    cmocka_unit_test(persistent_grants),
	    cmocka_unit_test(queues),
	    cmocka_unit_test(hostile_guests),
	    cmocka_unit_test(keys_and_walks),
	    cmocka_unit_test(operations_limits_and_order),
	};

	return cmocka_run_group_tests_name("conform_faults", tests, start_xen, stop_xen);
}
