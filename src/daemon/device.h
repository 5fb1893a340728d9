/* SPDX-License-Identifier: MIT */
/* One disk as the supervisor sees it. */
#ifndef DAEMON_DEVICE_H
#define DAEMON_DEVICE_H

#include "blkif/vdev.h"
#include "daemon/daemon.h"
#include "disk/message.h"
#include "xenbus/decide.h"
#include "xenbus/keys.h"
#include "xenbus/publish.h"
#include "xenbus/source.h"

#define DEVICE_ID_MAX (VDEV_NAME_MAX + 8)
#define FOLDER_MAX (RUN_DIR_MAX + DEVICE_ID_MAX + 7)
#define SOCKET_PATH_MAX (FOLDER_MAX + 12) /* of worker.sock */
/* So many deaths in a row, of their own doing and after lives shorter than that: the disk has
 * failed.
 */
#define WORKER_DEATHS 5
#define WORKER_LIFE_NS (10 * NS_PER_S)
/* So many kills in a row that leave the same requests unanswered: the disk has failed, too. */
#define WORKER_KILLS 10

/* The process that serves a disk, and the line to it. Owned by the supervisor's thread. */
struct worker {
	pid_t pid;                                      /* 0: none */
	struct loop_fd exit_fd;                         /* pidfd */
	struct loop_fd sock;                            /* fd -1: closed */
	struct logpipe *log;                            /* or NULL */
	int64_t budget;                                 /* messages it may send, in thousandths */
	uint64_t budget_ns;                             /* when that was reckoned */
	uint32_t last_serial, open_serial, ring_serial; /* of the answers that count */
	struct loop_timer kill;                         /* it was told to end */
	bool killed;                                    /* by us: no fault of its own */
	struct loop_timer dying;                        /* SIGKILL was sent */
	char hangs[24];      /* since when it does not end after that; "": it does not */
	bool adopting;       /* an earlier supervisor's; it was asked what it has got */
	bool was_adopting;   /* when it ended */
	bool pinged;         /* see patience.c */
	const char *blamed;  /* killed by us for what it did: "it hung"; or NULL */
	uint32_t other;      /* the version that it speaks, if that is not ours; else 0 */
	char why_other[200]; /* why it cannot be replaced; "" if it can, or that is not known yet */
	uint64_t start_ns;
	unsigned streak; /* deaths of its own doing in a row, after short lives or no progress */
	unsigned lacks;  /* tries in a row for which something ran short */
	unsigned unborn; /* killed by others before they had the image, in a row */
	unsigned stuck;  /* deaths in a row, by whatever cause, since a response was published;
	                    0: the last one had nothing in hand */
	uint64_t stuck_generation, stuck_published; /* as the last death left them */
	bool used;               /* a ring was connected, or tried: no other can be */
	int forbidden;           /* the call by which it says that it ends; -1: it did not */
	struct error last_words; /* the last error that it logged */
	char last_death[400];    /* how the last one died; "" if none did */
	char in_hand[160];       /* and what it had in hand */
	struct loop_timer backoff;
};

/* What an unclean end leaves to be taken up: kept in the disk's folder as long as a ring may be in
 * use. Owned by the supervisor's thread. */
struct connection {
	uint64_t generation;
	uint64_t faults;       /* workers of this connection that died by a fault */
	uint32_t sector_units; /* enum sector_units: agreed on when the front end connected */
	bool fresh; /* no worker has said yet that it has this ring: it may have no journals yet */
	struct ring_keys keys;
};

/* Whether the size of an image in a file is watched. Owned by the supervisor's thread. */
struct size_watch {
	int wd;   /* -1: no event can come */
	int path; /* O_PATH descriptor of the file; -1: its size is not watched */
	struct list link;
	uint64_t seen;           /* bytes; as the worker knows or was told to look */
	struct loop_timer again; /* wd is to be set anew */
};

/* Of discovery.c. Owned by the supervisor's thread. */
struct noise {
	uint64_t next_update, next_look; /* when, if all that may be at once was */
	struct loop_timer timer;         /* after a pause: update it */
};

