/* SPDX-License-Identifier: MIT */
/* Grants: shares make them, maps pin them, revocation and the end of a process undo them. */
#include "xen/embedded/hv_grant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "xen/embedded/hv_domain_ref.h"
#include "xen/embedded/hv_fault.h"
#include "xen/embedded/hv_memory.h"

/* ---- the front end's side ---- */

static int refs_take(struct hv_domain *d, uint32_t *refs, uint32_t count)
{
	if (count > d->free_refs_n + (HV_REFS - d->next_ref))
		return -ENOSPC;
	for (uint32_t i = 0; i < count; i++)
		refs[i] = d->free_refs_n ? d->free_refs[--d->free_refs_n] : d->next_ref++;
	return 0;
}

/* Sets a grant but leaves the fault flag, which belongs to the reference. */
static void entry_set(struct hv_domain *d, uint32_t ref, uint64_t grant)
{
	uint64_t fault = atomic_load(&d->table->entry[ref]) & HV_GRANT_FAULT;

	/* Full order against copiers: they name the grant in their slot, then look here. */
	atomic_store(&d->table->entry[ref], grant | fault);
}

static uint64_t entry_get(struct hv_domain *d, uint32_t ref)
{
	return atomic_load(&d->table->entry[ref]) & ~HV_GRANT_FAULT;
}

static void share_free(struct hv_share *s)
{
	struct hv_domain *d = s->domain;

	for (uint32_t i = 0; i < s->count; i++)
		d->ref_share[s->refs[i]] = NULL;
	hv_frames_release(d, s->first_frame, s->count);
	hv_domain_put(d);
	free(s);
}

int hv_share(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	struct hv_domain *d = c->domain;
	uint32_t count = call->req.arg;

	if (count == 0 || count > HV_REFS_MAX || call->req.domid >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	struct hv_share *s = calloc(1, sizeof *s + count * sizeof *s->refs);
	if (!s)
		return -ENOMEM;
	s->conn = c;
	s->domain = d;
	s->count = count;
	int rc = hv_frames_alloc(d, count, &s->first_frame);
	if (rc)
		goto fail;
	rc = refs_take(d, s->refs, count);
	if (rc) {
		hv_frames_release(d, s->first_frame, count);
		goto fail;
	}
	for (uint32_t i = 0; i < count; i++)
		d->frames[s->first_frame + i].ref = s->refs[i];
	d->users++;
	rc = hv_ids_add(&c->shares, HV_REFS, s);
	if (rc < 0) {
		share_free(s);
		return rc;
	}
	for (uint32_t i = 0; i < count; i++) {
		d->ref_share[s->refs[i]] = s;
		entry_set(d, s->refs[i],
		          hv_grant(s->first_frame + i, call->req.domid,
		                   HV_GRANT_VALID | (call->req.flag ? 0 : HV_GRANT_READONLY)));
	}
	call->reply.id = (uint32_t)rc;
	call->reply.first_frame = s->first_frame;
	call->reply.bytes = count * (uint32_t)sizeof *s->refs;
	memcpy(call->out, s->refs, call->reply.bytes);
	return 0;
fail:
	free(s);
	return rc;
}

static bool share_mapped(const struct hv_share *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->domain->frames[s->first_frame + i].pins)
			return true;
	return false;
}

static bool share_copied(struct hv *hv, const struct hv_share *s)
{
	struct hv_domain *d = s->domain;

	/* Full order: the entries are invalid by now; a copier that comes later sees that. */
	for (uint32_t i = 1; i < hv->slots.size; i++) {
		uint64_t word = hv->slots.slot[i] ? atomic_load(&hv->slot_mem[i].grant) : 0;
		uint32_t ref = (uint32_t)word;
		if (word && word == hv_slot_word(d->domid, ref) && ref < HV_REFS &&
		    d->ref_share[ref] == s)
			return true;
	}
	return false;
}

/* Makes the entries invalid, or -EBUSY with all as before. `saved` has room for them. */
static int share_invalidate(struct hv *hv, struct hv_share *s, uint64_t *saved)
{
	if (share_mapped(s))
		return -EBUSY;
	for (uint32_t i = 0; i < s->count; i++) {
		saved[i] = entry_get(s->domain, s->refs[i]);
		entry_set(s->domain, s->refs[i], 0);
	}
	if (!share_copied(hv, s))
		return 0;
	for (uint32_t i = 0; i < s->count; i++)
		entry_set(s->domain, s->refs[i], saved[i]);
	return -EBUSY;
}

