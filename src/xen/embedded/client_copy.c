/* SPDX-License-Identifier: MIT */
/*
 * Batch copy between our memory and granted pages, without a system call: the granting domain's
 * table and memory are mapped, and a slot tells the hypervisor which grant is in use, so that
 * neither revocation nor the end of a process gives the page away under a copy.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "xen/embedded/client_gnttab.h"

/* The next use of this grant is to fail: GNTST_*, or 0 if others used the fault up. */
static int take_fault(struct gnttab *g, uint16_t domid, uint32_t ref)
{
	struct client_call call = {.req = {.op = HV_TAKE_FAULT, .domid = domid, .arg = ref}};

	return client_call(g->sock, &call, 0) ? GNTST_general_error : (int)call.reply.id;
}

/* With the slot set. */
static int16_t copy_granted(const struct peer *peer, uint16_t self, const struct xen_copy *c)
{
	uint64_t e = atomic_load(&peer->table->entry[c->ref]);

	/* Xen says no more than "general error" for all of these. */
	if (!(e & HV_GRANT_VALID) || hv_grant_domid(e) != self ||
	    (c->to_guest && (e & HV_GRANT_READONLY)) || hv_grant_frame(e) >= HV_FRAMES)
		return GNTST_general_error;
	char *page = peer->memory + (size_t)hv_grant_frame(e) * HV_PAGE + c->offset;
	if (c->to_guest)
		memcpy(page, c->local, c->length);
	else
		memcpy(c->local, page, c->length);
	return GNTST_okay;
}

static int16_t copy_piece(struct gnttab *g, const struct peer *peer, const struct xen_copy *c)
{
	if ((uint32_t)c->offset + c->length > HV_PAGE)
		return GNTST_bad_copy_arg;
	if (c->ref >= HV_REFS)
		return GNTST_bad_gntref;
	/* Only a hint here: the hypervisor decides whether there is a fault left. */
	if (atomic_load_explicit(&peer->table->entry[c->ref], memory_order_relaxed) &
	    HV_GRANT_FAULT) {
		int status = take_fault(g, peer->domid, c->ref);
		if (status)
			return (int16_t)status;
	}
	/* Full order: either the hypervisor sees our slot, or we see that the grant is invalid. */
	atomic_store(&g->slot->grant, hv_slot_word(peer->domid, c->ref));
	int16_t status = copy_granted(peer, g->self, c);
	/* Release: the bytes are there before the hypervisor sees that we are done. */
	atomic_store_explicit(&g->slot->grant, 0, memory_order_release);
	return status;
}

/* The next batch is to fail as a whole: -errno, or 0 if others used the fault up. */
static int take_refusal(struct gnttab *g, uint16_t domid)
{
	struct client_call call = {.req = {.op = HV_TAKE_REFUSAL, .domid = domid}};

	return client_call(g->sock, &call, 0) ? 0 : -(int)call.reply.id;
}

static int peer_memory(struct peer *peer)
{
	if (peer->memory)
		return 0;
	void *mem = mmap(NULL, (size_t)HV_FRAMES * HV_PAGE, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_NORESERVE, peer->memory_fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	peer->memory = mem;
	return 0;
}

static void fail_all(struct xen_copy *pieces, uint32_t n, int16_t status)
{
	for (uint32_t i = 0; i < n; i++)
		pieces[i].status = status;
}

int embedded_gnttab_copy(struct xen_gnttab *base, uint16_t domid, struct xen_copy *pieces,
                         uint32_t n)
{
	struct gnttab *g = gnttab_of(base);
	struct peer *peer;
	int rc = peer_get(g, domid, &peer);

	if (rc == -ENOENT) {
		fail_all(pieces, n, GNTST_bad_domain);
		return 0;
	}
	if (!rc)
		rc = peer_memory(peer);
	if (rc) {
		fail_all(pieces, n, GNTST_general_error);
		return rc;
	}
	if (atomic_load_explicit(&peer->table->refuse, memory_order_relaxed))
		rc = take_refusal(g, domid);
	/* A kernel can run short in the middle of a batch. */
	for (uint32_t i = 0; i < (rc ? n / 2 : n); i++)
		pieces[i].status = copy_piece(g, peer, &pieces[i]);
	if (rc)
		fail_all(pieces, n, GNTST_general_error);
	return rc;
}
