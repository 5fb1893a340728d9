/* SPDX-License-Identifier: MIT */
/* A process's connection to the embedded Xen, and what toolstack and tests ask of it. */
#include "xen/embedded/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xen/embedded/client_priv.h"

static void embedded_close(struct xen_platform *p)
{
	struct embedded *e = embedded_of(p);

	client_disconnect(e->sock);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static const char *embedded_store_path(const struct xen_platform *p)
{
	return embedded_of(p)->store_path;
}

static const char *const *embedded_paths(const struct xen_platform *p)
{
	return embedded_of(p)->paths;
}

/* Requests of several threads take turns on the socket. */
static int locked_call(struct embedded *e, struct client_call *call)
{
	pthread_mutex_lock(&e->lock);
	int rc = client_call(e->sock, call, 0);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

static int domain_error(int rc, const char *verb, uint16_t domid, struct error *err)
{
	const char *why = rc == -EEXIST   ? "it exists already"
	                  : rc == -ENOENT ? "there is no such domain"
	                  : rc == -EPERM  ? "only domain 0 may do that"
	                  : rc == -EINVAL ? "not a domain number that may be used"
	                  : rc == -EIO    ? "the embedded Xen does not answer; restart it"
	                                  : error_name(rc);

	return rc ? error_set(err, rc, "cannot %s domain %u: %s", verb, domid, why) : 0;
}

static int embedded_domain_create(struct xen_platform *p, uint16_t domid, struct error *err)
{
	struct client_call call = {.req = {.op = HV_DOMAIN_CREATE, .domid = domid}};

	return domain_error(locked_call(embedded_of(p), &call), "create", domid, err);
}

static int embedded_domain_destroy(struct xen_platform *p, uint16_t domid, struct error *err)
{
	struct client_call call = {.req = {.op = HV_DOMAIN_DESTROY, .domid = domid}};

	return domain_error(locked_call(embedded_of(p), &call), "destroy", domid, err);
}

static int embedded_fault(struct xen_platform *p, const char *line, struct error *err)
{
	size_t length = strlen(line);
	struct client_call call = {.req = {.op = HV_FAULT, .bytes = (uint32_t)length},
	                           .payload = line};
	int rc = length > HV_TEXT_MAX ? -EINVAL : locked_call(embedded_of(p), &call);

	if (rc == -EINVAL)
		return error_set(err, rc,
		                 "fault '%.80s' refused: use grant DOMID REF STATUS COUNT, "
		                 "refuse-copies DOMID ERRNO COUNT, lose-event DOMID PORT COUNT, "
		                 "spurious-event DOMID PORT, conflict COUNT, "
		                 "delay-store MS or clear, of a domain and port that exist",
		                 line);
	return rc ? error_set(err, rc, "fault '%.80s' failed: %s", line, error_name(rc)) : 0;
}

static int embedded_usage(struct xen_platform *p, struct xen_usage *out)
{
	struct client_call call = {.req.op = HV_USAGE, .out = out, .out_bytes = sizeof *out};

	return locked_call(embedded_of(p), &call);
}

static const struct xen_platform_ops embedded_ops = {
    .close = embedded_close,
    .store_path = embedded_store_path,
    .paths = embedded_paths,
    .domain_create = embedded_domain_create,
    .domain_destroy = embedded_domain_destroy,
    .fault = embedded_fault,
    .usage = embedded_usage,
    .gnttab_open = embedded_gnttab_open,
    .gnttab_close = embedded_gnttab_close,
    .gnttab_map = embedded_gnttab_map,
    .gnttab_unmap = embedded_gnttab_unmap,
    .gnttab_copy = embedded_gnttab_copy,
    .evtchn_open = embedded_evtchn_open,
    .evtchn_close = embedded_evtchn_close,
    .evtchn_fd = embedded_evtchn_fd,
    .evtchn_bind_interdomain = embedded_evtchn_bind_interdomain,
    .evtchn_bind_unbound = embedded_evtchn_bind_unbound,
    .evtchn_unbind = embedded_evtchn_unbind,
    .evtchn_notify = embedded_evtchn_notify,
    .evtchn_pending = embedded_evtchn_pending,
    .evtchn_unmask = embedded_evtchn_unmask,
    .gntshr_open = embedded_gntshr_open,
    .gntshr_close = embedded_gntshr_close,
    .gntshr_share = embedded_gntshr_share,
    .gntshr_unshare = embedded_gntshr_unshare,
    .gntshr_revoke = embedded_gntshr_revoke,
};

int embedded_open(const char *dir, uint16_t domid, struct xen_platform **out, struct error *err)
{
	struct client_call call;

	if (strlen(dir) > HV_DIR_MAX)
		return error_set(
		    err, -ENAMETOOLONG,
		    "embedded directory '%s' is longer than the %u bytes that its sockets "
		    "allow: choose a shorter one",
		    dir, HV_DIR_MAX);
	struct embedded *e = calloc(1, sizeof *e);
	if (!e)
		return error_set(err, -ENOMEM, "cannot open the embedded Xen: out of memory");
	e->base.ops = &embedded_ops;
	e->base.limits = (struct xen_limits){.grant_copy = true, .map_pages = HV_REFS_MAX};
	e->domid = domid;
	snprintf(e->dir, sizeof e->dir, "%s", dir);
	if (domid == 0)
		snprintf(e->store_path, sizeof e->store_path, "%s/" HV_STORE_SOCKET, dir);
	else
		snprintf(e->store_path, sizeof e->store_path, "%s/domains/%u/" HV_STORE_SOCKET, dir,
		         domid);
	snprintf(e->hv_path, sizeof e->hv_path, "%s/" HV_SOCKET, dir);
	e->paths[0] = e->hv_path;
	e->sock = client_connect(e, HV_PLATFORM, &call, 0, err);
	if (e->sock < 0) {
		int rc = e->sock;
		free(e);
		return rc;
	}
	pthread_mutex_init(&e->lock, NULL);
	*out = &e->base;
	return 0;
}
