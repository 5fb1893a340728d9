/* SPDX-License-Identifier: MIT */
/* One request's arguments, and its reply. */
#include "xen/embedded/xsd_message.h"

#include <string.h>

#include "xen/embedded/xsd_out.h"

void xsd_reply(struct xsd_request *rq, const void *data, size_t n)
{
	struct xsd_sockmsg hdr = *rq->hdr;

	hdr.len = (uint32_t)n;
	xsd_out_message(rq->c, &hdr, data);
}

void xsd_reply_ok(struct xsd_request *rq)
{
	xsd_reply(rq, "OK", 3);
}

void xsd_reply_error(struct xsd_request *rq, int rc)
{
	struct xsd_sockmsg hdr = *rq->hdr;
	const char *name = "EINVAL";

	for (size_t i = 0; i < sizeof xsd_errors / sizeof *xsd_errors; i++) {
		if (xsd_errors[i].errnum == -rc)
			name = xsd_errors[i].errstring;
	}
	hdr.type = XS_ERROR;
	hdr.len = (uint32_t)strlen(name) + 1;
	xsd_out_message(rq->c, &hdr, name);
}

int xsd_args(const struct xsd_request *rq, const char **arg, unsigned min, unsigned max)
{
	unsigned n = 0;

	if (!rq->len || rq->data[rq->len - 1])
		return -EINVAL;
	for (const char *at = rq->data; at < rq->data + rq->len; at += strlen(at) + 1) {
		if (n == max)
			return -EINVAL;
		arg[n++] = at;
	}
	return n < min ? -EINVAL : (int)n;
}

int xsd_args_path(struct xsd_request *rq, const char *path)
{
	bool relative;

	return xsd_path_canonical(path, rq->c->dom->domid, rq->path, &relative);
}
