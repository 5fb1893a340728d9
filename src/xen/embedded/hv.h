/* SPDX-License-Identifier: MIT */
/* The hypervisor's life: start and end. */
#ifndef XEN_EMBEDDED_HV_H
#define XEN_EMBEDDED_HV_H

#include "base/error.h"
#include "base/loop.h"

struct hv;

/* dir must outlive it. 0 or -errno with *err. */
int hv_new(struct loop *loop, const char *dir, struct hv **out, struct error *err);
void hv_free(struct hv *hv); /* ends all connections, unlinks the sockets; NULL is fine */

#endif
