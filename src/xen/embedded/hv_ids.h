/* SPDX-License-Identifier: MIT */
/* A growing table from small numbers to objects; hands out the lowest free number. */
#ifndef XEN_EMBEDDED_HV_IDS_H
#define XEN_EMBEDDED_HV_IDS_H

#include <stddef.h>
#include <stdint.h>

/* Belongs to its owner's thread; zero-initialised is empty. */
struct hv_ids {
	void **slot;
	uint32_t size;   /* slots there are */
	uint32_t lowest; /* no free number in 1 .. lowest-1 */
	uint32_t used;
};

/* Lowest free number in 1..max, now standing for obj. Number, or -ENOMEM, -ENOSPC. */
int hv_ids_add(struct hv_ids *ids, uint32_t max, void *obj);
/* Under this very number, which must be free. 0 or -ENOMEM. */
int hv_ids_put(struct hv_ids *ids, uint32_t id, void *obj);
void *hv_ids_get(const struct hv_ids *ids, uint32_t id); /* NULL: none */
void *hv_ids_remove(struct hv_ids *ids, uint32_t id);    /* what stood there */
void hv_ids_free(struct hv_ids *ids);                    /* the table, not the objects */

#endif
