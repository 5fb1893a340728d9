/* SPDX-License-Identifier: MIT */
/* The arena of a queue's buffers: no two overlap, no room is lost, memory goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "disk/buffers.h"

#define UNITS (BUFFERS_BYTES / BUFFERS_UNIT)
#define SEGMENT (11 * 4096u)

static int setup(void **state)
{
	static struct buffers b;

	*state = &b;
	return buffers_make(&b);
}

static int teardown(void **state)
{
	buffers_free(*state);
	return 0;
}

static size_t resident(const struct buffers *b)
{
	static unsigned char map[UNITS];
	size_t n = 0;

	assert_int_equal(mincore(b->base, BUFFERS_BYTES, map), 0);
	for (unsigned i = 0; i < UNITS; i++)
		n += map[i] & 1;
	return n;
}

static void all_of_one_size_fit(void **state)
{
	static const struct {
		uint64_t bytes;
		unsigned count;
	} rows[] = {{1, 4096},      {512, 4096},   {4096, 4096},       {4097, 2048},  {8192, 2048},
	            {SEGMENT, 256}, {65536, 256},  {65537, 128},       {131072, 128}, {262144, 64},
	            {262145, 32},   {1 << 20, 16}, {(1 << 20) + 1, 8}, {4 << 20, 4}};
	struct buffers *b = *state;
	static void *got[UNITS];

	for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
		for (unsigned i = 0; i < rows[r].count; i++) {
			got[i] = buffers_take(b, rows[r].bytes);
			assert_non_null(got[i]);
			assert_int_equal((uintptr_t)got[i] % 4096, 0);
		}
		assert_null(buffers_take(b, rows[r].bytes));
		assert_null(buffers_take(b, 1));
		for (unsigned i = rows[r].count; i-- > 0;)
			buffers_give(b, got[i], rows[r].bytes);
	}
	assert_int_equal(b->taken, 0);
}

/* The same memory is used again. */
static void lowest_first(void **state)
{
	struct buffers *b = *state;
	char *x = buffers_take(b, 4096), *y = buffers_take(b, 4096), *z;

	assert_ptr_equal(x, b->base);
	assert_ptr_equal(y, b->base + 4096);
	buffers_give(b, x, 4096);
	z = buffers_take(b, 4096);
	assert_ptr_equal(z, x);
	x = buffers_take(b, 1 << 20);
	assert_ptr_equal(x, b->base + (1 << 20));
	buffers_give(b, x, 1 << 20);
	buffers_give(b, y, 4096);
	buffers_give(b, z, 4096);
}

static void random_sizes_never_overlap(void **state)
{
	struct buffers *b = *state;
	static uint8_t owner[UNITS];
	struct {
		char *at;
		uint64_t bytes;
	} out[200] = {{0}};
	uint64_t seed = 7;
	unsigned refused = 0;

	memset(owner, 0, sizeof owner);
	for (unsigned n = 0; n < 200000; n++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned i = (unsigned)(seed >> 33) % 200;
		if (out[i].at) {
			size_t first = (size_t)(out[i].at - b->base) / 4096;
			for (size_t u = first;
			     u * 4096 < (size_t)(out[i].at - b->base) + out[i].bytes; u++) {
				assert_int_equal(owner[u], i + 1);
				owner[u] = 0;
			}
			buffers_give(b, out[i].at, out[i].bytes);
			out[i].at = NULL;
			continue;
		}
		out[i].bytes = 1 + (seed >> 40) % (seed & 64 ? 1u << 20 : SEGMENT);
		out[i].at = buffers_take(b, out[i].bytes);
		if (!out[i].at) {
			refused++;
			continue;
		}
		size_t first = (size_t)(out[i].at - b->base) / 4096;
		for (size_t u = first; u * 4096 < (size_t)(out[i].at - b->base) + out[i].bytes;
		     u++) {
			assert_in_range(u, 0, UNITS - 1);
			assert_int_equal(owner[u], 0);
			owner[u] = (uint8_t)(i + 1);
		}
	}
	assert_true(refused > 1000 && refused < 150000);
	for (unsigned i = 0; i < 200; i++)
		if (out[i].at)
			buffers_give(b, out[i].at, out[i].bytes);
	/* Whole again. */
	void *all[4];
	for (unsigned i = 0; i < 4; i++) {
		all[i] = buffers_take(b, 4 << 20);
		assert_non_null(all[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		buffers_give(b, all[i], 4 << 20);
}

static void memory_goes_back(void **state)
{
	struct buffers *b = *state;
	char *x;

	assert_int_equal(resident(b), 0);
	x = buffers_take(b, 1 << 20);
	memset(x, 1, 1 << 20);
	assert_int_equal(resident(b), 256);
	buffers_trim(b); /* it is in use */
	assert_int_equal(resident(b), 256);
	buffers_give(b, x, 1 << 20);
	buffers_trim(b);
	assert_int_equal(resident(b), 0);
	x = buffers_take(b, 4096);
	memset(x, 1, 4096);
	assert_int_equal(resident(b), 1);
	buffers_give(b, x, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(all_of_one_size_fit, setup, teardown),
	    cmocka_unit_test_setup_teardown(lowest_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(random_sizes_never_overlap, setup, teardown),
	    cmocka_unit_test_setup_teardown(memory_goes_back, setup, teardown),
	};

	return cmocka_run_group_tests_name("buffers", tests, NULL, NULL);
}
