/* SPDX-License-Identifier: MIT */
/* Ranges of blocks: overlapping ones are held one after the other, in the order they came. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "disk/blocks.h"

static struct block_range range(uint64_t at, uint64_t end, unsigned queue)
{
	return (struct block_range){.at = at, .end = end, .queue = queue};
}

/* One thread: nobody else can be in between. */
static bool lock(struct blocks *b, struct block_range *r)
{
	uint32_t wake;
	bool held = blocks_lock(b, r, &wake);

	assert_int_equal(wake, 0);
	return held;
}

static void assert_empty(const struct blocks *b)
{
	for (unsigned i = 0; i < BLOCKS_BUCKETS; i++) {
		assert_null(b->bucket[i].first);
		assert_int_equal(b->bucket[i].parts, 0);
		assert_int_equal(b->bucket[i].whole, 0);
		assert_ptr_equal(b->bucket[i].last, &b->bucket[i].first);
	}
}

static void in_the_order_they_came(void **state)
{
	struct blocks b;
	struct block_range one = range(0, 8, 0), two = range(4, 12, 1), three = range(0, 4, 2),
	                   apart = range(12, 16, 3), four = range(8, 16, 0);

	blocks_init(&b);
	assert_true(lock(&b, &one));
	assert_false(lock(&b, &two));
	assert_false(lock(&b, &three));
	assert_true(lock(&b, &apart));
	assert_false(lock(&b, &four)); /* behind two, which waits itself */
	assert_null(blocks_granted(&b, 1));
	assert_int_equal(blocks_unlock(&b, &one), 1u << 1 | 1u << 2);
	assert_ptr_equal(blocks_granted(&b, 1), &two);
	assert_null(blocks_granted(&b, 1));
	assert_ptr_equal(blocks_granted(&b, 2), &three);
	assert_null(three.next_granted);
	assert_int_equal(blocks_unlock(&b, &two), 0);
	assert_int_equal(blocks_unlock(&b, &apart), 1u << 0);
	assert_ptr_equal(blocks_granted(&b, 0), &four);
	assert_int_equal(blocks_unlock(&b, &three), 0);
	assert_int_equal(blocks_unlock(&b, &four), 0);
	assert_empty(&b);
}

/* Where regions meet, and where two share a bucket without touching each other. */
static void regions(void **state)
{
	const uint64_t edge = BLOCKS_REGION, far = BLOCKS_REGION * BLOCKS_BUCKETS;
	struct blocks b;
	struct block_range across = range(edge - 8, edge + 8, 0), below = range(edge - 4, edge, 1),
	                   above = range(edge, edge + 4, 2), both = range(edge - 8, edge + 8, 3),
	                   next = range(edge + 8, edge + 12, 4),
	                   other = range(far + edge - 8, far + edge + 8, 5);

	blocks_init(&b);
	assert_true(lock(&b, &across));
	assert_false(lock(&b, &below));
	assert_false(lock(&b, &above));
	assert_false(lock(&b, &both));
	assert_true(lock(&b, &next));
	assert_true(lock(&b, &other));
	assert_int_equal(blocks_unlock(&b, &across), 1u << 1 | 1u << 2);
	assert_int_equal(blocks_unlock(&b, &above), 0);
	assert_int_equal(blocks_unlock(&b, &below), 1u << 3);
	/* Once, though it was found twice. */
	assert_ptr_equal(blocks_granted(&b, 3), &both);
	assert_null(both.next_granted);
	assert_int_equal(blocks_unlock(&b, &other), 0);
	assert_int_equal(blocks_unlock(&b, &both), 0);
	assert_int_equal(blocks_unlock(&b, &next), 0);
	assert_empty(&b);
}

/* The longest range there is lies in two regions, wherever it begins. */
static void longest(void **state)
{
	struct blocks b;

	blocks_init(&b);
	for (uint64_t at = 0; at < 2 * BLOCKS_REGION; at += 4096) {
		struct block_range r = range(at, at + BLOCKS_REGION + 4096, 0);
		struct block_range last = range(r.end - 4096, r.end, 1);
		assert_true(lock(&b, &r));
		assert_false(lock(&b, &last));
		assert_int_equal(blocks_unlock(&b, &r), 1u << 1);
		assert_ptr_equal(blocks_granted(&b, 1), &last);
		assert_int_equal(blocks_unlock(&b, &last), 0);
	}
	assert_empty(&b);
}

