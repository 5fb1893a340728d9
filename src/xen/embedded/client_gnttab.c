/* SPDX-License-Identifier: MIT */
/* Mapping pages that other domains grant to us: frames of their memory file, side by side. */
#include "xen/embedded/client_gnttab.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES_ON_STACK 512u
#define SLOTS_IN_PAGE (HV_PAGE / sizeof(struct hv_slot))

int embedded_gnttab_open(struct xen_platform *p, struct xen_gnttab **out, struct error *err)
{
	struct client_call call;
	struct gnttab *g = calloc(1, sizeof *g);

	if (!g)
		return error_set(err, -ENOMEM, "cannot open grants: out of memory");
	g->base.ops = p->ops;
	g->self = embedded_of(p)->domid;
	g->sock = client_connect(embedded_of(p), HV_GNTTAB, &call, 1, err);
	if (g->sock < 0) {
		int rc = g->sock;
		free(g);
		return rc;
	}
	g->slots = mmap(NULL, HV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, call.fds[0],
	                (off_t)(call.reply.id / SLOTS_IN_PAGE) * HV_PAGE);
	close(call.fds[0]);
	if (g->slots == MAP_FAILED) {
		int rc = error_set(err, -errno, "cannot map the copy slots of the embedded Xen: %s",
		                   error_name(errno));
		close(g->sock);
		free(g);
		return rc;
	}
	g->slot = &g->slots[call.reply.id % SLOTS_IN_PAGE];
	*out = &g->base;
	return 0;
}

void embedded_gnttab_close(struct xen_gnttab *base)
{
	struct gnttab *g = gnttab_of(base);

	regions_unmap_all(&g->maps);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_forget(&g->peers[i]);
	client_disconnect(g->sock);
	munmap(g->slots, HV_PAGE);
	free(g);
}

/* ---- peers ---- */

void peer_forget(struct peer *peer)
{
	if (!peer->serial)
		return;
	if (peer->memory)
		munmap(peer->memory, (size_t)HV_FRAMES * HV_PAGE);
	munmap((void *)peer->table, sizeof *peer->table);
	close(peer->memory_fd);
	*peer = (struct peer){0};
}

static int peer_fetch(struct gnttab *g, uint16_t domid, struct peer *peer)
{
	struct client_call call = {.req = {.op = HV_MEMORY, .domid = domid}};
	int rc = client_call(g->sock, &call, 2);

	if (rc < 0)
		return rc;
	void *table = mmap(NULL, sizeof *peer->table, PROT_READ, MAP_SHARED, call.fds[1], 0);
	rc = table == MAP_FAILED ? -errno : 0;
	close(call.fds[1]);
	if (rc) {
		close(call.fds[0]);
		return rc;
	}
	*peer = (struct peer){
	    .serial = call.reply.serial, .domid = domid, .memory_fd = call.fds[0], .table = table};
	return 0;
}

int peer_get(struct gnttab *g, uint16_t domid, struct peer **out)
{
	struct peer *peer = NULL;

	for (unsigned i = 0; i < PEERS_MAX && !peer; i++)
		if (g->peers[i].serial && g->peers[i].domid == domid)
			peer = &g->peers[i];
	/* The hypervisor sets it when it destroys the domain, maybe to make it anew. */
	if (peer && !atomic_load(&peer->table->dead)) {
		*out = peer;
		return 0;
	}
	if (!peer)
		peer = &g->peers[g->next_peer++ % PEERS_MAX];
	peer_forget(peer);
	int rc = peer_fetch(g, domid, peer);
	*out = rc ? NULL : peer;
	return rc;
}

/* ---- maps ---- */

/* Puts the frames over the reserved addresses; neighbours in one go. */
static int place(const struct peer *peer, char *base, const uint32_t *frames, uint32_t count,
                 bool writable)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);

	for (uint32_t i = 0, run; i < count; i += run) {
		for (run = 1; i + run < count && frames[i + run] == frames[i] + run; run++)
			;
		if (mmap(base + (size_t)i * HV_PAGE, (size_t)run * HV_PAGE, prot,
		         MAP_SHARED | MAP_FIXED, peer->memory_fd,
		         (off_t)frames[i] * HV_PAGE) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

static void hv_unmap_call(struct gnttab *g, uint32_t id)
{
	struct client_call call = {.req = {.op = HV_UNMAP, .arg = id}};

	client_call(g->sock, &call, 0);
}

static int map_into(struct gnttab *g, struct client_call *call, uint16_t domid, uint32_t count,
                    bool writable, char *base)
{
	struct peer *peer;
	int rc = client_call(g->sock, call, 0);

	if (rc < 0)
		return rc;
	rc = peer_get(g, domid, &peer);
	/* Destroyed, and perhaps made anew, since the answer: the frames are of the old one. */
	if (!rc && peer->serial != call->reply.serial)
		rc = -EINVAL;
	if (!rc)
		rc = place(peer, base, call->out, count, writable);
	if (!rc)
		rc = regions_add(&g->maps, base, count, call->reply.id);
	if (rc)
		hv_unmap_call(g, call->reply.id);
	return rc;
}

int embedded_gnttab_map(struct xen_gnttab *base, uint16_t domid, uint32_t count,
                        const uint32_t *refs, bool writable, void **addr)
{
	struct gnttab *g = gnttab_of(base);
	uint32_t few[FRAMES_ON_STACK], *frames = few;
	size_t bytes = (size_t)count * HV_PAGE;

	if (count == 0)
		return -EINVAL;
	if (count > HV_REFS_MAX)
		return -E2BIG;
	if (count > FRAMES_ON_STACK && !(frames = malloc(count * sizeof *frames)))
		return -ENOMEM;
	struct client_call call = {.req = {.op = HV_MAP,
	                                   .domid = domid,
	                                   .flag = writable,
	                                   .bytes = count * (uint32_t)sizeof *refs},
	                           .payload = refs,
	                           .out = frames,
	                           .out_bytes = count * (uint32_t)sizeof *frames};
	int rc = 0;
	char *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		rc = -errno;
	if (!rc)
		rc = map_into(g, &call, domid, count, writable, at);
	if (!rc)
		*addr = at;
	else if (at != MAP_FAILED)
		munmap(at, bytes);
	if (frames != few)
		free(frames);
	return rc;
}

int embedded_gnttab_unmap(struct xen_gnttab *base, void *addr, uint32_t count)
{
	struct gnttab *g = gnttab_of(base);
	struct region *region = regions_find(&g->maps, addr, count);

	if (!region)
		return -EINVAL;
	/* In this order: the hypervisor gives pages away that nobody maps. */
	if (munmap(addr, (size_t)count * HV_PAGE))
		return -errno;
	struct client_call call = {.req = {.op = HV_UNMAP, .arg = region->id}};
	regions_remove(&g->maps, region);
	return client_call(g->sock, &call, 0);
}