/* Owned by the supervisor's thread. */
struct device {
	struct list id_link, domain_link, dirty_link;
	struct daemon *d;
	const char *kind; /* in d->opt */
	uint16_t domid;
	uint32_t devid;
	char vdev[VDEV_NAME_MAX];
	char id[DEVICE_ID_MAX]; /* "1:xvda" */
	char backend[STORE_PATH_MAX], frontend[STORE_PATH_MAX];
	char folder[FOLDER_MAX]; /* for sockets and messages; files: daemon/at.h */
	char token[64];          /* of the watch on the front end; "" if there is none */
	/* read from the store at the last update */
	int ours, theirs;
	int written; /* the state that we wrote last; 0: none */
	bool online, fe_seen;
	bool foreign; /* another driver has it */
	bool away;    /* see struct snapshot */
	bool retake;  /* one had it: its keys must go */
	/* the keys that only others write; read again when an event names one of them */
	bool keys_stale;
	bool ring_stale;   /* the front end's ring keys may be others by now */
	bool ring_differs; /* they are not those connected, as of the last look */
	struct noise noise;
	unsigned retries; /* of updates in a row that could not be done */
	struct source wanted;
	int wanted_rc;
	struct error wanted_error;
	/* what we have */
	enum image_phase image;
	enum ring_phase ring;
	struct source source; /* of the image that is open or was last asked for */
	int claim; /* its parcel, from the first open to detach, see storage/parcel.h; or -1 */
	struct source claimed; /* what was wanted then */
	bool claimed_unread;   /* its record in the folder could not be read yet */
	struct storage_caps caps;
	struct disk_keys keys;  /* as advertised for this connection */
	struct connection conn; /* generation 0: never connected by us */
	bool renewing;          /* opened again by a fresh worker: no size of it is refused */
	bool unfenced;          /* see struct snapshot */
	bool ring_anew;         /* the front end has made its ring anew: nothing is to be resumed */
	bool after_death;       /* a worker of this disk has died, or may have */
	struct worker worker;
	struct upgrade *upgrade; /* of the worker, see upgrade.c; or NULL */
	/* trouble */
	bool fatal, stopped, error_node;
	bool unasked;      /* whether an earlier supervisor's worker is there is not known yet */
	bool lacking;      /* error says what ran short */
	bool held;         /* failed in use: see decide_holds */
	bool failed_image; /* fatal or held, by its image: other keys may name a better one */
	uint64_t failed_fingerprint; /* of the image's keys when it failed */
	struct error error;          /* until it recovers */
	struct error warning;        /* as of the last look at the keys */
	struct error image_note;     /* what the worker found when it opened the image; or "" */
	struct error warned;         /* what was logged last */
	struct {
		struct error now;  /* what the storage fails at; "": nothing */
		struct error said; /* in the log and the error node */
		int rc;
		struct loop_timer timer; /* not again before */
	} trouble;
	bool slow_opening;      /* for two seconds and more; then: */
	bool fencing;           /* its worker waits for the fence, else for the file system */
	char opening_since[24]; /* local time */
	bool incoming; /* migrated to here: opened while where it comes from may hold the image */
	struct log_limit limit;
	/* removal */
	bool force;
	struct loop_timer removal, retry, slow;
	struct loop_timer resized; /* the front end was told a size less than a second ago, or could
	                              not be told */
	uint64_t told_size;        /* bytes; then. 0: nothing to tell */
	bool features_untold;      /* which were withdrawn */
	struct size_watch size;
};

/* device.c: what is read and decided. device_probe: the device at that path, made if its node
 * qualifies; or NULL. */
struct device *device_probe(struct daemon *d, unsigned kind, uint16_t domid, uint32_t devid);
void device_dirty(struct device *dev);      /* update it soon */
void device_keys_stale(struct device *dev); /* and read what others may have written */
void device_update(struct device *dev);     /* may free it */
void device_forget(struct device *dev);     /* frees it; its worker is gone or is left alone */

