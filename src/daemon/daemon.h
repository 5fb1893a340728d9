/* SPDX-License-Identifier: MIT */
/* The supervisor: one thread, one loop. What its files share. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/list.h"
#include "base/loop.h"
#include "daemon/options.h"
#include "daemon/systemd.h"
#include "xen/platform.h"
#include "xen/store.h"

#define RUN_DIR_MAX \
	61 /* with the NUL; DIR/disks/DOMID:VDEV/worker.sock must fit a socket address */
#define TABLE_BUCKETS 1024
#define WATCH_BUCKETS 1024
#define EXIT_STORE_LOST 75 /* xenstored went away: start again (EX_TEMPFAIL of sysexits.h) */

struct config;
struct device;

/* One line a second gets through, and a few more at once; the others are counted. */
struct log_limit {
	uint64_t next_ns;
	unsigned dropped;
};

/* Owned by the supervisor's only thread. */
struct daemon {
	struct options opt;
	struct config *config; /* sections of single disks */
	struct loop loop;
	struct xen_platform *platform;
	struct store *store;
	struct loop_fd store_fd, signal_fd, control_fd, uevent_fd, size_fd, holder_fd;
	int lock_fd;
	unsigned own_domid;
	uint64_t instance;          /* of claim_owner */
	char run_dir[RUN_DIR_MAX];  /* absolute; for sockets and messages */
	int run_fd;                 /* the same; its files are opened from here, see at.h */
	char program_dir[PATH_MAX]; /* where the other programs stand */
	int worker_fd; /* O_PATH: xenblkd-worker as it was when we started, whatever stands there
	                  now */
	int net_fd;    /* of spawn_network */
	char roots[MAX_KINDS][STORE_PATH_MAX / 2]; /* /local/domain/N/backend/KIND */
	/* devices: by domain and number, and by domain */
	struct list by_id[TABLE_BUCKETS], by_domain[TABLE_BUCKETS];
	struct list by_watch[WATCH_BUCKETS]; /* size.c */
	struct list dirty;
	bool looked; /* discovery.c: at one device's ring keys, in this round */
	unsigned nr_devices;
	struct loop_timer rescan;          /* armed: not all that there may be was found */
	unsigned rescans;                  /* in a row */
	unsigned last_watch;               /* serial of the last front end watch */
	struct log_limit limit;            /* lines about nodes that are no devices */
	char last_ignored[STORE_PATH_MAX]; /* the node of the last such line */
	struct list held;                  /* claims.c: of disks that are not known yet */
	struct list holders;               /* claims.c: processes that have not ended */
	bool leftovers_due;                /* once all devices are known */
	struct list leftovers;             /* workers without a device, on their way out */
	struct loop_timer accept_timer;    /* of the control socket */
	int spare_fd;                      /* given up for a caller of it; or -1 */
	struct list clients;               /* of the control socket */
	unsigned nr_clients;
	uint64_t last_client;   /* serial */
	char **argv;            /* ours, for the program that replaces us */
	char program[PATH_MAX]; /* where it stands */
	pid_t xen_pid;          /* of the embedded Xen if xenblkd started it, else 0 */
	bool stopping;
	int exit_status;
	struct loop_timer stop_timer;
	struct systemd systemd;
};

/* main.c */
void daemon_stop(struct daemon *d);       /* as SIGTERM; returns at once */
void daemon_stop_check(struct daemon *d); /* a worker ended: was it the last? */

/* embedded.c */
int embedded_start(struct daemon *d, struct error *err); /* starts one unless one is alive */
void embedded_stop(struct daemon *d); /* ends the one that xenblkd started, if no device is left */

/* claims.c: the claims of images, kept in a process of their own, too. claims_start: learns what an
 * earlier supervisor had. 0 or -errno. claims_settle: all devices are known: what is left over is
 * let go of. claims_find: what was held of that disk, which is the caller's then; or -1. */
int claims_start(struct daemon *d, struct error *err);
void claims_settle(struct daemon *d);
void claims_stop(struct daemon *d);
int claims_find(struct daemon *d, const char *id);
void claims_drop(struct daemon *d, const char *id);

/* leftovers.c: ends the workers, removes the folders and lets go of the images (claims_settle) of
 * devices that went while no supervisor was there. Waits for a scan that has found all of them;
 * returns at once. */
void leftovers_start(struct daemon *d);
void leftovers_stop(struct daemon *d); /* forgets those that still end */
/* The worker that an earlier supervisor left of that disk, and a connection to it; *sock -1: it
 * does not listen. 0: there is none; -errno: something ran short, and nobody knows. One that waited
 * to replace it is ended. */
pid_t leftovers_find(const struct daemon *d, const char *name, int *pidfd, int *sock);

/* table.c */
void table_init(struct daemon *d);
struct device *table_find(struct daemon *d, uint16_t domid, uint32_t devid); /* or NULL */
void table_add(struct device *dev);
void table_remove(struct device *dev);
/* fn may remove the device it is called with. */
void table_each(struct daemon *d, void (*fn)(struct device *dev, void *arg), void *arg);
bool table_has_worker(struct daemon *d, pid_t pid);
void table_each_of_domain(struct daemon *d, uint16_t domid,
                          void (*fn)(struct device *dev, void *arg), void *arg);

/* foreign.c: warns of drivers of the kernel that want our devices */
void foreign_start(struct daemon *d);

/* discovery.c */
int discovery_start(struct daemon *d, struct error *err); /* watches and the first scan */
void discovery_stop(struct daemon *d);
/* Instead of the old one. 0 or -errno: there is none then. */
int discovery_watch_frontend(struct device *dev, const char *path);
/* What is at `path` cannot be read now (rc): all is looked for again after a pause. */
void discovery_later(struct daemon *d, const char *path, int rc);
void discovery_unwatch_frontend(struct device *dev);
/* Sets ring_differs, or leaves it for later; 0 or -errno, as of ring_keys_changed. */
int discovery_look(struct device *dev);
/* Looks for that device in every kind: one of them may have been waiting for the number. */
void discovery_probe_again(struct daemon *d, uint16_t domid, uint32_t devid);
void discovery_run_dirty(struct daemon *d); /* updates every dirty device once */

/* change.c: listens for block devices that change their size. 0 or -errno */
int change_start(struct daemon *d);
void change_stop(struct daemon *d);

/* size.c: listens for images in files that change theirs. 0 or -errno */
int size_start(struct daemon *d);
void size_stop(struct daemon *d); /* no device is left */

/* control.c */
struct json_t;
int control_start(struct daemon *d, struct error *err); /* on d->control_fd, if that is open */
void control_stop(struct daemon *d);
/* To the client whose request was to be answered later, if it is still there. Takes the reference.
 */
void control_answer(struct daemon *d, uint64_t client, struct json_t *answer);
/* Clients across an exec: each with what it has sent and not been sent yet. */
void control_each_fd(struct daemon *d, void (*fn)(int fd, void *arg), void *arg);
struct json_t *control_save(struct daemon *d, uint64_t asker);
uint64_t control_restore(struct daemon *d, struct json_t *all); /* the asker, or 0 */

/* Whether a line may be logged now; *dropped: how many were not since the last one. */
bool log_limit_pass(struct log_limit *l, unsigned *dropped);

#endif
