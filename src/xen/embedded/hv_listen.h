/* SPDX-License-Identifier: MIT */
/* Sockets that are listened on. */
#ifndef XEN_EMBEDDED_HV_LISTEN_H
#define XEN_EMBEDDED_HV_LISTEN_H

#include "xen/embedded/hv_state.h"

/* A unix socket of that type (SOCK_STREAM …) for our user only. */
int hv_listen(struct hv *hv, struct hv_listener *l, int type, const char *path,
              void (*accepted)(struct hv_listener *l, int fd), struct error *err);
void hv_unlisten(struct hv_listener *l, const char *path); /* also if not open */
int hv_spare_fd(void);                                     /* for hv->spare_fd; or -1 */

#endif