/* Whether the domain's name ends with mark, by which xl tells what a migration made of it: what is
 * left behind, renamed before the guest runs on the other host, and what is arriving. */
#define MIGRATED_AWAY "--migratedaway"
#define MIGRATION_INCOMING "--incoming"
int device_guest_is(const struct device *dev, const char *mark); /* 1, 0 or -errno */

/* Where a struct key_reader reads. */
struct reader_arg {
	struct store *store;
	xs_transaction_t t;
};
int device_reader_get(void *arg, const char *dir, const char *name, char *buf, size_t cap);

static inline bool timer_armed(const struct loop_timer *t)
{
	return t->link.next && !list_empty(&t->link);
}

/* foreign.c: looks for a driver of the kernel on the device; notes and forgets it as an error. */
void foreign_check(struct device *dev);
/* ours and online were just read: somebody else's state is worth a line. */
void foreign_state_check(struct device *dev);

/* The settings of this disk, as of now. 0, or -errno: what they depend on cannot be read. */
int device_settings(const struct device *dev, struct settings *s);

/* actions.c: each 0, or -errno (see device_update) */
int device_act(struct device *dev, enum action a);

/* image.c */
void image_start(struct daemon *d); /* d->instance */
void image_open(struct device *dev);
void image_release(struct device *dev);
void image_renew(struct device *dev); /* by a fresh worker; the ring is idle */
void image_wrong_program(struct device *dev, uint32_t version); /* that is what the worker speaks */
/* claims.c: dev->claim outlives us */
void claims_put(struct device *dev);
/* The parcel of the claim, which a worker sent; fd is ours, or -1. */
void image_claimed(struct device *dev, int fd);
void image_claim_again(struct device *dev); /* as an earlier supervisor had it */
bool image_awaits_claim(const struct device *dev);
/* Detached: whoever wants the image may have it. Idempotent. */
void image_unclaim(struct device *dev);
void image_answer(struct device *dev, const struct wm *m);
bool image_differs(const struct device *dev); /* the keys name another image than the open one */

/* ring.c */
void ring_connect(struct device *dev);
void ring_disconnect(struct device *dev);
void ring_answer(struct device *dev, const struct wm *m);
uint64_t
ring_sectors(const struct device *dev); /* what `sectors` says, in the units of dev->conn */
/* These: 0, or -errno of what cannot be read just now (store_unread). */
int ring_told_size(struct device *dev, uint64_t *size); /* bytes, by `sectors`; 0: there is none */
int ring_keys_changed(struct device *dev, bool *changed); /* against those connected */
int ring_let_go(
    struct device *dev); /* it has ended: nothing of it is taken up again; 0 or -errno */
int ring_forget(struct device *dev); /* nothing of the connection may be taken up again */
/* The front end starts anew: whatever ring there was, connected or not, is not the one that it will
 * offer, even if all numbers are the same (a new domain under the old one's). */
int ring_void(struct device *dev);

/* change.c: what changes while a disk is in use. */
void change_init(struct device *dev);
void change_ask_size(struct device *dev); /* the worker is to look again */
void change_answer(struct device *dev, const struct wm *m);
void change_check(struct device *dev); /* connected again: does the front end know the size? */
/* What happened to the disk of an adopted worker while nobody listened; what: enum wm_withdrawn. */
void change_adopted(struct device *dev, uint32_t what);
int ring_describe(struct device *dev, struct wm_connect *c); /* all but resume */
int ring_guest_uuid(struct device *dev, char uuid[37]);      /* "" if it has none */
/* The ring that an earlier supervisor connected is ours: dev->keys is what that promised. False: it
 * is not the one on record (dev->conn), or makes no sense. */
bool ring_adopt(struct device *dev, const struct wm_connect *c);

/* size.c: notices when the open image changes its size, if it is in a file, and lets the worker
 * look. size_forget is idempotent. Neither waits for a file system. */
void size_watch(struct device *dev);
void size_forget(struct device *dev);
/* The worker may write as far as its image goes, no further (docs/sandbox.md): raises its limit.
 * said: the size, by the worker. */
void size_allow(struct device *dev, uint64_t said);

