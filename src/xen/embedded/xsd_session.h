/* SPDX-License-Identifier: MIT */
/* Requests about watches, transactions and domains. */
#ifndef XEN_EMBEDDED_XSD_SESSION_H
#define XEN_EMBEDDED_XSD_SESSION_H

#include "xen/embedded/xsd_message.h"

/* Each replies and returns 0, or returns -errno for the error reply. */
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
