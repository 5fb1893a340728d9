/* SPDX-License-Identifier: MIT */
/* The shared ring: layout, wrap-around, when to notify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

/* Older public headers call them by these names. */
#define mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#include "blkif/ring.h"

#define PAGE 4096u
static const enum blkif_protocol protos[] = {BLKIF_PROTO_X86_32, BLKIF_PROTO_X86_64};

/* Ring pages between two pages that must not be touched. */
static uint8_t *map_ring(unsigned order)
{
	size_t len = PAGE << order;
	uint8_t *all = mmap(NULL, len + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(all, MAP_FAILED);
	assert_int_equal(mprotect(all + PAGE, len, PROT_READ | PROT_WRITE), 0);
	return all + PAGE;
}

static void unmap_ring(uint8_t *shared, unsigned order)
{
	munmap(shared - PAGE, (PAGE << order) + 2 * PAGE);
}

static uint32_t word(const uint8_t *shared, size_t at)
{
	uint32_t v;

	memcpy(&v, shared + at, 4);
	return v;
}

static void set_word(uint8_t *shared, size_t at, uint32_t v)
{
	memcpy(shared + at, &v, 4);
}

static void layout(void **state)
{
	uint8_t *shared = map_ring(0);
	struct blkif_ring r;

	memset(shared, 0xa5, PAGE);
	for (unsigned order = 0; order <= 4; order++) {
		for (int p = 0; p < 2; p++) {
			blkif_ring_attach(&r, shared, order, protos[p]);
			assert_int_equal(r.slots, 32u << order);
			assert_int_equal(r.slot_size, protos[p] == BLKIF_PROTO_X86_32 ? 108 : 112);
			assert_true(64 + (size_t)r.slots * r.slot_size <= (size_t)PAGE << order);
			assert_true(64 + 2ul * r.slots * r.slot_size > (size_t)PAGE << order);
		}
	}
	for (size_t i = 0; i < PAGE; i++) /* attaching touches nothing */
		assert_int_equal(shared[i], 0xa5);

	blkif_ring_attach(&r, shared, 0, BLKIF_PROTO_NATIVE);
	blkif_ring_init(&r);
	struct blkif_sring *sring = (void *)shared, want;
	memset(&want, 0, sizeof want);
	SHARED_RING_INIT(&want);
	assert_memory_equal(shared, &want, offsetof(struct blkif_sring, ring));
	assert_int_equal(offsetof(struct blkif_sring, ring), 64);
	for (size_t i = 64; i < PAGE; i++)
		assert_int_equal(shared[i], 0xa5);
	sring->req_prod = 11;
	sring->rsp_prod = 22;
	assert_int_equal(blkif_ring_req_prod(&r), 11);
	assert_int_equal(blkif_ring_rsp_prod(&r), 22);
	assert_int_equal(blkif_ring_peek_rsp(&r), 22);
	blkif_ring_poke_req_prod(&r, 0xdeadbeef);
	assert_int_equal(sring->req_prod, 0xdeadbeef);
	assert_int_equal(blkif_ring_arm_req(&r, 0xffffffff), 0xdeadbeef);
	assert_int_equal(sring->req_event, 0);
	assert_int_equal(blkif_ring_arm_rsp(&r, 7), 22);
	assert_int_equal(sring->rsp_event, 8);
	unmap_ring(shared, 0);
}

/* Every index, however hostile, lands in its slot, and nothing else is touched. */
static void slots(void **state)
{
	static const uint32_t idxs[] = {0,          1,          31,         32,
	                                33,         1000,       0x7fffffff, 0x80000000,
	                                0xfffffffe, 0xffffffff, 0xffffffe0, 0xdeadbeef};

	for (unsigned order = 0; order <= 4; order++) {
		for (int p = 0; p < 2; p++) {
			size_t len = PAGE << order;
			uint8_t *shared = map_ring(order), *copy = malloc(len);
			struct blkif_ring r;
			blkif_ring_attach(&r, shared, order, protos[p]);
			for (size_t i = 0; i < sizeof idxs / sizeof *idxs; i++) {
				size_t at = 64 + (idxs[i] % r.slots) * (size_t)r.slot_size;
				uint8_t raw[BLKIF_SLOT_MAX], got[BLKIF_SLOT_MAX + 1];
				struct blkif_rsp rsp = {.id = 1ull << 40 | i,
				                        .op = 3,
				                        .status = -1},
				                 back;

				memset(shared, 0xa5, len);
				for (unsigned b = 0; b < r.slot_size; b++)
					raw[b] = (uint8_t)(b * 7 + i);
				blkif_ring_put_req(&r, idxs[i], raw);
				memset(copy, 0xa5, len);
				memcpy(copy + at, raw, r.slot_size);
				assert_memory_equal(shared, copy, len);
				memset(got, 0x5a, sizeof got);
				blkif_ring_copy_req(&r, idxs[i], got);
				assert_memory_equal(got, raw, r.slot_size);
				assert_int_equal(got[r.slot_size], 0x5a);

				blkif_ring_put_rsp(&r, idxs[i], &rsp);
				memset(raw, 0, sizeof raw);
				blkif_encode_rsp(protos[p], &rsp, raw);
				memcpy(copy + at, raw, r.slot_size); /* padding zeroed, too */
				assert_memory_equal(shared, copy, len);
				blkif_ring_get_rsp(&r, idxs[i], &back);
				assert_true(back.id == rsp.id && back.op == 3 && back.status == -1);
			}
			free(copy);
			unmap_ring(shared, order);
		}
	}
}

/* The rule in words: notify if the event index is one of those that are published now. */
static bool wants_event(uint32_t from, uint32_t to, uint32_t event)
{
	for (uint32_t i = from; i != to; i++)
		if (i + 1 == event)
			return true;
	return false;
}

static void notify_rule(void **state)
{
	static const uint32_t bases[] = {0,          1,          1000,      0x7ffffff0,
	                                 0xffffffd0, 0xfffffff0, 0xffffffff};
	uint8_t *shared = map_ring(0);
	struct blkif_ring r;

	blkif_ring_attach(&r, shared, 0, BLKIF_PROTO_X86_64);
	for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) {
		for (uint32_t n = 0; n <= r.slots; n++) {
			for (int32_t e = -70; e <= 70; e++) {
				uint32_t from = bases[b], to = from + n, event = from + (uint32_t)e;
				bool want = wants_event(from, to, event);
				set_word(shared, 4, event);
				set_word(shared, 12, ~event);
				assert_int_equal(blkif_ring_push_req(&r, from, to), want);
				assert_int_equal(word(shared, 0), to);
				set_word(shared, 4, ~event);
				set_word(shared, 12, event);
				assert_int_equal(blkif_ring_publish(&r, from, to), want);
				assert_int_equal(word(shared, 8), to);
				assert_int_equal(word(shared, 4), ~event); /* theirs: not touched */
				assert_int_equal(word(shared, 12), event);
			}
		}
	}
	unmap_ring(shared, 0);
}