/* Several of one queue at once, listed in their order. */
static void a_list_for_one_queue(void **state)
{
	struct blocks b;
	struct block_range all = range(0, 100, 0), part[4];

	blocks_init(&b);
	assert_true(lock(&b, &all));
	for (unsigned i = 0; i < 4; i++) {
		part[i] = range(i * 10, i * 10 + 10, 5);
		assert_false(lock(&b, &part[i]));
	}
	assert_int_equal(blocks_unlock(&b, &all), 1u << 5);
	struct block_range *r = blocks_granted(&b, 5);
	for (unsigned i = 0; i < 4; i++, r = r->next_granted) {
		assert_ptr_equal(r, &part[i]);
		assert_true(r->held);
	}
	assert_null(r);
}

/* Never two that overlap, and nobody is forgotten. base: where on the disk. */
static void random_use_at(uint64_t base)
{
	enum { RANGES = 60, BLOCKS = 40 };
	struct block_range r[RANGES] = {{0}};
	unsigned used[BLOCKS] = {0}, held[RANGES] = {0}, wants[RANGES] = {0}, turns = 0;
	struct blocks b;
	uint64_t seed = 11;

	blocks_init(&b);
	for (unsigned n = 0; n < 200000; n++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned i = (unsigned)(seed >> 33) % RANGES;
		uint32_t queues = 0;
		if (held[i]) {
			for (uint64_t k = r[i].at; k < r[i].end; k++)
				used[k - base]--;
			held[i] = wants[i] = 0;
			queues = blocks_unlock(&b, &r[i]);
			turns++;
		} else if (!wants[i]) {
			uint64_t at = (seed >> 20) % (BLOCKS - 4);
			r[i] =
			    range(base + at, base + at + 1 + (seed >> 50) % 4, i % WM_MAX_QUEUES);
			wants[i] = 1;
			if (lock(&b, &r[i])) {
				held[i] = 1;
				for (uint64_t k = r[i].at; k < r[i].end; k++)
					assert_int_equal(used[k - base]++, 0);
			}
		}
		for (unsigned q = 0; queues; q++, queues >>= 1) {
			struct block_range *g = queues & 1 ? blocks_granted(&b, q) : NULL;
			assert_true(g || !(queues & 1));
			for (; g; g = g->next_granted) {
				assert_true(wants[g - r] && !held[g - r]);
				held[g - r] = 1;
				for (uint64_t k = g->at; k < g->end; k++)
					assert_int_equal(used[k - base]++, 0);
			}
		}
	}
	assert_true(turns > 10000);
}

static void random_use(void **state)
{
	random_use_at(0);
}

static void random_use_across_regions(void **state)
{
	random_use_at(BLOCKS_REGION * BLOCKS_BUCKETS - 20);
}

static struct block_range whole(uint64_t at, uint64_t end, unsigned queue)
{
	return (struct block_range){.at = at, .end = end, .queue = queue, .whole = true};
}

static void whole_ones_wait_for_parts_only(void **state)
{
	struct blocks b;
	struct block_range one = whole(0, 8, 0), same = whole(0, 8, 1), part = range(4, 8, 2),
	                   later = whole(4, 8, 3), beside = whole(8, 12, 4), twin = beside,
	                   far = whole(BLOCKS_REGION, BLOCKS_REGION + 8, 5);

	blocks_init(&b);
	assert_true(lock(&b, &one) && lock(&b, &same));
	assert_true(one.counted && same.counted);
	assert_false(lock(&b, &part));
	/* Now in order: in what came after the part, too. What it does not touch goes on. */
	assert_false(lock(&b, &later));
	assert_true(lock(&b, &beside) && lock(&b, &twin));
	assert_false(beside.counted || twin.counted);
	assert_true(lock(&b, &far) && far.counted);
	assert_int_equal(blocks_unlock(&b, &same), 0);
	assert_int_equal(blocks_unlock(&b, &one), 1u << 2);
	assert_ptr_equal(blocks_granted(&b, 2), &part);
	assert_int_equal(blocks_unlock(&b, &part), 1u << 3);
	assert_ptr_equal(blocks_granted(&b, 3), &later);
	/* The part is gone: who comes now takes the short way, whatever joined meanwhile. */
	assert_true(lock(&b, &same) && same.counted);
	assert_int_equal(blocks_unlock(&b, &same), 0);
	assert_int_equal(blocks_unlock(&b, &later), 0);
	assert_int_equal(blocks_unlock(&b, &beside), 0);
	assert_int_equal(blocks_unlock(&b, &twin), 0);
	assert_int_equal(blocks_unlock(&b, &far), 0);
	assert_true(lock(&b, &one) && one.counted);
	assert_int_equal(blocks_unlock(&b, &one), 0);
	assert_empty(&b);
}

