/* SPDX-License-Identifier: MIT */
/* One request while it is served: its arguments and reply (xsd_message.c), and the handlers that do
 * not deal with nodes (xsd_session.c). */
#ifndef XEN_EMBEDDED_XSD_REQUEST_H
#define XEN_EMBEDDED_XSD_REQUEST_H

#include "base/parse.h"
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

/* xsd_message.c */
void xsd_reply(struct xsd_request *rq, const void *data, size_t n);
void xsd_reply_ok(struct xsd_request *rq);
void xsd_reply_error(struct xsd_request *rq, int rc); /* -errno */
/* Splits the payload into NUL-terminated strings. Their number, or -EINVAL. */
int xsd_args(const struct xsd_request *rq, const char **arg, unsigned min, unsigned max);
int xsd_args_path(struct xsd_request *rq, const char *path); /* into rq->path; 0 or -EINVAL */

/* xsd_session.c. Each replies and returns 0, or returns -errno for the error reply. */
int xsd_do_watch(struct xsd_request *rq);
int xsd_do_unwatch(struct xsd_request *rq);
int xsd_do_reset_watches(struct xsd_request *rq);
int xsd_do_transaction_start(struct xsd_request *rq);
int xsd_do_transaction_end(struct xsd_request *rq);
int xsd_do_control(struct xsd_request *rq);
int xsd_do_introduce(struct xsd_request *rq);
int xsd_do_release(struct xsd_request *rq);
int xsd_do_resume(struct xsd_request *rq);
int xsd_do_set_target(struct xsd_request *rq);
int xsd_do_is_domain_introduced(struct xsd_request *rq);
int xsd_do_get_domain_path(struct xsd_request *rq);

#endif
