/* SPDX-License-Identifier: MIT */
/* Event channels of the real Xen. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <xenevtchn.h>

#include "base/list.h"
#include "xen/real/real_priv.h"

/* Owned by the thread that uses the handle. */
struct real_evtchn {
	struct xen_evtchn pub;
	xenevtchn_handle *handle;
};

static xenevtchn_handle *handle_of(const struct xen_evtchn *e)
{
	return container_of(e, const struct real_evtchn, pub)->handle;
}

int real_evtchn_open(struct xen_platform *p, struct xen_evtchn **out, struct error *err)
{
	struct real_evtchn *e = calloc(1, sizeof *e);
	int rc;

	if (!e)
		return error_set(err, -ENOMEM, "out of memory");
	e->pub.ops = p->ops;
	e->handle = xenevtchn_open(NULL, 0);
	/* pending() must not block: the thread sleeps elsewhere. */
	if (e->handle && !fcntl(xenevtchn_fd(e->handle), F_SETFL, O_NONBLOCK)) {
		*out = &e->pub;
		return 0;
	}
	rc = -errno;
	if (e->handle)
		xenevtchn_close(e->handle);
	free(e);
	return error_set(
	    err, rc,
	    "cannot open /dev/xen/evtchn: %s; load xen-evtchn, and see that this user may "
	    "open it",
	    error_name(rc));
}

void real_evtchn_close(struct xen_evtchn *pub)
{
	xenevtchn_close(handle_of(pub));
	free(container_of(pub, struct real_evtchn, pub));
}

int real_evtchn_fd(const struct xen_evtchn *pub)
{
	return xenevtchn_fd(handle_of(pub));
}

int real_evtchn_bind_interdomain(struct xen_evtchn *pub, uint16_t domid, uint32_t remote_port)
{
	int port = xenevtchn_bind_interdomain(handle_of(pub), domid, remote_port);

	return port > 0 ? port : errno ? -errno : -EINVAL;
}

int real_evtchn_bind_unbound(struct xen_evtchn *pub, uint16_t domid)
{
	int port = xenevtchn_bind_unbound_port(handle_of(pub), domid);

	return port > 0 ? port : errno ? -errno : -EINVAL;
}

int real_evtchn_unbind(struct xen_evtchn *pub, uint32_t port)
{
	return xenevtchn_unbind(handle_of(pub), port) ? -errno : 0;
}

int real_evtchn_notify(struct xen_evtchn *pub, uint32_t port)
{
	return xenevtchn_notify(handle_of(pub), port) ? -errno : 0;
}

int real_evtchn_pending(struct xen_evtchn *pub)
{
	int port = xenevtchn_pending(handle_of(pub));

	return port > 0 ? port : errno ? -errno : -EAGAIN;
}

int real_evtchn_unmask(struct xen_evtchn *pub, uint32_t port)
{
	return xenevtchn_unmask(handle_of(pub), port) ? -errno : 0;
}