/* patience.c: what the worker does now must end, or show that it is alive */
void patience_start(struct device *dev);
void patience_over(struct device *dev);
/* Killed, it must end. _killed: SIGKILL was sent. _ended: it has, or is another supervisor's.
 * Both idempotent. _warn: status says that it does not, or what the image's
 * opening waits for. */
void patience_killed(struct device *dev);
void patience_ended(struct device *dev);
void patience_warn(struct device *dev);
void patience_heard(struct device *dev, uint32_t flags); /* of WM_STATE */

/* record.c: the disk's worker and the one that waits to replace it, as the supervisor started them,
 * in a file that no worker reaches. record_set: 0 or -errno. record_find: the process, if it lives,
 * and a pidfd of it; 0: there is none; -errno: something ran short, and nobody knows. */
enum record_line { RECORD_WORKER, RECORD_NEXT };
#define RECORD_NAME "workers"
#define RECORD_BYTES 64
int record_set(struct device *dev, enum record_line line, pid_t pid);
pid_t record_find(const struct daemon *d, const char *name, enum record_line line, int *pidfd);

/* worker.c */
#define WORKER_SOCK "worker.sock"
#define NEXT_SOCK "next.sock"
/* O_PATH descriptor of the program that is installed now, or -errno. */
int worker_program(struct daemon *d, struct error *err);
int worker_start(struct device *dev, struct error *err); /* unless there is one */
void worker_later(struct device *dev); /* deaths.c: none is started until a pause is over */
/* A process that was started or found, and the lines to it. */
struct spawned {
	pid_t pid;
	int pidfd;
	int sock;            /* -1: it cannot be talked to */
	struct logpipe *log; /* NULL: its log is not read here */
};
/* Starts the program, listening in the disk's folder, and connects to it. */
int worker_spawn(struct device *dev, int prog_fd, enum record_line line, struct spawned *out,
                 struct error *err);
/* Kills it, and does not wait for its end; for one that has no image yet. */
void worker_unspawn(struct daemon *d, struct spawned *s);
/* Makes this process the device's worker; all in s is its own then. 0 or -errno. */
int worker_line(struct device *dev, const struct spawned *s);
/* fd is lent, -1 for none. Returns the serial. A worker that takes nothing is killed. */
uint32_t worker_send(struct device *dev, struct wm *m, int fd);
void worker_quit(struct device *dev, uint64_t kill_after_ns);
void worker_kill(struct device *dev);
/* … for what it did, which counts as a death of its own doing. what: "it hung"; static. */
void worker_blame(struct device *dev, const char *what);
void worker_abandon(struct device *dev); /* closes our ends; the process goes on */

/* adopt.c: the worker that an earlier supervisor left. 1: it was asked; 0: there is none; -errno:
 * nobody knows, as something ran short. */
int adopt_begin(struct device *dev);
void adopt_again(struct device *dev); /* if its answer could not be made use of yet */
void adopt_answer(struct device *dev, const struct wm *m);
void adopt_other(struct device *dev, const struct wm *m); /* of another version: m's head only */

/* upgrade.c: replaces the worker by that program, which is ours then (also on failure). client:
 * whom to answer (control.c), 0 for nobody. 0, or -errno: nothing was done. */
int upgrade_begin(struct device *dev, int prog_fd, uint64_t client, struct error *err);
bool upgrade_take_over(struct device *dev); /* the new worker, if one waits, is the device's */
void upgrade_drained(struct device *dev);   /* the old worker has ended */
void upgrade_settled(struct device *dev);   /* the ring is connected again */
void upgrade_failed(struct device *dev, const char *why); /* if one is under way */

/* deaths.c: what follows from a worker's end; as waitid gives it, code 0: not known */
void worker_ended(struct device *dev, int code, int status);
/* No worker was found: did the last one die by a fault that no supervisor saw? */
void worker_died_unseen(struct device *dev);
/* A failed disk is tried again, a back-off is cut short. NULL, or why not. */
const char *worker_revive(struct device *dev);

