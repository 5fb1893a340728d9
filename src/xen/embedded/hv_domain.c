/* SPDX-License-Identifier: MIT */
/* Domains: memory, grant table and xenstore socket come and go with them. */
#include "xen/embedded/hv_domain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "xen/embedded/hv_conn.h"
#include "xen/embedded/hv_domain_ref.h"
#include "xen/embedded/hv_fault.h"
#include "xen/embedded/hv_memfd.h"
#include "xen/embedded/hv_store.h"
#include "xen/platform.h"

int hv_domain_create(struct hv *hv, uint16_t domid, struct error *err)
{
	if (domid > XEN_DOMID_MAX)
		return -EINVAL;
	if (hv->domains[domid])
		return -EEXIST;
	int rc = -ENOMEM;
	struct hv_domain *d = calloc(1, sizeof *d);
	if (!d)
		return rc;
	*d = (struct hv_domain){.hv = hv,
	                        .domid = domid,
	                        .users = 1,
	                        .serial = ++hv->last_serial,
	                        .memory_fd = -1,
	                        .table_fd = -1,
	                        .next_ref = HV_FIRST_REF};
	if (!(d->frames = calloc(HV_FRAMES, sizeof *d->frames)) ||
	    !(d->free_refs = calloc(HV_REFS, sizeof *d->free_refs)) ||
	    !(d->ref_share = calloc(HV_REFS, sizeof(struct hv_share *))))
		goto out;
	rc = d->memory_fd = hv_memfd("xen-memory", (size_t)HV_FRAMES * HV_PAGE, false, NULL);
	if (rc < 0)
		goto out;
	rc = d->table_fd = hv_memfd("xen-grants", sizeof *d->table, true, (void **)&d->table);
	if (rc < 0)
		goto out;
	rc = hv_store_domain_add(d, err);
	if (rc)
		goto out;
	d->alive = true;
	hv->domains[domid] = d;
	xsd_domain_introduced(hv->xsd, domid);
	hv_store_flush(hv);
	log_debug("domain %u created", domid);
	return 0;
out:
	hv_domain_put(d);
	return rc;
}

/* A handle of a domain that is no more: the process may run on, its objects end. */
static void conn_orphan(struct hv_conn *c)
{
	/* What it maps stays its own until it lets go: those pages must not be given to others. */
	if (c->kind == HV_GNTTAB)
		return;
	hv_conn_close(c);
}

int hv_domain_destroy(struct hv *hv, uint16_t domid)
{
	struct hv_domain *d = hv_domain_find(hv, domid);

	if (!d)
		return -ENOENT;
	/* Domain 0 ends with us, when there are no connections left. */
	if (domid == 0 && !list_empty(&hv->conns))
		return -EINVAL;
	d->alive = false;
	hv->domains[domid] = NULL;
	/* Readers with a cached mapping look here first: sequentially consistent with the copiers'.
	 */
	atomic_store(&d->table->dead, 1);
	list_for_each(it, tmp, &hv->conns)
	{
		struct hv_conn *c = container_of(it, struct hv_conn, link);
		if (c->domain == d)
			conn_orphan(c);
	}
	hv_faults_forget(hv, domid);
	hv_store_domain_remove(d);
	xsd_domain_released(hv->xsd, domid);
	hv_store_flush(hv);
	log_debug("domain %u destroyed", domid);
	hv_domain_put(d);
	return 0;
}
