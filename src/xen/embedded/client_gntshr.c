/* SPDX-License-Identifier: MIT */
/* Granting pages of our own domain's memory to others: the front end's side. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xen/embedded/client_priv.h"

/* Owned by the thread that uses the handle. */
struct gntshr {
	struct xen_gntshr base;
	int sock;
	int memory_fd;
	struct regions shares;
};

static struct gntshr *gntshr_of(struct xen_gntshr *s)
{
	return container_of(s, struct gntshr, base);
}

int embedded_gntshr_open(struct xen_platform *p, struct xen_gntshr **out, struct error *err)
{
	struct client_call call;
	struct gntshr *s = calloc(1, sizeof *s);

	if (!s)
		return error_set(err, -ENOMEM, "cannot open grants: out of memory");
	s->base.ops = p->ops;
	s->sock = client_connect(embedded_of(p), HV_GNTSHR, &call, 1, err);
	if (s->sock < 0) {
		int rc = s->sock;
		free(s);
		return rc;
	}
	s->memory_fd = call.fds[0];
	*out = &s->base;
	return 0;
}

void embedded_gntshr_close(struct xen_gntshr *base)
{
	struct gntshr *s = gntshr_of(base);

	regions_unmap_all(&s->shares);
	client_disconnect(s->sock);
	close(s->memory_fd);
	free(s);
}

static int hv_unshare_call(struct gntshr *s, uint32_t id)
{
	struct client_call call = {.req = {.op = HV_UNSHARE, .arg = id}};

	return client_call(s->sock, &call, 0);
}

int embedded_gntshr_share(struct xen_gntshr *base, uint16_t domid, uint32_t count, bool writable,
                          uint32_t *refs, void **addr)
{
	struct gntshr *s = gntshr_of(base);
	struct client_call call = {
	    .req = {.op = HV_SHARE, .domid = domid, .flag = writable, .arg = count},
	    .out = refs,
	    .out_bytes = count * (uint32_t)sizeof *refs};

	if (count == 0)
		return -EINVAL;
	if (count > HV_REFS_MAX)
		return -E2BIG;
	int rc = client_call(s->sock, &call, 0);
	if (rc < 0)
		return rc;
	void *at = mmap(NULL, (size_t)count * HV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
	                s->memory_fd, (off_t)call.reply.first_frame * HV_PAGE);
	rc = at == MAP_FAILED ? -errno : 0;
	if (!rc)
		rc = regions_add(&s->shares, at, count, call.reply.id);
	if (rc) {
		if (at != MAP_FAILED)
			munmap(at, (size_t)count * HV_PAGE);
		hv_unshare_call(s, call.reply.id);
		return rc;
	}
	*addr = at;
	return 0;
}

int embedded_gntshr_unshare(struct xen_gntshr *base, void *addr, uint32_t count)
{
	struct gntshr *s = gntshr_of(base);
	struct region *region = regions_find(&s->shares, addr, count);

	if (!region)
		return -EINVAL;
	int rc = hv_unshare_call(s, region->id);
	if (rc)
		return rc;
	/* The hypervisor has emptied the pages, and may grant them anew only to us or our threads'
	 * handles: nobody else's data is visible here for this moment. */
	munmap(addr, (size_t)count * HV_PAGE);
	regions_remove(&s->shares, region);
	return 0;
}

int embedded_gntshr_revoke(struct xen_gntshr *base, const uint32_t *refs, uint32_t count)
{
	if (count > HV_REFS_MAX)
		return -E2BIG;
	struct client_call call = {
	    .req = {.op = HV_REVOKE, .bytes = count * (uint32_t)sizeof *refs}, .payload = refs};

	return client_call(gntshr_of(base)->sock, &call, 0);
}