/* peek.c: what the dead worker had in hand: how many requests, and in words */
unsigned peek_requests(const struct device *dev);
/* … and how many responses of the connection were published by then, by all its workers */
uint64_t peek_published(const struct device *dev);
int peek_signal(const struct device *dev); /* the fault that it died by, as it noted itself; or 0 */
void peek_in_hand(const struct device *dev, char *text, size_t cap);

/* spawn.c: starts a program with that log as standard error, that listening socket as descriptor 3,
 * and that empty network (or -1) as 4; pid or -errno */
pid_t spawn_worker(int prog_fd, char *const argv[], int log_fd, int listen_fd, int net_fd);
/* A network namespace with nothing in it, for all workers to hide in; < 0 where there is none. */
int spawn_network(void);
/* As a worker is, with a pidfd (or -1) in place of the network. */
pid_t spawn_holder(const char *prog, char *const argv[], int listen_fd, int pidfd);
pid_t spawn_session(const char *prog, char *const argv[]); /* in a session of its own */

/* fault.c: errors and warnings of a device: log line, error node and status, in the same words */
/* What we have to serve it with fails for good; image: it is the image, or its keys. True: it is
 * held for `xenblkctl recover`; else its front end is told (decide_holds). device_fatal: it is not
 * to be served at all, whoever uses it. */
bool device_fails(struct device *dev, int rc, bool image, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void device_fatal(struct device *dev, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void device_stopped(struct device *dev, const char *text);
/* Something ran short (error_is_transient): the disk stays in its state, and what failed is tried
 * again after a pause. text: what failed and why. device_lacks_nothing: it works again. */
void device_lacks(struct device *dev, int rc, const char *text);
void device_lacks_nothing(struct device *dev);
/* dev->trouble.said is new: a line and the error node, while the disk is in use as before. _over:
 * it is "", and the node goes unless it tells of something else. */
void device_trouble(struct device *dev);
void device_trouble_over(struct device *dev);
void device_load_error(struct device *dev); /* of an earlier supervisor, from the error node */
void device_recover(struct device *dev);    /* errors are history; warnings, too */
void device_warn(struct device *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void device_log(struct device *dev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* trouble.c: WM_TROUBLE; trouble_forget: the worker has ended, or is another supervisor's.
 * Idempotent.
 */
void trouble_answer(struct device *dev, const struct wm *m);
void trouble_forget(struct device *dev);

/* folder.c: the disk's folder. 0 or -errno */
/* With all that a worker maps (disk/files.h), as far as it is not there; before one is started. */
int folder_make(struct device *dev, struct error *err);
/* Whole or, with a line in the log, not at all: then there is none of that name any more. */
void folder_write(struct device *dev, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* False: there is none, or nothing in it; text is "" then. */
bool folder_read(const struct device *dev, const char *name, char *text, size_t cap);
void folder_drop(const struct device *dev, const char *name);
void folder_remove(struct daemon *d, const char *name); /* by its ID */
/* Room in the journals for such rings. 0 or -errno with *err. */
int folder_reserve(struct device *dev, const struct ring_keys *keys, struct error *err);
int folder_load_connection(const struct device *dev, struct connection *out);
int folder_save_connection(struct device *dev, struct error *err); /* dev->conn */
int folder_empty_journals(struct device *dev);
int folder_drop_connection(struct device *dev); /* and empties the journals */
void folder_drop_lost(struct device *dev); /* what the guest had to be told, see storage/lost.h */
/* dev->incoming, for the next supervisor. */
int folder_incoming(struct device *dev); /* 1, 0 or -errno */
void folder_set_incoming(struct device *dev, bool incoming);
/* Whether there is a journal of each of n queues. */
int folder_has_journals(struct device *dev, unsigned n); /* 1, 0 or -errno */
/* What is open: what the keys said when it was opened. */
void folder_save_source(struct device *dev); /* dev->source */
int folder_load_source(const struct device *dev, struct source *out);

/* status.c */
struct json_t;
struct json_t *status_json(struct device *dev);
struct json_t *stats_json(struct device *dev);

#endif