/* Our back end against a front end made of the public macros, across 2^32. */
static void with_public_macros(void **state)
{
	uint8_t *shared = map_ring(0);
	struct blkif_front_ring front;
	struct blkif_ring back;
	uint32_t start = 0xffffffe5, cons = start, pub = start;

	blkif_ring_attach(&back, shared, 0, BLKIF_PROTO_NATIVE);
	struct blkif_sring *sring = (void *)shared;
	SHARED_RING_INIT(sring);
	sring->req_prod = sring->rsp_prod = start;
	sring->req_event = sring->rsp_event = start + 1;
	FRONT_RING_ATTACH(&front, sring, start, PAGE);
	assert_int_equal(RING_SIZE(&front), back.slots);

	for (uint32_t round = 0; round < 200; round++) {
		uint32_t n = 1 + round % back.slots;
		int notify;
		for (uint32_t i = 0; i < n; i++) {
			struct blkif_request *q = RING_GET_REQUEST(&front, front.req_prod_pvt);
			memset(q, 0, sizeof *q);
			q->operation = BLKIF_OP_READ;
			q->nr_segments = 1;
			q->id = round << 8 | i;
			q->sector_number = ~(uint64_t)i;
			q->seg[0].gref = i;
			front.req_prod_pvt++;
		}
		RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, notify);
		assert_int_equal(notify, 1); /* the back end had armed */
		assert_int_equal(blkif_ring_req_prod(&back) - cons, n);
		for (uint32_t i = 0; i < n; i++, cons++) {
			uint8_t raw[BLKIF_SLOT_MAX];
			struct blkif_req req;
			blkif_ring_copy_req(&back, cons, raw);
			blkif_decode_req(back.proto, raw, &req);
			assert_true(req.id == (round << 8 | i) && req.sector == ~(uint64_t)i);
			assert_int_equal(req.seg[0].gref, i);
			struct blkif_rsp rsp = {.id = req.id, .op = req.op};
			blkif_ring_put_rsp(&back, cons, &rsp);
		}
		assert_int_equal(blkif_ring_arm_req(&back, cons), cons);
		assert_true(blkif_ring_publish(&back, pub, cons));
		pub = cons;
		int more;
		for (uint32_t i = 0; RING_HAS_UNCONSUMED_RESPONSES(&front); i++) {
			struct blkif_response rsp;
			RING_COPY_RESPONSE(&front, front.rsp_cons, &rsp);
			assert_int_equal(rsp.id, round << 8 | i);
			front.rsp_cons++;
		}
		assert_int_equal(front.rsp_cons, cons);
		RING_FINAL_CHECK_FOR_RESPONSES(&front, more);
		assert_int_equal(more, 0);
	}
	assert_true(cons < start); /* it did wrap */
	unmap_ring(shared, 0);
}

/* A front end that writes what it likes: whatever the index, copies stay inside. */
static void hostile_indices(void **state)
{
	uint8_t *shared = map_ring(1);
	struct blkif_ring r;
	uint32_t v = 1;

	blkif_ring_attach(&r, shared, 1, BLKIF_PROTO_X86_64);
	for (int i = 0; i < 100000; i++) {
		uint8_t raw[BLKIF_SLOT_MAX];
		struct blkif_rsp rsp = {.id = v};
		v = v * 1664525 + 1013904223;
		blkif_ring_poke_req_prod(&r, v);
		uint32_t prod = blkif_ring_req_prod(&r);
		assert_int_equal(prod, v);
		blkif_ring_copy_req(&r, prod, raw);
		blkif_ring_put_rsp(&r, prod - 1, &rsp);
		assert_int_equal(blkif_ring_arm_req(&r, prod), v);
	}
	unmap_ring(shared, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layout),          cmocka_unit_test(slots),
	    cmocka_unit_test(notify_rule),     cmocka_unit_test(with_public_macros),
	    cmocka_unit_test(hostile_indices),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
