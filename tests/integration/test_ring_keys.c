/* SPDX-License-Identifier: MIT */
/* The front end's ring keys: every spelling in use connects, every bad one fails this device alone,
 * names what is wrong with it, and is forgotten once the front end has mended it. */
#include "control.h"

#include "blkif/abi.h"

#define ID "1:xvda"
#define SEED 31

static void attach(struct host *h, char path[200])
{
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
}

/* Offers the ring as the keys stand, and moves data through it. */
static void assert_connects(struct host *h, struct xenblkfront *f)
{
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_front(f, xenblkfront_set_state(f, XS_CONNECTED));
	assert_reads(f, 0, SEED);
	front_end(f);
	front_state(h, 1, XVDA, XS_INITIALISING);
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
}

/* ---- good ones ---- */

static void protocols(void **state)
{
	static const struct {
		const char *abi;
		enum blkif_protocol protocol;
	} rows[] = {
	    {"x86_64", BLKIF_PROTO_X86_64},
	    {"x86_32", BLKIF_PROTO_X86_32},
	    {"native", BLKIF_PROTO_NATIVE},
	    {"none", BLKIF_PROTO_X86_32}, /* as Linux has it */
	};
	struct host *h = *state;
	char path[200];

	attach(h, path);
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct xenblkfront *f = host_front(h, 1, "xvda", rows[i].abi, 0);
		assert_front(f, xenblkfront_connect(f));
		assert_reads(f, 0, SEED);
		assert_string_equal(status_text(h, ID, "protocol"),
		                    blkif_protocol_name(rows[i].protocol));
		front_end(f);
	}
}

static int setup_with_default(void **state)
{
	static const char *const extra[] = {"--default-protocol", "x86_64-abi", NULL};
	struct host *h = malloc(sizeof *h);

	host_start(h, extra);
	*state = h;
	return 0;
}

static void default_protocol_is_a_setting(void **state)
{
	struct host *h = *state;
	char path[200];

	attach(h, path);
	struct xenblkfront *f = host_front(h, 1, "xvda", "x86_64", 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_write_key(f, "protocol", NULL));
	assert_connects(h, f);
}

/* One page: `ring-ref` or `ring-ref0`, with ring-page-order 0 or without. */
static void spellings_of_one_page(void **state)
{
	struct host *h = *state;
	char path[200], ref[32];

	attach(h, path);
	for (unsigned i = 0; i < 8; i++) {
		struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
		assert_front(f, xenblkfront_publish_ring(f));
		snprintf(ref, sizeof ref, "%s", host_read(h, host_fe(1, XVDA), "ring-ref"));
		assert_front(f, xenblkfront_write_key(f, "ring-ref", NULL));
		assert_front(f, xenblkfront_write_key(f, i & 1 ? "ring-ref0" : "ring-ref", ref));
		if (i & 2)
			assert_front(f, xenblkfront_write_key(f, "ring-page-order", "0"));
		if (i & 4) /* Windows writes it always */
			assert_front(f, xenblkfront_write_key(f, "multi-queue-num-queues", "1"));
		assert_connects(h, f);
	}
}

static void orders(void **state)
{
	struct host *h = *state;
	struct xenblkfront_info info;
	char path[200];

	attach(h, path);
	for (unsigned order = 0; order <= 4; order++) {
		struct xenblkfront *f =
		    host_front(h, 1, "xvda", order % 2 ? "x86_32" : NULL, order);
		assert_front(f, xenblkfront_connect(f));
		assert_front(f, xenblkfront_get_info(f, &info));
		assert_int_equal(info.ring_slots, 32u << order);
		assert_int_equal(status_number(h, ID, "ring_order"), order);
		assert_reads(f, 0, SEED);
		front_end(f);
	}
}

/* ---- bad ones ---- */

struct bad {
	const char *key, *value; /* NULL: removed; "@": see bound_port */
	unsigned order;          /* of the ring that is there */
	const char *word;        /* that the error must have */
};

