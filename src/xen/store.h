/* SPDX-License-Identifier: MIT */
/*
 * Typed access to xenstore over libxenstore: -errno instead of errno, strict numbers, transactions.
 * A store and all that hangs on it belong to one thread. Paths are absolute unless said otherwise.
 */
#ifndef XEN_STORE_H
#define XEN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xenstore.h>

#include "base/error.h"

#define STORE_PATH_MAX 256   /* longest path we build or follow, with the NUL */
#define STORE_VALUE_MAX 1024 /* longest value we accept, with the NUL; longer is -EMSGSIZE */
/* Of a transaction that conflicts, before whoever wanted it does something else first. Each costs a
 * few round trips for which all disks wait, and who conflicts on purpose does so each time. */
#define STORE_TRIES 5

struct store;

/* enum xenbus_state of xen/io/xenbus.h, as plain numbers. 0: node absent or not a number 1..8. */
enum xenbus_state_nr {
	XS_UNKNOWN = 0,
	XS_INITIALISING = 1,
	XS_INITWAIT = 2,
	XS_INITIALISED = 3,
	XS_CONNECTED = 4,
	XS_CLOSING = 5,
	XS_CLOSED = 6,
	XS_RECONFIGURING = 7,
	XS_RECONFIGURED = 8,
};
const char *xenbus_state_name(int state); /* "InitWait" …; "Unknown" for anything else */

/* socket_path: from xen_platform_store_path (NULL: libxenstore's default). 0 or -errno. */
int store_open(const char *socket_path, struct store **out, struct error *err);
void store_close(struct store *s);           /* NULL is fine */
uint64_t store_calls(const struct store *s); /* round trips to xenstored so far */

/* t: a transaction of store_begin, or XBT_NULL.
 * dir and name are joined with '/'; name NULL means dir itself. */

/* Value as a C string in buf. Length, or -ENOENT (absent), -EMSGSIZE (does not fit cap with its
 * NUL), -EINVAL (contains a NUL), -EACCES … */
int store_read(struct store *s, xs_transaction_t t, const char *dir, const char *name, char *buf,
               size_t cap);
/* Decimal within min..max. 0, -ENOENT, -EINVAL (no number), -ERANGE, -EMSGSIZE, … */
int store_read_u64(struct store *s, xs_transaction_t t, const char *dir, const char *name,
                   uint64_t min, uint64_t max, uint64_t *out);
/* Whether a read that returned rc, of these two or of store_list, tells nothing of the key: neither
 * what it is, be it nonsense, nor that there is none (nor that it is not ours to know: -EACCES).
 * What was known of it before still is, and it is to be read again. Any thread. */
bool store_unread(int rc);
/* xenbus state 1..8, or XS_UNKNOWN for whatever else is there, or nothing. Never fails. */
int store_read_state(struct store *s, xs_transaction_t t, const char *dir);
bool store_exists(struct store *s, xs_transaction_t t, const char *dir, const char *name);
int store_write(struct store *s, xs_transaction_t t, const char *dir, const char *name,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int store_mkdir(struct store *s, xs_transaction_t t, const char *path);
int store_rm(struct store *s, xs_transaction_t t, const char *dir,
             const char *name); /* absent: 0 */
/* owner gets all, others nothing, reader (if >= 0) may read. */
int store_set_perms(struct store *s, xs_transaction_t t, const char *path, unsigned owner,
                    int reader);
/* Names of the children: NULL-terminated array, one free() by the caller. *out NULL and -errno on
 * failure. */
int store_list(struct store *s, xs_transaction_t t, const char *path, char ***out, unsigned *n);

int store_begin(struct store *s, xs_transaction_t *t);
/* 0, -EAGAIN (conflict: do it all again), -errno. Aborts if !commit. */
int store_end(struct store *s, xs_transaction_t t, bool commit);

/*
 * Writes `to` into DIR/state only if it is `from` at that very moment (in one transaction;
 * conflicts are retried, STORE_TRIES in all). 0; -EAGAIN: they went on, try again later; -ESTALE:
 * it is another one now, nothing was written; -ENOENT: no such node any more (a deleted node is
 * never made anew); -errno.
 */
int store_state_cas(struct store *s, const char *dir, int from, int to);

int store_watch(struct store *s, const char *path, const char *token);
/* Events that came before may still be delivered afterwards: a token must not be a pointer. */
int store_unwatch(struct store *s, const char *path, const char *token);
/* From now on a thread of its own takes watch events as they come, and keeps a bounded number of
 * them: each once, and of a watch that has had very many only one, with an empty path: anything
 * below it may have changed. For who may be busy while guests write much.
 * It also logs when xenstored does not answer for seconds. 0 or -errno. */
int store_drain(struct store *s);
int store_fd(
    struct store *s); /* readable while watch events wait, and when the connection is gone */
/* One event: 1 with path and token copied (truncation impossible for paths we watch: longer ones
 * are cut), 0 if there is none, -errno if the connection is gone. Never blocks. */
int store_check_watch(struct store *s, char *path, size_t path_cap, char *token, size_t token_cap);

#endif
