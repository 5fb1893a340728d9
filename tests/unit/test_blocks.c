/* SPDX-License-Identifier: MIT */
/* Ranges of blocks: overlapping ones are held one after the other, in the order they came. */
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

static void in_the_order_they_came(void **state)
{
	struct blocks b;
	struct block_range one = range(0, 8, 0), two = range(4, 12, 1), three = range(0, 4, 2),
	                   apart = range(12, 16, 3), four = range(8, 16, 0);

	blocks_init(&b);
	assert_true(blocks_lock(&b, &one));
	assert_false(blocks_lock(&b, &two));
	assert_false(blocks_lock(&b, &three));
	assert_true(blocks_lock(&b, &apart));
	assert_false(blocks_lock(&b, &four)); /* behind two, which waits itself */
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
	assert_null(b.first);
	assert_ptr_equal(b.last, &b.first);
}

/* Several of one queue at once, listed in their order. */
static void a_list_for_one_queue(void **state)
{
	struct blocks b;
	struct block_range all = range(0, 100, 0), part[4];

	blocks_init(&b);
	assert_true(blocks_lock(&b, &all));
	for (unsigned i = 0; i < 4; i++) {
		part[i] = range(i * 10, i * 10 + 10, 5);
		assert_false(blocks_lock(&b, &part[i]));
	}
	assert_int_equal(blocks_unlock(&b, &all), 1u << 5);
	struct block_range *r = blocks_granted(&b, 5);
	for (unsigned i = 0; i < 4; i++, r = r->next_granted) {
		assert_ptr_equal(r, &part[i]);
		assert_true(r->held);
	}
	assert_null(r);
}

/* Never two that overlap, and nobody is forgotten. */
static void random_use(void **state)
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
				used[k]--;
			held[i] = wants[i] = 0;
			queues = blocks_unlock(&b, &r[i]);
			turns++;
		} else if (!wants[i]) {
			uint64_t at = (seed >> 20) % (BLOCKS - 4);
			r[i] = range(at, at + 1 + (seed >> 50) % 4, i % WM_MAX_QUEUES);
			wants[i] = 1;
			if (blocks_lock(&b, &r[i])) {
				held[i] = 1;
				for (uint64_t k = r[i].at; k < r[i].end; k++)
					assert_int_equal(used[k]++, 0);
			}
		}
		for (unsigned q = 0; queues; q++, queues >>= 1) {
			struct block_range *g = queues & 1 ? blocks_granted(&b, q) : NULL;
			assert_true(g || !(queues & 1));
			for (; g; g = g->next_granted) {
				assert_true(wants[g - r] && !held[g - r]);
				held[g - r] = 1;
				for (uint64_t k = g->at; k < g->end; k++)
					assert_int_equal(used[k]++, 0);
			}
		}
	}
	assert_true(turns > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_the_order_they_came),
	                                   cmocka_unit_test(a_list_for_one_queue),
	                                   cmocka_unit_test(random_use)};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