static const struct bad bad[] = {
    {"ring-page-order", "5", 0, "ring-page-order"},
    {"ring-page-order", "one", 0, "ring-page-order"},
    {"ring-page-order", "", 0, "ring-page-order"},
    {"ring-page-order", "-1", 0, "ring-page-order"},
    {"ring-page-order", "4294967296", 0, "ring-page-order"},
    {"ring-page-order", "1", 0, "ring-ref"}, /* these are not there */
    {"ring-ref", NULL, 0, "ring-ref"},
    {"ring-ref", "abc", 0, "ring-ref"},
    {"ring-ref", "", 0, "ring-ref"},
    {"ring-ref", "-1", 0, "ring-ref"},
    {"ring-ref", "8 ", 0, "ring-ref"},
    {"ring-ref", "99999999999", 0, "ring-ref"},
    {"ring-ref", "0", 0, "reference"},
    {"ring-ref", "4294967295", 0, "reference"},
    {"ring-ref", "123456", 0, "reference"},
    {"ring-ref1", "@ring-ref0", 1, "ring-ref1"},
    {"ring-ref3", NULL, 2, "ring-ref3"},
    {"ring-ref1", "123456", 1, "ring of 2 pages"},
    {"event-channel", NULL, 0, "event-channel"},
    {"event-channel", "0", 0, "event-channel"},
    {"event-channel", "port", 0, "event-channel"},
    {"event-channel", "77777", 0, "event-channel"},
    {"event-channel", "4294967295", 0, "event-channel"},
    {"event-channel", "@bound", 0, "event-channel"},
    {"protocol", "x86_128-abi", 0, "protocol"},
    {"protocol", "", 0, "protocol"},
    {"protocol", "X86_64-ABI", 0, "protocol"},
    {"multi-queue-num-queues", "0", 0, "multi-queue-num-queues"},
    {"multi-queue-num-queues", "17", 0, "multi-queue-num-queues"},
    {"multi-queue-num-queues", "many", 0, "multi-queue-num-queues"},
};

static void spoil(struct host *h, struct xenblkfront *f, const struct bad *b)
{
	const char *value = b->value;

	if (value && !strcmp(value, "@ring-ref0"))
		value = host_read(h, host_fe(1, XVDA), "ring-ref0");
	else if (value && !strcmp(value, "@bound")) /* of the other disk of that domain */
		value = host_read(h, host_fe(1, XVDB), "event-channel");
	assert_front(f, xenblkfront_write_key(f, b->key, value));
}

static void refuses(struct host *h, const struct bad *b)
{
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, b->order);
	char path[200], error[1024];

	attach(h, path);
	assert_front(f, xenblkfront_publish_ring(f));
	spoil(h, f, b);
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	assert_fatal(h, 1, XVDA, ID, b->word);
	snprintf(error, sizeof error, "%s", status_text(h, ID, "error"));
	if (strstr(error, b->key) && b->value && b->value[0] != '@' && !strstr(error, b->value))
		fail_msg("the error does not say what is there: %s", error);
	/* It stays so; the front end closes, mends and connects. */
	assert_true(host_state_stays(h, 1, XVDA, XS_CLOSING, 10));
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	front_state(h, 1, XVDA, XS_INITIALISING);
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_string_equal(status_text(h, ID, "error"), "");
	assert_string_equal(error_node(h, 1, XVDA), "");
	assert_front(f, xenblkfront_publish_ring(f));
	assert_connects(h, f);
	host_detach(h, 1, XVDA);
}

static void bad_keys_fail_this_device_only(void **state)
{
	struct host *h = *state;
	struct bystander other;
	char path[200];

	bystander_start(h, &other);
	make_image(h, "b.img", SEED, path);
	host_attach(h, &(struct disk){.devid = XVDB}, path);
	struct xenblkfront *sibling = host_front_connected(h, 1, "xvdb");
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		refuses(h, &bad[i]);
		bystander_check(h, &other);
		assert_reads(sibling, 0, SEED);
	}
	front_end(sibling);
	bystander_stop(h, &other);
}

/* A reference that cannot be mapped just now; and then it can. */
static void a_grant_that_fails(void **state)
{
	struct host *h = *state;
	struct error err;
	char path[200], line[64], ref[32];

	attach(h, path);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	snprintf(ref, sizeof ref, "%s", host_read(h, host_fe(1, XVDA), "ring-ref"));
	snprintf(line, sizeof line, "grant 1 %s -3 1", ref);
	assert_int_equal(xen_fault(h->xen, line, &err), 0);
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	assert_fatal(h, 1, XVDA, ID, "reference");
	assert_true(strstr(status_text(h, ID, "error"), ref));
	front_state(h, 1, XVDA, XS_CLOSED);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	front_state(h, 1, XVDA, XS_INITIALISING);
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_connects(h, f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(protocols),
	    cmocka_unit_test_setup_teardown(default_protocol_is_a_setting, setup_with_default,
	                                    host_teardown),
	    case_of(spellings_of_one_page),
	    case_of(orders),
	    case_of(bad_keys_fail_this_device_only),
	    case_of(a_grant_that_fails),
	};

	return cmocka_run_group_tests_name("ring_keys", tests, NULL, NULL);
}
