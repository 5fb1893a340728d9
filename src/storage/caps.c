/* SPDX-License-Identifier: MIT */
/* What can be said of capabilities alone. */
#include "storage/caps.h"

uint32_t storage_physical(const struct storage_caps *c, uint32_t sector)
{
	uint32_t block = sector;

	if (!sector)
		return 0;
	uint64_t size = c->size - c->size % sector;

	while (block <= c->physical_block / 2 && size % (block * 2) == 0)
		block *= 2;
	return block;
}

bool storage_caps_sane(const struct storage_caps *c)
{
	if (c->logical_block != 512 && c->logical_block != 1024 && c->logical_block != 2048 &&
	    c->logical_block != 4096)
		return false;
	if (c->physical_block < c->logical_block)
		return false;
	if (!c->size || c->size % c->logical_block || c->size > INT64_MAX)
		return false;
	return !c->discard || c->discard_granularity >= 512;
}
