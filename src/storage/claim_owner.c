/* SPDX-License-Identifier: MIT */
/* The number that stands for a disk in locks. */
#include "storage/claim_owner.h"

#define DOMID_BITS 15
#define DEVID_BITS 29 /* as in xen-vbd-interface(7) */

uint64_t claim_owner(uint64_t instance, uint16_t domid, uint32_t devid)
{
	const unsigned rest = CLAIM_OWNER_BITS - DOMID_BITS - DEVID_BITS;

	return (instance & ((1ull << rest) - 1)) << (DOMID_BITS + DEVID_BITS) |
	       (uint64_t)(domid & ((1u << DOMID_BITS) - 1)) << DEVID_BITS |
	       (devid & ((1u << DEVID_BITS) - 1));
}

void claim_owner_disk(uint64_t owner, uint16_t *domid, uint32_t *devid)
{
	*domid = (uint16_t)(owner >> DEVID_BITS & ((1u << DOMID_BITS) - 1));
	*devid = (uint32_t)(owner & ((1u << DEVID_BITS) - 1));
}