/* A part waits for those that joined, too, and for those that are counted beside them. */
static void a_part_waits_for_both(void **state)
{
	struct blocks b;
	struct block_range first = range(0, 4, 0), joined = whole(4, 12, 1), part = range(8, 12, 2),
	                   counted = whole(16, 24, 3);

	blocks_init(&b);
	assert_true(lock(&b, &first));
	assert_true(lock(&b, &joined) && !joined.counted);
	assert_int_equal(blocks_unlock(&b, &first), 0);
	assert_true(lock(&b, &counted) && counted.counted);
	assert_false(lock(&b, &part));
	assert_int_equal(blocks_unlock(&b, &joined), 0);
	assert_int_equal(blocks_unlock(&b, &counted), 1u << 2);
	assert_ptr_equal(blocks_granted(&b, 2), &part);
	assert_int_equal(blocks_unlock(&b, &part), 0);
	assert_empty(&b);
}

/* One that looked in just when another came, and did not stay, is no reason to wait for ever. */
static void who_joins_wakes_others(void **state)
{
	struct blocks b;
	struct block_range part = range(0, 8, 2), one = whole(16, 24, 1);
	uint32_t wake;

	blocks_init(&b);
	b.bucket[0].whole++; /* another thread's, between its count and its look */
	assert_false(lock(&b, &part));
	b.bucket[0].whole--;
	assert_true(blocks_lock(&b, &one, &wake));
	assert_int_equal(wake, 1u << 2);
	assert_ptr_equal(blocks_granted(&b, 2), &part);
	assert_false(one.counted);
	assert_int_equal(blocks_unlock(&b, &one), 0);
	assert_int_equal(blocks_unlock(&b, &part), 0);
	assert_empty(&b);
}

/* ---- several threads ---- */

enum { THREADS = 4, TURNS = 100000, CROWDED = 6 };

static struct blocks crowd;
/* Who holds each of the blocks at the edge of two regions: parts, and wholes. */
static unsigned parts[CROWDED], wholes[CROWDED], wrong;

static void hold(const struct block_range *r, int by)
{
	uint64_t first = BLOCKS_REGION - CROWDED / 2;

	for (uint64_t at = r->at; at < r->end; at++) {
		unsigned *mine = r->whole ? wholes : parts, k = (unsigned)(at - first);
		unsigned now = __atomic_add_fetch(&mine[k], (unsigned)by, __ATOMIC_SEQ_CST);
		if (by < 0)
			continue;
		unsigned other =
		    __atomic_load_n(r->whole ? &parts[k] : &wholes[k], __ATOMIC_SEQ_CST);
		if (other || (!r->whole && now > 1))
			__atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
	}
}

static void *crowded(void *arg)
{
	unsigned queue = (unsigned)(uintptr_t)arg;
	uint64_t seed = queue + 1;

	for (unsigned n = 0; n < TURNS; n++) {
		struct block_range *mine = NULL, r;
		uint32_t wake;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint64_t at = BLOCKS_REGION - CROWDED / 2 + (seed >> 33) % (CROWDED - 1);
		r = range(at, at + 1 + (seed >> 50) % 2, queue);
		r.whole = (seed >> 60) % 4 != 0;
		/* Nobody needs to be woken: each looks for itself. */
		if (!blocks_lock(&crowd, &r, &wake))
			while (!(mine = blocks_granted(&crowd, queue)))
				sched_yield();
		if (mine && mine != &r)
			__atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
		hold(&r, 1);
		if ((seed >> 40) % 16 == 0)
			sched_yield();
		hold(&r, -1);
		blocks_unlock(&crowd, &r);
	}
	return NULL;
}

static void crowd_of_threads(void **state)
{
	pthread_t thread[THREADS];

	blocks_init(&crowd);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowded, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	assert_empty(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_the_order_they_came),
	                                   cmocka_unit_test(a_list_for_one_queue),
	                                   cmocka_unit_test(regions),
	                                   cmocka_unit_test(longest),
	                                   cmocka_unit_test(random_use),
	                                   cmocka_unit_test(random_use_across_regions),
	                                   cmocka_unit_test(whole_ones_wait_for_parts_only),
	                                   cmocka_unit_test(a_part_waits_for_both),
	                                   cmocka_unit_test(who_joins_wakes_others),
	                                   cmocka_unit_test(crowd_of_threads)};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
