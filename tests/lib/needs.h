/* SPDX-License-Identifier: MIT */
/*
 * What a test needs of the machine. A lacks_* function returns why that is missing, or NULL;
 * needs(lacks_root()) then skips the test case: call it first, before the case has started
 * anything.
 */
#ifndef TESTS_LIB_NEEDS_H
#define TESTS_LIB_NEEDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

const char *lacks_root(void);
/* CAP_SYS_ADMIN, outside of user namespaces: mounts, partitions, sizes of devices. */
const char *lacks_admin(void);
const char *lacks_loop_device(void);
const char *lacks_io_uring(void);
/* What a worker's sandbox has only where its root may be replaced. */
const char *lacks_own_root(void);
/* The sanitizers do not survive the sandbox, so workers do without it. */
const char *lacks_sandbox(void);

/* NULL: nothing happens. Both print the reason; one skips the case, the other the whole program:
 * call it before cmocka has announced the cases. */
void needs(const char *lacks);
void program_needs(const char *lacks);

#endif
