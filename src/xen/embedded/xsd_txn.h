/* SPDX-License-Identifier: MIT */
/* Transactions. */
#ifndef XEN_EMBEDDED_XSD_TXN_H
#define XEN_EMBEDDED_XSD_TXN_H

#include "xen/embedded/xsd_store.h"

int xsd_txn_start(struct xsd_conn *c, uint32_t *id);           /* 0, -ENOSPC, -ENOMEM */
struct xsd_txn *xsd_txn_find(struct xsd_conn *c, uint32_t id); /* NULL: no such */
struct xsd_view xsd_txn_view(struct xsd_txn *t);
int xsd_txn_note_read(struct xsd_txn *t, const char *path); /* 0, -ENOSPC, -ENOMEM */
int xsd_txn_mutate(struct xsd_txn *t, const struct xsd_mutation *m);
/* Applies to the store and records in x->changes. 0, -EAGAIN, -ENOMEM. The caller frees t. */
int xsd_txn_commit(struct xsd_txn *t);
void xsd_txn_free(struct xsd_txn *t);

#endif
