/* SPDX-License-Identifier: MIT */
/* A gnttab handle: shared by mapping (client_gnttab.c) and copying (client_copy.c). */
#ifndef XEN_EMBEDDED_CLIENT_GNTTAB_H
#define XEN_EMBEDDED_CLIENT_GNTTAB_H

#include "xen/embedded/client_priv.h"

#define PEERS_MAX 16u

/* Owned by its handle: another domain's memory and grant table as we map them. */
struct peer {
	uint64_t serial; /* of the incarnation; 0: unused */
	uint16_t domid;
	int memory_fd;
	char *memory; /* all of it, for copies; mapped at the first copy */
	const struct hv_table *table;
};

/* Owned by the thread that uses the handle. */
struct gnttab {
	struct xen_gnttab base;
	int sock;
	uint16_t self;         /* our domid */
	struct hv_slot *slots; /* the page with ours */
	struct hv_slot *slot;  /* which grant we copy now: the hypervisor looks there */
	struct peer peers[PEERS_MAX];
	unsigned next_peer; /* to be replaced */
	struct regions maps;
};

static inline struct gnttab *gnttab_of(struct xen_gnttab *g)
{
	return container_of(g, struct gnttab, base);
}

/* The living incarnation of that domain, asked from the hypervisor if not known. 0, -ENOENT: there
 * is no such domain, -errno. */
int peer_get(struct gnttab *g, uint16_t domid, struct peer **out);
void peer_forget(struct peer *peer);

#endif
