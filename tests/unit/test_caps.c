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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sane), cmocka_unit_test(insane)};

	return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}