int hv_unshare(struct hv_conn *c, uint32_t id)
{
	struct hv_share *s = hv_ids_get(&c->shares, id);

	if (!s)
		return -EINVAL;
	uint64_t *saved = calloc(s->count, sizeof *saved);
	if (!saved)
		return -ENOMEM;
	int rc = share_invalidate(c->hv, s, saved);
	free(saved);
	if (rc)
		return rc;
	hv_ids_remove(&c->shares, id);
	share_free(s);
	return 0;
}

void hv_shares_end(struct hv_conn *c)
{
	for (uint32_t id = 0; id < c->shares.size; id++) {
		struct hv_share *s = hv_ids_remove(&c->shares, id);
		if (!s)
			continue;
		for (uint32_t i = 0; i < s->count; i++)
			entry_set(s->domain, s->refs[i], 0);
		share_free(s);
	}
}

static bool owns_ref(const struct hv_conn *c, uint32_t ref)
{
	const struct hv_share *s = ref < HV_REFS ? c->domain->ref_share[ref] : NULL;

	return s && s->conn == c;
}

int hv_revoke(struct hv_call *call)
{
	uint32_t count = call->req.bytes / sizeof(uint32_t);

	if (call->req.bytes % sizeof(uint32_t))
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		if (!owns_ref(call->conn, call->in.words[i]))
			return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		entry_set(call->conn->domain, call->in.words[i], 0);
	return 0;
}

/* ---- the back end's side ---- */

int hv_memory(struct hv_call *call)
{
	struct hv_domain *d = hv_domain_find(call->conn->hv, call->req.domid);

	if (!d)
		return -ENOENT;
	call->reply.serial = d->serial;
	call->fds[0] = d->memory_fd;
	call->fds[1] = d->table_fd;
	return 0;
}

static int status_errno(int status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	case GNTST_eagain:
		return -EAGAIN;
	case GNTST_permission_denied:
		return -EACCES;
	case GNTST_no_space:
	case GNTST_no_device_space:
		return -ENOMEM;
	default: /* Xen's numbers, and any that a fault asks for */
		return -EINVAL;
	}
}

/* Frame of a reference that the caller may map. */
static int ref_check(struct hv_call *call, struct hv_domain *d, uint32_t ref, uint32_t *frame)
{
	if (ref >= HV_REFS)
		return -EINVAL;
	int rc = status_errno(hv_fault_take(call->conn->hv, d, ref));
	if (rc)
		return rc;
	uint64_t e = entry_get(d, ref);
	if (!(e & HV_GRANT_VALID) || hv_grant_domid(e) != call->conn->domain->domid)
		return -EINVAL;
	if (call->req.flag && (e & HV_GRANT_READONLY))
		return -EACCES;
	*frame = hv_grant_frame(e);
	return 0;
}

int hv_map(struct hv_call *call)
{
	struct hv_conn *c = call->conn;
	struct hv_domain *d = hv_domain_find(c->hv, call->req.domid);
	uint32_t count = call->req.bytes / sizeof(uint32_t);
	int rc = 0;

	if (!d || count == 0 || call->req.bytes % sizeof(uint32_t))
		return -EINVAL;
	struct hv_map *m = calloc(1, sizeof *m + count * sizeof *m->frames);
	if (!m)
		return -ENOMEM;
	m->domain = d;
	m->count = count;
	for (uint32_t i = 0; i < count && !rc; i++)
		rc = ref_check(call, d, call->in.words[i], &m->frames[i]);
	if (!rc)
		rc = hv_ids_add(&c->maps, UINT32_MAX / 2, m);
	if (rc < 0) {
		free(m);
		return rc;
	}
	for (uint32_t i = 0; i < count; i++)
		d->frames[m->frames[i]].pins++;
	d->users++;
	call->reply.id = (uint32_t)rc;
	call->reply.serial = d->serial;
	call->reply.bytes = count * (uint32_t)sizeof *m->frames;
	memcpy(call->out, m->frames, call->reply.bytes);
	return 0;
}

int hv_unmap(struct hv_conn *c, uint32_t id)
{
	struct hv_map *m = hv_ids_remove(&c->maps, id);

	if (!m)
		return -EINVAL;
	for (uint32_t i = 0; i < m->count; i++)
		hv_frame_unpin(m->domain, m->frames[i]);
	hv_domain_put(m->domain);
	free(m);
	return 0;
}

void hv_maps_end(struct hv_conn *c)
{
	for (uint32_t id = 0; id < c->maps.size; id++)
		hv_unmap(c, id);
}
