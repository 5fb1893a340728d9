/* SPDX-License-Identifier: MIT */
/* Domains by their number, and when nobody needs one any more. */
#include "xen/embedded/hv_domain_ref.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xen/platform.h"

struct hv_domain *hv_domain_find(struct hv *hv, uint16_t domid)
{
	return domid <= XEN_DOMID_MAX ? hv->domains[domid] : NULL;
}

void hv_domain_put(struct hv_domain *d)
{
	if (--d->users)
		return;
	if (d->table)
		munmap(d->table, sizeof *d->table);
	if (d->table_fd >= 0)
		close(d->table_fd);
	if (d->memory_fd >= 0)
		close(d->memory_fd);
	hv_ids_free(&d->ports);
	free(d->frames);
	free(d->free_refs);
	free(d->ref_share);
	free(d);
}
