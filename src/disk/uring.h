/* SPDX-License-Identifier: MIT */
/*
 * A queue's io_uring, restricted for good: it does the operations that serving a disk needs and no
 * other, and nothing can be registered with it. What its thread could do by it is no more than what
 * the filter of system calls lets it do anyway.
 */
#ifndef DISK_URING_H
#define DISK_URING_H

#include <liburing.h>
#include <stdint.h>

#include "base/error.h"

/* For a ring of so many slots. Any thread may make it; another may use it. 0, or -errno with *err
 * and nothing left. The caller ends it with io_uring_queue_exit. */
int uring_make(struct io_uring *ring, uint32_t slots, struct error *err);
/* Whether this process may have one: tries the smallest. 0, or -errno with *err. Any thread. */
int uring_check(struct error *err);

#endif
