/* SPDX-License-Identifier: MIT */
/* The worker's state and the calls between its files. All of it belongs to the main thread. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/loop.h"
#include "disk/files.h"
#include "disk/message.h"
#include "disk/queue.h"

/* What the worker has of files (disk/files.h): memory, all of it there from its start on. */
struct files {
	void *journal[WM_MAX_QUEUES];
	struct stats_page *stats;
	uint64_t *lost;
	uint64_t *text[STATS_NR_TEXTS];
	int owner_fd; /* of the owner lock, until that is taken; -1 */
};

struct worker {
	struct loop loop;
	/* from the command line */
	const char *dir;      /* the disk's folder, which is out of reach once the image is open */
	const char *embedded; /* directory of an embedded Xen, or NULL */
	const char *name;     /* "1:xvda" */
	uint32_t domid, devid;
	/* the supervisor */
	struct loop_fd listener;
	struct loop_fd peer;  /* fd -1: none at the moment */
	bool peer_other;      /* of another version: it understands answers only */
	uint32_t open_serial; /* of the last OPEN */
	/* the disk */
	struct xen_platform *platform;
	struct storage *storage;
	struct opening *opening; /* by a thread of its own, so that the supervisor is answered
	                            meanwhile; or NULL */
	struct loop_fd opened;   /* eventfd of that thread */
	struct storage_identity image;
	int claim; /* of the image, if we made it, until a front end connects; else -1 */
	struct files files;
	struct lost lost;            /* what the guest has to be told */
	bool readonly, image_shared; /* as it was opened */
	struct queue *queue[WM_MAX_QUEUES];
	struct disk_shared shared;
	unsigned nr_queues;          /* 0: not connected */
	struct wm_connect connected; /* the last one that succeeded */
	uint64_t generation;         /* of it; 0 if its journal was left to a later worker */
	/* statistics */
	struct loop_fd stats_timer;
	int stats_armed; /* atomic: set by queue threads */
	struct loop_fd notice;
	bool stop_reported;
	uint32_t withdrawn_reported;
	struct wm_trouble trouble_reported[WM_OPS]; /* as the supervisor knows it */
	uint64_t trouble_ns;                        /* when it was told */
	int net_fd;           /* a network with nothing in it, from the supervisor; -1: none */
	bool sandboxed;       /* or failed at it */
	bool unfit;           /* failed at it */
	uint64_t memory_used; /* bytes, when it went in */
	bool used;            /* a connection was tried: no other can be */
};

/* session.c: messages of the supervisor */
int session_init(struct worker *w, int listen_fd);
void session_send(struct worker *w, const struct wm *m);
void session_pass_claim(struct worker *w); /* if there is one, and a supervisor */
void session_opened(struct worker *w);     /* disk_open's thread has ended */

/* disk.c: what the messages ask for. 0 or -errno with *err. */
int disk_init(struct worker *w);
/* Starts opening; session_opened is called when that has ended. *fd becomes ours (-1) on success.
 */
int disk_open(struct worker *w, const struct wm_open *m, int *fd, struct error *err);
/* The result; note: what is worth a word about an image that is open, or "". */
int disk_opened(struct worker *w, struct storage_caps *caps, struct error *note, struct error *err);
/* Whether that connection could be gone on with; fd: of its image, lent, or -1. */
int disk_check(struct worker *w, const struct wm_connect *m, int fd, struct error *err);
/* Once in a worker's life: -EALREADY. */
int disk_connect(struct worker *w, const struct wm_connect *m, struct error *err);
/* Idempotent. keep_journal: the front end is still connected, and a later worker goes on with it.
 */
void disk_disconnect(struct worker *w, bool keep_journal);
/* Idempotent; disconnects first, keeping the journal. What is still being opened is left to the
 * end of the process, which must follow. */
void disk_close(struct worker *w);

/* trouble.c: tells the supervisor if what the storage fails at has changed, now or later. _again:
 * a supervisor that knows nothing yet. */
void trouble_report(struct worker *w);
void trouble_report_again(struct worker *w);

/* resize.c: looks at the image's size, and answers the supervisor's message of that serial. */
void resize_check(struct worker *w, uint32_t serial);

/* files.c: 0 or -errno with *err. files_map: at the start, in the folder as the supervisor made it.
 * files_own: waits for the owner lock; idempotent. */
int files_map(struct files *f, const char *folder, struct error *err);
int files_own(struct files *f, struct error *err);

/* stats_text.c: statistics as plain files */
int stats_init(struct worker *w, struct error *err);
void stats_text_write(struct worker *w);
void stats_later(struct worker *w); /* a second from now, and reports that had to wait */
/* Why a ring was stopped for good; false and "" if none was. */
bool stopped_text(const struct worker *w, char *text, size_t cap);

/* inherited.c: undoes what the process inherited of signals and limits. Once, before faults_init.
 */
void inherited_reset(void);

/* faults.c: signals that are faults end the worker as ever, but leave a note in its journals */
void faults_init(struct worker *w);

struct sandbox {
	const char *const *xen; /* xen_platform_paths */
	int net_fd;             /* lent; a network namespace with nothing in it, or -1 */
};

/* sandbox.c: gives up all that serving an open disk does not need; for good. 0 or -errno with *err;
 * then the process is not what it was, and good for nothing but its end. */
int sandbox_enter(const struct sandbox *s, struct error *err);
/* sandbox.c: the second step, before anything of a guest is mapped: gives up what opening the
 * queues needs, and all private memory but so many bytes. All threads, for good. 0 or -errno with
 * *err, as above. */
int sandbox_seal(uint64_t memory, struct error *err);
/* Bytes of private memory that the process has by now. Before sandbox_enter. */
uint64_t sandbox_memory_used(void);
/* landlock.c: its part of that: only these paths can be opened. Nothing where the kernel has no
 * Landlock. 0 or -errno. */
int landlock_enter(const char *const *paths);
/* root.c: its part of that: for this process only xen has a name. On failure
 * everything is as before, unless it is -ENOTRECOVERABLE. */
int root_enter(const struct sandbox *s, struct error *err);

#endif
