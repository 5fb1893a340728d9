/* SPDX-License-Identifier: MIT */
/* A host whose workers have crash points, and the script of where they die. */
#ifndef TESTS_CRASH_HOST_H
#define TESTS_CRASH_HOST_H

#include "crash_page.h"
#include "host.h"

struct crash_host {
	struct host h;
	struct crash_page *page;
};

/* cmocka fixtures: *state is a struct crash_host. */
int crash_host_setup(void **state);
int crash_host_teardown(void **state);
#define crash_case(name) \
	cmocka_unit_test_setup_teardown(name, crash_host_setup, crash_host_teardown)

/* Empties the script: nobody dies any more. */
void crash_clear(struct crash_host *c);
/* Appends: after those before it, the worker that passes the step that often gets the signal. */
void crash_order(struct crash_host *c, enum crash_step step, uint32_t passes, uint64_t what,
                 int signal);
/* Waits until all of the script is carried out; false after WAIT_MS. */
bool crash_wait(struct crash_host *c);
const char *crash_step_name(enum crash_step step);

#endif
