/* SPDX-License-Identifier: MIT */
/* Node counts and changes that are collected before they take effect. */
#ifndef XEN_EMBEDDED_XSD_ACCT_H
#define XEN_EMBEDDED_XSD_ACCT_H

#include "xen/embedded/xsd_store.h"

int xsd_acct_add(struct xsd_acct *a, struct xsd_domain *d, long delta);    /* 0 or -ENOMEM */
long xsd_acct_nodes(const struct xsd_acct *a, const struct xsd_domain *d); /* booked + pending */
void xsd_acct_book(struct xsd_acct *a); /* into the domains; leaves it empty */
void xsd_acct_fini(struct xsd_acct *a);
/* References are taken. 0 or -ENOMEM. */
int xsd_changes_add(struct xsd_changes *ch, const char *path, struct xsd_node *removed,
                    struct xsd_perms *old_perms);
void xsd_changes_clear(struct xsd_changes *ch);

#endif
