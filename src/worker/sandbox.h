/* SPDX-License-Identifier: MIT */
/* What the worker gives up once the image is open. */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include <stdint.h>

#include "base/error.h"

struct sandbox {
	const char *const *xen; /* xen_platform_paths */
	int net_fd;             /* lent; a network namespace with nothing in it, or -1 */
};

/* Gives up all that serving an open disk does not need; for good. 0 or -errno with *err; then the
 * process is not what it was, and good for nothing but its end. */
int sandbox_enter(const struct sandbox *s, struct error *err);
/* The second step, before anything of a guest is mapped: gives up what opening the queues needs,
 * all private memory but so many bytes, and all writes to files beyond that size, which only the
 * supervisor can raise again. All threads, for good. 0 or -errno with *err, as above. */
int sandbox_seal(uint64_t memory, uint64_t file_size, struct error *err);
/* Bytes of private memory that the process has by now. Before sandbox_enter. */
uint64_t sandbox_memory_used(void);

#endif
