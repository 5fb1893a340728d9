/* SPDX-License-Identifier: MIT */
/* Number tables of the hypervisor. Numbers start at 1: 0 is no port, no map. */
#include "xen/embedded/hv_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct hv_ids *ids, uint32_t id)
{
	uint32_t size = ids->size ?: 8;

	while (size <= id)
		size *= 2;
	if (size == ids->size)
		return 0;
	void **slot = realloc(ids->slot, size * sizeof *slot);
	if (!slot)
		return -ENOMEM;
	memset(slot + ids->size, 0, (size - ids->size) * sizeof *slot);
	ids->slot = slot;
	ids->size = size;
	return 0;
}

int hv_ids_put(struct hv_ids *ids, uint32_t id, void *obj)
{
	int rc = grow(ids, id);

	if (rc)
		return rc;
	ids->slot[id] = obj;
	ids->used++;
	return 0;
}

int hv_ids_add(struct hv_ids *ids, uint32_t max, void *obj)
{
	uint32_t id = ids->lowest ?: 1;

	while (id < ids->size && ids->slot[id])
		id++;
	if (id > max)
		return -ENOSPC;
	int rc = hv_ids_put(ids, id, obj);
	if (rc)
		return rc;
	ids->lowest = id + 1;
	return (int)id;
}

void *hv_ids_get(const struct hv_ids *ids, uint32_t id)
{
	return id < ids->size ? ids->slot[id] : NULL;
}

void *hv_ids_remove(struct hv_ids *ids, uint32_t id)
{
	void *obj = hv_ids_get(ids, id);

	if (!obj)
		return NULL;
	ids->slot[id] = NULL;
	ids->used--;
	if (id < ids->lowest)
		ids->lowest = id;
	return obj;
}

void hv_ids_free(struct hv_ids *ids)
{
	free(ids->slot);
	*ids = (struct hv_ids){0};
}
