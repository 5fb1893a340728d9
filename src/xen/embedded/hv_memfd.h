/* SPDX-License-Identifier: MIT */
/* Memory that the hypervisor shares with its clients. */
#ifndef XEN_EMBEDDED_HV_MEMFD_H
#define XEN_EMBEDDED_HV_MEMFD_H

#include "xen/embedded/hv_state.h"

/* A sparse shared memory of that size, zeroed, mapped if `mem` is given; ours: nobody but us can
 * write to it. Its fd or -errno. */
int hv_memfd(const char *name, size_t size, bool ours, void **mem);

#endif
