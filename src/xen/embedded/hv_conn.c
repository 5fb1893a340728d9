/* SPDX-License-Identifier: MIT */
/* Connections of clients end, and what they have ends with them. */
#include "xen/embedded/hv_conn.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "xen/embedded/hv_domain_ref.h"
#include "xen/embedded/hv_event.h"
#include "xen/embedded/hv_grant.h"

void hv_conn_close(struct hv_conn *c)
{
	struct hv *hv = c->hv;

	loop_del(hv->loop, &c->lfd);
	hv_ports_end(c);
	/* A process killed in the middle of a copy left its slot set; nobody looks there any more.
	 */
	if (c->slot)
		hv_ids_remove(&hv->slots, c->slot);
	hv_maps_end(c);
	hv_shares_end(c);
	list_remove(&c->link);
	close(c->lfd.fd);
	if (c->domain)
		hv_domain_put(c->domain);
	hv_ids_free(&c->maps);
	hv_ids_free(&c->shares);
	hv_ids_free(&c->ports);
	free(c);
}

void hv_reap(struct hv *hv, const struct hv_conn *except)
{
	list_for_each(it, tmp, &hv->conns)
	{
		struct hv_conn *c = container_of(it, struct hv_conn, link);
		struct pollfd p = {.fd = c->lfd.fd, .events = POLLRDHUP};
		if (c != except && poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP)))
			hv_conn_close(c);
	}
}
