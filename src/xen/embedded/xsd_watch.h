/* SPDX-License-Identifier: MIT */
/* Watches. */
#ifndef XEN_EMBEDDED_XSD_WATCH_H
#define XEN_EMBEDDED_XSD_WATCH_H

#include "xen/embedded/xsd_store.h"

/* path as the client gave it, canonical: made from it. 0, -EEXIST, -ENOSPC, -ENOMEM */
int xsd_watch_add(struct xsd_conn *c, const char *canonical, bool relative, const char *token,
                  struct xsd_watch **out);
int xsd_watch_del(struct xsd_conn *c, const char *canonical, const char *token); /* 0, -ENOENT */
void xsd_watch_del_all(struct xsd_conn *c);
void xsd_watch_initial(struct xsd_watch *w);
void xsd_watch_fire_changes(struct xsd *x);                   /* and clears x->changes */
void xsd_watch_fire_special(struct xsd *x, const char *path); /* "@…" */

#endif
