/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's part on the embedded Xen: what xl and libxl do on a real one. Domains with their
 * nodes, disks with theirs, the hotplug script's part. Also for tests, which take single steps.
 *
 * A toolstack belongs to one thread. All calls: 0 or -errno with *err saying what to do.
 */
#ifndef CTL_TOOLSTACK_H
#define CTL_TOOLSTACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/storage.h"
#include "xen/platform.h"
#include "xen/store.h"

#define TOOLSTACK_INIT_MS 10000    /* libxl waits so long for InitWait */
#define TOOLSTACK_DESTROY_MS 10000 /* … and so long for Closed */
#define TOOLSTACK_OPEN_MS 30000    /* the hotplug script, which libxl kills after 40 s */

/* Owned by the caller; lent for a call. */
struct toolstack_disk {
	unsigned domid; /* 1 .. XEN_DOMID_MAX */
	uint32_t devid;
	const char *kind;   /* "vbd", "vbd3" or "qdisk"; NULL: "vbd" */
	const char *target; /* as users write it; relative paths are not understood */
	const char *mode;   /* "r", "w", "w!"; NULL: "w", or "r" for a CD-ROM */
	bool cdrom, removable;
	bool no_discard;
	bool no_script; /* no `script` key: the back end opens the image at sight */
};

struct toolstack;

/* run_dir: directory of a running embedded Xen. cancel_fd: waits end with -EINTR once it is
 * readable; -1: never. */
int toolstack_open(const char *run_dir, int cancel_fd, struct toolstack **out, struct error *err);
/* Only the store, of the embedded Xen in run_dir if there is one, else of this machine's Xen:
 * enough for toolstack_hotplug and toolstack_released. */
int toolstack_open_store(const char *run_dir, int cancel_fd, struct toolstack **out,
                         struct error *err);
/* fn hears, whenever it changes, what an attach or a hotplug script waits for. */
void toolstack_tell_waits(struct toolstack *ts, void (*fn)(const char *id, const char *for_what));
void toolstack_close(struct toolstack *ts);                    /* NULL is fine */
struct xen_platform *toolstack_platform(struct toolstack *ts); /* lives as long as ts */
struct store *toolstack_store(struct toolstack *ts);

/* ---- whole commands ---- */

/*
 * Creates the domain if it is not there, writes the disk's nodes, waits for InitWait, plays the
 * hotplug script, waits until the image is open (open_ms). If anything fails or is cancelled, the
 * nodes are removed again. *status (may be NULL): xenblkd's status object, caller's reference.
 */
int toolstack_attach(struct toolstack *ts, const struct toolstack_disk *disk, unsigned open_ms,
                     json_t **status, struct error *err);
/*
 * Closes the disk and removes its nodes; also the domain, if toolstack_attach made it and this was
 * its last disk. force: removes the front end first and the nodes whatever happens.
 */
int toolstack_detach(struct toolstack *ts, unsigned domid, uint32_t devid, bool force,
                     struct error *err);

/* ---- their steps ---- */

/* Domain and nodes; what exists already is left as it is. mark: toolstack_domain_tidy may destroy
 * it, if this call made it. */
int toolstack_domain_create(struct toolstack *ts, unsigned domid, bool mark, struct error *err);
/* The domain with all its nodes. */
int toolstack_domain_destroy(struct toolstack *ts, unsigned domid, struct error *err);
/* Destroys the domain if it is a marked one without disks. */
int toolstack_domain_tidy(struct toolstack *ts, unsigned domid, struct error *err);

/* One transaction. -EEXIST: the device exists already. */
int toolstack_add_nodes(struct toolstack *ts, const struct toolstack_disk *disk, struct error *err);
/* online = 0, and state = 5 unless it is 6 (or gone). */
int toolstack_offline(struct toolstack *ts, unsigned domid, uint32_t devid, struct error *err);
/* Waits until the back end's state is `state`. -ETIMEDOUT, -EINTR, -ENOENT: its node is gone. */
int toolstack_wait_state(struct toolstack *ts, unsigned domid, uint32_t devid, int state,
                         unsigned ms, struct error *err);
/* What the script does between InitWait and its end. For a guest that is arriving by migration that
 * may be before its image is open: what still holds it lets go only afterwards. */
int toolstack_hotplug(struct toolstack *ts, const struct toolstack_disk *disk, unsigned open_ms,
                      json_t **status, struct error *err);
/* Waits until xenblkd has released the disk's image; also for a xenblkd that does not run just
 * now. */
int toolstack_released(struct toolstack *ts, const char *kind, unsigned domid, uint32_t devid,
                       struct error *err);
/* Front end, /libxl copy, back end, in one transaction; parents that become empty go, too. */
int toolstack_remove_nodes(struct toolstack *ts, unsigned domid, uint32_t devid, struct error *err);

/* ---- what is written where: pure ---- */

struct toolstack_paths {
	char back[STORE_PATH_MAX], front[STORE_PATH_MAX], copy[STORE_PATH_MAX];
};
/* kind NULL: "vbd"; the back end is domain 0. */
void toolstack_paths(const char *kind, unsigned domid, uint32_t devid, struct toolstack_paths *out);

struct toolstack_node {
	const char *key;
	char value[STORE_VALUE_MAX];
};
#define TOOLSTACK_NODES_MAX 24
/* Each returns how many of node[TOOLSTACK_NODES_MAX] it filled, in the order in which they are
 * written. */
unsigned toolstack_back_nodes(const struct toolstack_disk *disk, struct toolstack_node *node);
unsigned toolstack_front_nodes(const struct toolstack_disk *disk, struct toolstack_node *node);
/* The keys that the copy has and the back end has not. */
unsigned toolstack_copy_nodes(const struct toolstack_disk *disk, struct toolstack_node *node);

/* "7:xvda" of the device; id has TOOLSTACK_ID_MAX bytes. */
#define TOOLSTACK_ID_MAX 32
void toolstack_id(unsigned domid, uint32_t devid, char *id);

/* A TARGET as typed, relative paths made absolute; out has STORAGE_TARGET_MAX bytes. A missing
 * directory is not an error here: opening says it better. -ENAMETOOLONG. */
int toolstack_target(const char *text, char *out, struct error *err);

#endif
