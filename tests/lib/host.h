/* SPDX-License-Identifier: MIT */
/*
 * A host for integration tests: xenblkd on an embedded Xen in a directory of its own, a toolstack
 * that can be as odd as a test needs it, and front ends. Failures end the test case (cmocka
 * asserts).
 */
#ifndef TESTS_LIB_HOST_H
#define TESTS_LIB_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>
#include <jansson.h>

#include "xen/platform.h"
#include "xen/store.h"
#include "xenblkfront.h"

#define XVDA 51712u
#define XVDB 51728u
#define WAIT_MS \
	30000 /* how long a test waits for what must happen; generous: machines are shared */

struct host {
	char dir[64];             /* run directory of the embedded Xen, removed by host_stop */
	char images[96];          /* where its images are, removed by host_stop */
	char build[256];          /* where the build is */
	char programs[256];       /* where the programs are */
	char log[96];             /* stderr of the daemon and its workers */
	pid_t daemon;             /* 0: not running */
	struct xen_platform *xen; /* as domain 0 */
	struct store *store;      /* as domain 0 */
};

/* Starts all; extra: further arguments for xenblkd (NULL-terminated), or NULL. */
void host_start(struct host *h, const char *const *extra);
/* The same with another worker program: its path in the build directory. The programs then stand in
 * DIR.bin, removed by host_stop. */
void host_start_with(struct host *h, const char *worker, const char *const *extra);
/* Detaches nothing: SIGTERM to the daemon, then everything that is left is killed, and the
 * directory removed. Fails the test if the log has a sanitizer's report. */
void host_stop(struct host *h);
void host_daemon_start(struct host *h, const char *const *extra);
extern int host_umask; /* of daemons that are started from now on; -1, as at first: the test's */
void host_daemon_kill(struct host *h, int sig); /* waits for its end */
pid_t host_holder(const struct host *h);        /* 0: there is none */
/* Kills the process that holds the claims of the images, and waits for its end. */
void host_holder_kill(struct host *h);
void host_holder_stop(struct host *h);
/* cmocka fixtures: *state is a struct host with a daemon running. */
int host_setup(void **state);
int host_teardown(void **state);

/* ---- toolstack ---- */

/* A disk as libxl writes it. NULL or 0: libxl's usual value. "-" as a text leaves the key out. */
struct disk {
	unsigned domid, devid; /* 0: 1, XVDA */
	const char *params, *mode, *script, *type, *online, *device_type, *removable,
	    *discard_enable;
	bool no_frontend; /* do not write the front end's directory */
};
/* Creates the domain (if it is not there) and writes both directories in one transaction. */
void host_disk(struct host *h, const struct disk *d);
/* Paths: back end's and front end's directory. Static buffers, one per call site's need: used at
 * once. */
const char *host_be(unsigned domid, unsigned devid);
const char *host_fe(unsigned domid, unsigned devid);
void host_write(struct host *h, const char *dir, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Value or "" if absent; static buffer. */
const char *host_read(struct host *h, const char *dir, const char *key);
/* What the hotplug script reports: physical-device-path and hotplug-status=connected. */
void host_script(struct host *h, unsigned domid, unsigned devid, const char *path);
/* disk + wait for InitWait + script: ready for a front end. */
void host_attach(struct host *h, const struct disk *d, const char *image);
/* online=0 and state=5 in one transaction, as libxl. */
void host_offline(struct host *h, unsigned domid, unsigned devid);
void host_remove_nodes(struct host *h, unsigned domid, unsigned devid);
/* offline, wait for 6, remove nodes, wait until the daemon has forgotten the device. */
void host_detach(struct host *h, unsigned domid, unsigned devid);
/* Waits until the back end's state is `state`; fails the test after WAIT_MS. */
void host_wait_state(struct host *h, unsigned domid, unsigned devid, int state);
int host_state(struct host *h, unsigned domid, unsigned devid);
/* True if the state stays `state` for ms milliseconds. */
bool host_state_stays(struct host *h, unsigned domid, unsigned devid, int state, int ms);

/* ---- images: on a real disk, not in the run directory; removed by host_stop ---- */
const char *host_image(struct host *h, const char *name,
                       uint64_t size); /* sparse; path, static buffer per call (4 kept) */
/* Fills an image with a pattern that names every sector; host_pattern gives the same bytes. */
void host_fill(const char *path, uint64_t size, uint32_t seed);
void host_pattern(void *buf, uint64_t offset, size_t length, uint32_t seed);

/* ---- daemon ---- */
/* One request; the caller owns the answer ({"ok":…}). */
json_t *host_control(struct host *h, const char *cmd, const char *id);
/* result of status ID, or NULL if the daemon does not know it. Caller owns it. */
json_t *host_status(struct host *h, const char *id);
/* Waits until status.error of the disk contains text. */
void host_wait_error(struct host *h, const char *id, const char *text);
/* Waits until the daemon does not list the device any more. */
void host_wait_gone(struct host *h, const char *id);
uint64_t host_stat(struct host *h, const char *id, const char *counter);
/* Requests that were refused for that reason, from the same statistics. */
uint64_t host_refused(struct host *h, const char *id, const char *reason);
pid_t host_worker(struct host *h, const char *id); /* 0: none */
bool host_log_has(struct host *h, const char *text);
unsigned host_log_count(struct host *h, const char *text);

/* ---- front end ---- */
/* Opened, not connected. abi NULL: x86_64. */
struct xenblkfront *host_front(struct host *h, unsigned domid, const char *vdev, const char *abi,
                               unsigned order);
/* … and connected; fails the test with the front end's error text. */
struct xenblkfront *host_front_connected(struct host *h, unsigned domid, const char *vdev);
/* As the options say, connected; run_dir is filled in, domid 0 and vdev NULL mean 1 and xvda. */
struct xenblkfront *host_front_with(struct host *h, const struct xenblkfront_options *more);
/* One raw request with its own id; waits for its response and returns the status. */
int host_request(struct xenblkfront *f, const struct xenblkfront_request *req);

#define assert_front(f, call)                                                     \
	do {                                                                      \
		int rc_ = (call);                                                 \
		if (rc_ < 0)                                                      \
			fail_msg("%s: %d, %s", #call, rc_, xenblkfront_error(f)); \
	} while (0)

#endif
