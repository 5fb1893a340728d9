/* SPDX-License-Identifier: MIT */
/* The Xen of this machine, over libxengnttab and libxenevtchn: the way in, for the factory. */
#ifndef XEN_REAL_REAL_H
#define XEN_REAL_REAL_H

#include "xen/platform.h"

/* As xen_platform_open; we act as the domain that we run in. */
int real_open(struct xen_platform **out, struct error *err);

#endif
