/* SPDX-License-Identifier: MIT */
/* The number that stands for a disk in locks. */
#ifndef STORAGE_CLAIM_OWNER_H
#define STORAGE_CLAIM_OWNER_H

#include <stdint.h>

#define CLAIM_OWNER_BITS 60

/* A number that is the same for each worker of a disk, and no other disk's. instance: what tells
 * those of this Xen from those of another Xen that may share storage with it. Pure. */
uint64_t claim_owner(uint64_t instance, uint16_t domid, uint32_t devid);
/* The other way round, without the instance. */
void claim_owner_disk(uint64_t owner, uint16_t *domid, uint32_t *devid);

#endif
