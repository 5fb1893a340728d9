/* SPDX-License-Identifier: MIT */
/* One request while it is served: its arguments and its reply. */
#ifndef XEN_EMBEDDED_XSD_MESSAGE_H
#define XEN_EMBEDDED_XSD_MESSAGE_H

#include "xen/embedded/xsd_store.h"

/* On the stack of xsd_request. */
struct xsd_request {
	struct xsd_conn *c;
	const struct xsd_sockmsg *hdr;
	const char *data;
	size_t len;
	struct xsd_txn *txn; /* NULL: none */
	char path[XSD_PATH_CAP];
};

void xsd_reply(struct xsd_request *rq, const void *data, size_t n);
void xsd_reply_ok(struct xsd_request *rq);
void xsd_reply_error(struct xsd_request *rq, int rc); /* -errno */
/* Splits the payload into NUL-terminated strings. Their number, or -EINVAL. */
int xsd_args(const struct xsd_request *rq, const char **arg, unsigned min, unsigned max);
int xsd_args_path(struct xsd_request *rq, const char *path); /* into rq->path; 0 or -EINVAL */

#endif
