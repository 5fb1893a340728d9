/* SPDX-License-Identifier: MIT */
/* The front end's ring keys: both spellings, every limit, and that each refusal names its key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_keys.h"
#include "xenbus/keys.h"

/* A store: "name=value" words separated by blanks. */
static int get(void *arg, const char *dir, const char *name, char *buf, size_t cap)
{
	/* The back end's own key, which says how many queues there may be. */
	if (!strcmp(dir, "be"))
		name = strcmp(name, "multi-queue-max-queues") ? "?" : "max";
	else
		assert_string_equal(dir, "fe");
	return fake_keys_get(arg, name, buf, cap);
}

static int read_keys(const char *store, struct ring_keys *k, struct error *err)
{
	struct key_reader r = {get, (void *)(uintptr_t)store, "be", "fe"};

	err->text[0] = '\0';
	return ring_keys_read(&r, BLKIF_PROTO_X86_32, k, err);
}

/* One queue: protocol, order, port, references. */
#define ONE(proto, order_, port_, ...)                                             \
	{                                                                          \
		.protocol = (proto), .order = (order_), .nr_queues = 1, .queue = { \
			{.port = (port_), .refs = {__VA_ARGS__}}                   \
		}                                                                  \
	}

static void good(void **state)
{
	static const struct {
		const char *store;
		struct ring_keys k;
	} cases[] = {
	    {"ring-ref=8 event-channel=5", ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    {"ring-ref=8 event-channel=5 protocol=x86_64-abi", ONE(BLKIF_PROTO_X86_64, 0, 5, 8)},
	    {"ring-ref=8 event-channel=5 protocol=x86_32-abi", ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    {"ring-ref=8 event-channel=5 protocol=native", ONE(BLKIF_PROTO_NATIVE, 0, 5, 8)},
	    {"ring-ref=8 event-channel=5 multi-queue-num-queues=1",
	     ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    /* one page, the other spellings */
	    {"ring-ref0=9 event-channel=5", ONE(BLKIF_PROTO_X86_32, 0, 5, 9)},
	    {"ring-page-order=0 ring-ref0=9 event-channel=5", ONE(BLKIF_PROTO_X86_32, 0, 5, 9)},
	    {"ring-page-order=0 ring-ref=8 event-channel=5", ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    /* both there: the order key decides */
	    {"ring-page-order=0 ring-ref=8 ring-ref0=9 event-channel=5",
	     ONE(BLKIF_PROTO_X86_32, 0, 5, 9)},
	    {"ring-ref=8 ring-ref0=9 event-channel=5", ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    {"ring-page-order=1 ring-ref0=3 ring-ref1=4 event-channel=5",
	     ONE(BLKIF_PROTO_X86_32, 1, 5, 3, 4)},
	    {"ring-page-order=4 ring-ref0=1 ring-ref1=2 ring-ref2=3 ring-ref3=4 ring-ref4=5 "
	     "ring-ref5=6 "
	     "ring-ref6=7 ring-ref7=8 ring-ref8=9 ring-ref9=10 ring-ref10=11 ring-ref11=12 "
	     "ring-ref12=13 "
	     "ring-ref13=14 ring-ref14=15 ring-ref15=16 event-channel=5",
	     ONE(BLKIF_PROTO_X86_32, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)},
	    /* limits */
	    {"ring-ref=4294967295 event-channel=4294967295",
	     ONE(BLKIF_PROTO_X86_32, 0, UINT32_MAX, UINT32_MAX)},
	    {"ring-ref=8 event-channel=5 feature-persistent=0", ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    {"ring-ref=8 event-channel=5 feature-persistent=1",
	     {.protocol = BLKIF_PROTO_X86_32,
	      .persistent = 1,
	      .nr_queues = 1,
	      .queue = {{.port = 5, .refs = {8}}}}},
	    /* several queues; what stands in the directory itself is not looked at then */
	    {"max=2 multi-queue-num-queues=1 ring-ref=8 event-channel=5 queue-0/ring-ref=x",
	     ONE(BLKIF_PROTO_X86_32, 0, 5, 8)},
	    {"max=4 multi-queue-num-queues=2 ring-ref=x event-channel=x queue-0/ring-ref=8 "
	     "queue-0/event-channel=5 queue-1/ring-ref0=9 queue-1/event-channel=6",
	     {.protocol = BLKIF_PROTO_X86_32,
	      .nr_queues = 2,
	      .queue = {{.port = 5, .refs = {8}}, {.port = 6, .refs = {9}}}}},
	    {"max=2 multi-queue-num-queues=2 ring-page-order=1 queue-0/ring-ref0=8 "
	     "queue-0/ring-ref1=9 queue-0/event-channel=5 queue-1/ring-ref0=10 "
	     "queue-1/ring-ref1=11 queue-1/event-channel=6 protocol=x86_64-abi",
	     {.protocol = BLKIF_PROTO_X86_64,
	      .order = 1,
	      .nr_queues = 2,
	      .queue = {{.port = 5, .refs = {8, 9}}, {.port = 6, .refs = {10, 11}}}}},
	    {"ring-ref=0 event-channel=1", ONE(BLKIF_PROTO_X86_32, 0, 1, 0)},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ring_keys k;
		struct error err;
		memset(&k, 0xee, sizeof k);
		int rc = read_keys(cases[i].store, &k, &err);
		if (rc)
			fail_msg("%s: %d %s", cases[i].store, rc, err.text);
		assert_memory_equal(&k, &cases[i].k, sizeof k);
	}
}

static void bad(void **state)
{
	static const struct {
		const char *store;
		int rc;
		const char *text;
	} cases[] = {
	    {"ring-ref=8", -ENOENT, "front end has no key event-channel"},
	    {"event-channel=5", -ENOENT, "front end has no key ring-ref"},
	    {"event-channel=5 ring-page-order=0", -ENOENT, "front end has no key ring-ref0"},
	    {"event-channel=5 ring-page-order=1 ring-ref0=1", -ENOENT,
	     "front end has no key ring-ref1"},
	    {"event-channel=0 ring-ref=8", -ERANGE,
	     "front end's event-channel \"0\" is not a number from 1 to 4294967295"},
	    {"event-channel=4294967296 ring-ref=8", -ERANGE,
	     "front end's event-channel \"4294967296\" is not a number from 1 to 4294967295"},
	    {"event-channel=x ring-ref=8", -EINVAL,
	     "front end's event-channel \"x\" is not a number from 1 to 4294967295"},
	    {"event-channel=5 ring-ref=4294967296", -ERANGE,
	     "front end's ring-ref \"4294967296\" is not a number from 0 to 4294967295"},
	    {"event-channel=5 ring-ref=-1", -EINVAL,
	     "front end's ring-ref \"-1\" is not a number from 0 to 4294967295"},
	    /* A bad one is not passed over for the other spelling. */
	    {"event-channel=5 ring-ref=-1 ring-ref0=1", -EINVAL,
	     "front end's ring-ref \"-1\" is not a number from 0 to 4294967295"},
	    {"event-channel=5 ring-page-order=5 ring-ref0=1", -ERANGE,
	     "front end's ring-page-order \"5\" is not a number from 0 to 4"},
	    {"event-channel=5 ring-page-order=1 ring-ref0=7 ring-ref1=7", -EINVAL,
	     "front end's ring-ref0 and ring-ref1 are both 7"},
	    {"event-channel=5 ring-page-order=2 ring-ref0=7 ring-ref1=8 ring-ref2=9 ring-ref3=8",
	     -EINVAL, "front end's ring-ref1 and ring-ref3 are both 8"},
	    {"event-channel=5 ring-ref=1 protocol=arm65-abi", -EINVAL,
	     "front end's protocol \"arm65-abi\" is unknown; x86_32-abi, x86_64-abi and native are "
	     "known"},
	    {"event-channel=5 ring-ref=1 protocol=", -EINVAL,
	     "front end's protocol \"\" is unknown; x86_32-abi, x86_64-abi and native are known"},
	    {"event-channel=5 ring-ref=1 multi-queue-num-queues=2", -ERANGE,
	     "front end's multi-queue-num-queues \"2\" is not a number from 1 to 1"},
	    {"event-channel=5 ring-ref=1 multi-queue-num-queues=0", -ERANGE,
	     "front end's multi-queue-num-queues \"0\" is not a number from 1 to 1"},
	    {"max=4 multi-queue-num-queues=5", -ERANGE,
	     "front end's multi-queue-num-queues \"5\" is not a number from 1 to 4"},
	    /* What is no offer of ours offers nothing. */
	    {"max=17 multi-queue-num-queues=2", -ERANGE,
	     "front end's multi-queue-num-queues \"2\" is not a number from 1 to 1"},
	    {"max=x multi-queue-num-queues=2", -ERANGE,
	     "front end's multi-queue-num-queues \"2\" is not a number from 1 to 1"},
	    {"max=2 multi-queue-num-queues=2 ring-ref=8 event-channel=5", -ENOENT,
	     "front end has no key queue-0/event-channel"},
	    {"max=2 multi-queue-num-queues=2 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/event-channel=6",
	     -ENOENT, "front end has no key queue-1/ring-ref"},
	    {"max=2 multi-queue-num-queues=2 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=-9 queue-1/event-channel=6",
	     -EINVAL, "front end's queue-1/ring-ref \"-9\" is not a number from 0 to 4294967295"},
	    {"max=2 multi-queue-num-queues=2 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=8 queue-1/event-channel=6",
	     -EINVAL, "front end's queue-0/ring-ref and queue-1/ring-ref are both 8"},
	    {"max=2 multi-queue-num-queues=2 ring-page-order=1 queue-0/ring-ref0=8 "
	     "queue-0/ring-ref1=9 queue-0/event-channel=5 queue-1/ring-ref0=10 "
	     "queue-1/ring-ref1=8 queue-1/event-channel=6",
	     -EINVAL, "front end's queue-0/ring-ref0 and queue-1/ring-ref1 are both 8"},
	    {"max=2 multi-queue-num-queues=2 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=9 queue-1/event-channel=5",
	     -EINVAL, "front end's queue-0/event-channel and queue-1/event-channel are both 5"},
	    {"max=3 multi-queue-num-queues=3 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=9 queue-1/event-channel=6 queue-2/ring-ref=10 "
	     "queue-2/event-channel=5",
	     -EINVAL, "front end's queue-0/event-channel and queue-2/event-channel are both 5"},
	    {"max=3 multi-queue-num-queues=3 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=9 queue-1/event-channel=6 queue-2/ring-ref=10 "
	     "queue-2/event-channel=6",
	     -EINVAL, "front end's queue-1/event-channel and queue-2/event-channel are both 6"},
	    {"max=3 multi-queue-num-queues=3 queue-0/ring-ref=8 queue-0/event-channel=5 "
	     "queue-1/ring-ref=9 queue-1/event-channel=6 queue-2/ring-ref=9 "
	     "queue-2/event-channel=7",
	     -EINVAL, "front end's queue-1/ring-ref and queue-2/ring-ref are both 9"},
	    {"ring-ref=8 event-channel=5 feature-persistent=2", -ERANGE,
	     "front end's feature-persistent \"2\" is not a number from 0 to 1"},
	    {"ring-ref=8 event-channel=5 feature-persistent=yes", -EINVAL,
	     "front end's feature-persistent \"yes\" is not a number from 0 to 1"},
	    /* Long text is cut where it is quoted, and refused where it cannot be meant. */
	    {"event-channel=5 ring-ref=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeee", -EINVAL,
	     "front end's ring-ref \"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd\" is not a number "
	     "from 0 to 4294967295"},
	    {"event-channel=5 "
	     "ring-ref=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	     -EMSGSIZE, "front end's ring-ref is longer than 63 bytes"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ring_keys k, before;
		struct error err;
		memset(&k, 0xee, sizeof k);
		before = k;
		assert_int_equal(read_keys(cases[i].store, &k, &err), cases[i].rc);
		assert_string_equal(err.text, cases[i].text);
		assert_memory_equal(&k, &before, sizeof k);
	}
}

static int get_fails(void *arg, const char *dir, const char *name, char *buf, size_t cap)
{
	return -EACCES;
}

static void unreadable(void **state)
{
	struct key_reader r = {get_fails, NULL, "be", "fe"};
	struct ring_keys k;
	struct error err;

	assert_int_equal(ring_keys_read(&r, BLKIF_PROTO_X86_32, &k, &err), -EACCES);
	assert_string_equal(err.text,
	                    "cannot read front end's multi-queue-num-queues: Permission denied");
}

/* A ring must fit into one mapping. */
static void largest_ring(void **state)
{
	assert_int_equal(ring_max_order(0), 0);
	assert_int_equal(ring_max_order(1), 0);
	assert_int_equal(ring_max_order(3), 1);
	assert_int_equal(ring_max_order(4), 2);
	assert_int_equal(ring_max_order(15), 3);
	assert_int_equal(ring_max_order(16), RING_MAX_ORDER);
	assert_int_equal(ring_max_order(UINT32_MAX), RING_MAX_ORDER);
}

/* Every key that is read, and nothing else, is a reason to read them again. */
static const char *asked[64];
static unsigned nr_asked;

static int notes_name(void *arg, const char *dir, const char *name, char *buf, size_t cap)
{
	if (!strcmp(dir, "fe") && nr_asked < sizeof asked / sizeof *asked)
		asked[nr_asked++] = strdup(name);
	return get(arg, dir, name, buf, cap);
}

static void ring_key_names(void **state)
{
	static const char *const texts[] = {
	    "max=2 multi-queue-num-queues=2 ring-page-order=1 "
	    "queue-0/event-channel=1 queue-0/ring-ref0=1 queue-0/ring-ref1=2 "
	    "queue-1/event-channel=2 queue-1/ring-ref0=3 queue-1/ring-ref1=4 protocol=native "
	    "feature-persistent=1",
	    "event-channel=1 ring-ref=8",
	    "event-channel=1 ring-ref0=8 ring-page-order=0",
	};
	static const char *const others[] = {"state", "device-type", "noise", "", "ring", "queue"};
	struct ring_keys k;
	struct error err;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct key_reader r = {notes_name, (char *)texts[i], "be", "fe"};
		assert_int_equal(ring_keys_read(&r, BLKIF_PROTO_NATIVE, &k, &err), 0);
	}
	assert_in_range(nr_asked, 15, sizeof asked / sizeof *asked - 1);
	for (unsigned i = 0; i < nr_asked; i++) {
		if (!ring_key(asked[i]))
			fail_msg("%s", asked[i]);
		free((char *)asked[i]);
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_false(ring_key(others[i]));
	/* With everything below it. */
	assert_true(ring_key("queue-0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(unreadable),
	    cmocka_unit_test(largest_ring), cmocka_unit_test(ring_key_names)};

	return cmocka_run_group_tests_name("ringkeys", tests, NULL, NULL);
}
