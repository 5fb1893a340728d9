/* SPDX-License-Identifier: MIT */
/* What a worker may say of its image: anything else is a worker that fell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "storage/storage.h"

static const struct storage_caps good = {
    .size = 1 << 20,
    .logical_block = 512,
    .physical_block = 4096,
    .discard = true,
    .discard_granularity = 4096,
};

static void sane(void **state)
{
	struct storage_caps c = good;

	assert_true(storage_caps_sane(&c));
	c.discard = false;
	c.discard_granularity = 0;
	assert_true(storage_caps_sane(&c));
	c.logical_block = 4096;
	assert_true(storage_caps_sane(&c));
}

static void insane(void **state)
{
	const struct storage_caps bad[] = {
	    {.size = 0, .logical_block = 512, .physical_block = 512},
	    {.size = 1 << 20, .logical_block = 0, .physical_block = 512},
	    {.size = 1 << 20, .logical_block = 513, .physical_block = 4096},
	    {.size = 1 << 20, .logical_block = 8192, .physical_block = 8192},
	    {.size = 1 << 20, .logical_block = 512, .physical_block = 0},
	    {.size = 1 << 20, .logical_block = 4096, .physical_block = 512},
	    {.size = (1 << 20) + 512, .logical_block = 4096, .physical_block = 4096},
	    {.size = UINT64_MAX - 511, .logical_block = 512, .physical_block = 512},
	    {.size = 1 << 20, .logical_block = 512, .physical_block = 512, .discard = true},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (storage_caps_sane(&bad[i]))
			fail_msg("case %zu is called sane", i);
}

static void physical_sector(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t physical, sector, shown;
	} cases[] = {
	    {8 << 20, 4096, 512, 4096},
	    {8 << 20, 512, 512, 512},
	    {(8 << 20) + 512, 4096, 512, 512},
	    {(8 << 20) + 1024, 4096, 512, 1024},
	    {(8 << 20) + 2048, 4096, 512, 2048},
	    {(8 << 20) + 4096, 4096, 512, 4096},
	    /* Shown in larger sectors, what is left over is not shown. */
	    {(8 << 20) + 512, 512, 4096, 4096},
	    {(8 << 20) + 512, 4096, 4096, 4096},
	    /* No power of two, from a device or from a worker that has fallen. */
	    {8 << 20, 3000, 512, 2048},
	    {8 << 20, UINT32_MAX, 512, 8 << 20},
	    {1ull << 40, UINT32_MAX, 512, 1u << 31},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct storage_caps c = {.size = cases[i].size,
		                         .logical_block = 512,
		                         .physical_block = cases[i].physical};
		assert_int_equal(storage_physical(&c, cases[i].sector), cases[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sane), cmocka_unit_test(insane),
	                                   cmocka_unit_test(physical_sector)};

	return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}
