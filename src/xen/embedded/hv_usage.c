/* SPDX-License-Identifier: MIT */
/* What clients have, counted. */
#include "xen/embedded/hv_usage.h"

#include <string.h>

#include "xen/embedded/hv_conn.h"
#include "xen/embedded/hv_store.h"
#include "xen/platform.h"

void hv_usage(struct hv *hv, struct hv_call *call)
{
	struct xen_usage u = {0};

	hv_reap(hv, call->conn);
	hv_store_reap(hv);
	u.store_conns = xsd_connections(hv->xsd);
	for (unsigned i = 1; i <= XEN_DOMID_MAX; i++)
		u.domains += hv->domains[i] != NULL;
	list_for_each(it, tmp, &hv->conns)
	{
		struct hv_conn *c = container_of(it, struct hv_conn, link);
		u.clients++;
		u.ports += c->ports.used;
		for (uint32_t i = 0; i < c->maps.size; i++)
			if (c->maps.slot[i])
				u.maps += ((struct hv_map *)c->maps.slot[i])->count;
		for (uint32_t i = 0; i < c->shares.size; i++)
			if (c->shares.slot[i])
				u.grants += ((struct hv_share *)c->shares.slot[i])->count;
		for (uint32_t i = 0; i < c->ports.size; i++) {
			struct hv_port *p = c->ports.slot[i];
			u.interdomain += p && p->line->end[!p->side];
		}
	}
	memcpy(call->out, &u, sizeof u);
	call->reply.bytes = sizeof u;
}
