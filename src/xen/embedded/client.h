/* SPDX-License-Identifier: MIT */
/* The embedded Xen as its clients see it: the way in, for the factory. */
#ifndef XEN_EMBEDDED_CLIENT_H
#define XEN_EMBEDDED_CLIENT_H

#include "xen/platform.h"

/* As xen_platform_open. */
int embedded_open(const char *dir, uint16_t domid, struct xen_platform **out, struct error *err);

#endif
