/* SPDX-License-Identifier: MIT */
/* attach and detach as a whole, and the hotplug script's part between InitWait and an open image.
 */
#include "ctl/toolstack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/steps.h"

#define POLL_MS 20
#define ANSWER_MS \
	5000 /* of one answer while something is awaited: libxl kills scripts after 40 s */

/* Owned by one call. */
struct open_wait {
	const char *id, *dir;
	json_t *status; /* the last answer */
	struct error *err;
	struct error said; /* why it takes long, as of the last try */
	bool known;
};

static const char *member(json_t *status, const char *key)
{
	return json_string_value(json_object_get(status, key));
}

/* The user who waits wants to know for what. */
static void told(struct toolstack *ts, struct open_wait *w, const char *why)
{
	if (ts->waits && strcmp(why, w->said.text))
		ts->waits(w->id, why);
	error_set(&w->said, 0, "%s", why);
}

/* 1: the image is open, or will be once a migration is done. -EREMOTEIO: it will not be, *err says
 * why. */
static int check_open(struct toolstack *ts, void *arg)
{
	struct open_wait *w = arg;
	json_t *status;
	int state = store_read_state(ts->store, XBT_NULL, w->dir);
	int rc = control_request(ts->run_dir, "status", w->id, ANSWER_MS, &status, w->err);

	if (control_unheard(rc)) {
		/* Another supervisor learns of the device a little later, too. */
		w->known = false;
		told(ts, w, w->err->text);
		return 0;
	}
	/* It hears of the device a little later than we; later on "unknown" is an end. */
	if (rc == -EREMOTEIO && !w->known && state != XS_UNKNOWN)
		return 0;
	if (rc)
		return rc;
	w->known = true;
	json_decref(w->status);
	w->status = status;

	const char *image = member(status, "image_state") ?: "";
	const char *why = member(status, "error") ?: member(status, "warning") ?: "";
	/* Migration: the sending host gives the guest up, and with it the image, only after this
	 * one has taken it in. */
	if (!strcmp(image, "open") || json_is_true(json_object_get(status, "awaits_handover")))
		return 1;
	if (!strcmp(image, "failed") || state == XS_UNKNOWN || state >= XS_CLOSING)
		return *why ? error_set(w->err, -EREMOTEIO, "%s", why)
		            : error_set(w->err, -EREMOTEIO, "the back end's state is %s",
		                        xenbus_state_name(state));
	told(ts, w, why);
	return 0;
}

static int wait_open(struct toolstack *ts, struct open_wait *w, unsigned ms)
{
	struct toolstack_wait wait = {
	    .path = w->dir, .ms = ms, .poll_ms = POLL_MS, .check = check_open, .arg = w};
	int rc = toolstack_wait(ts, &wait);

	if (rc == -ETIMEDOUT)
		error_set(w->err, rc, "xenblkd did not open the image within %u s: %s", ms / 1000,
		          w->said.text[0] ? w->said.text : "its storage does not answer");
	else if (rc == -EINTR)
		error_set(w->err, rc, "interrupted");
	else if (rc && !w->err->text[0])
		error_set(w->err, rc, "xenstore: %s", error_name(rc));
	return rc;
}

/* Owned by one call: a few keys to write into a device directory that must be there still. */
struct keys {
	const char *dir;
	const char *key[2], *value[2];
};

static int write_keys(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	const struct keys *k = arg;
	int rc = 0;

	if (!store_exists(ts->store, t, k->dir, "state"))
		return -ENOENT;
	for (int i = 0; !rc && i < 2 && k->key[i]; i++)
		rc = store_write(ts->store, t, k->dir, k->key[i], "%s", k->value[i]);
	return rc;
}

static int script_writes(struct toolstack *ts, struct keys *k, struct error *err)
{
	int rc = toolstack_transaction(ts, write_keys, k);

	return rc ? error_set(err, rc, "cannot write %s/%s: %s; " STORE_REMEDY, k->dir, k->key[0],
	                      error_name(rc))
	          : 0;
}

/* What tells the back end that it may open now. */
static int script_begins(struct toolstack *ts, const struct toolstack_disk *disk, const char *dir,
                         struct error *err)
{
	struct keys k = {.dir = dir, .key = {"hotplug-status"}, .value = {"connected"}};

	if (disk->target[0] == '/') {
		k.key[0] = "physical-device-path";
		k.value[0] = disk->target;
	}
	return script_writes(ts, &k, err);
}

static int script_ends(struct toolstack *ts, const char *dir, int rc, struct error *err)
{
	struct keys good = {.dir = dir, .key = {"hotplug-status"}, .value = {"connected"}};
	struct keys bad = {
	    .dir = dir, .key = {"hotplug-error", "hotplug-status"}, .value = {err->text, "error"}};

	return script_writes(ts, rc ? &bad : &good, rc ? NULL : err);
}

int toolstack_hotplug(struct toolstack *ts, const struct toolstack_disk *disk, unsigned open_ms,
                      json_t **status, struct error *err)
{
	struct error local = {""};
	char id[TOOLSTACK_ID_MAX];
	struct toolstack_paths p;
	struct open_wait w = {.id = id, .dir = p.back, .err = &local};
	int rc = 0;

	toolstack_id(disk->domid, disk->devid, id);
	toolstack_own_paths(ts, disk->kind, disk->domid, disk->devid, &p);
	if (!disk->no_script)
		rc = script_begins(ts, disk, p.back, &local);
	if (!rc) {
		rc = wait_open(ts, &w, open_ms);
		/* Once the image is open, the reasons for having waited are not errors. */
		if (!rc)
			local.text[0] = '\0';
		if (!disk->no_script) {
			int ended = script_ends(ts, p.back, rc, &local);
			rc = rc ? rc : ended;
		}
	}
	if (rc)
		error_set(err, rc, "%s", local.text);
	if (!rc && status)
		*status = json_incref(w.status);
	json_decref(w.status);
	return rc;
}

/* Closed within libxl's limit, or not: its nodes go in either case, as with libxl. */
static void undo(struct toolstack *ts, const struct toolstack_disk *disk)
{
	int cancel_fd = ts->cancel_fd;

	ts->cancel_fd = -1; /* it may be why we are here */
	if (!toolstack_offline(ts, disk->domid, disk->devid, NULL))
		toolstack_wait_state(ts, disk->domid, disk->devid, XS_CLOSED, TOOLSTACK_DESTROY_MS,
		                     NULL);
	toolstack_remove_nodes(ts, disk->domid, disk->devid, NULL);
	ts->cancel_fd = cancel_fd;
}

/* Before anything is written: without it, every wait would end in a time-out that says less. */
static int daemon_runs(struct toolstack *ts, struct error *err)
{
	json_t *result;
	int rc = control_request(ts->run_dir, "version", NULL, CONTROL_TIMEOUT_MS, &result, err);

	json_decref(result);
	return rc;
}

int toolstack_attach(struct toolstack *ts, const struct toolstack_disk *disk, unsigned open_ms,
                     json_t **status, struct error *err)
{
	struct error why = {""};
	char id[TOOLSTACK_ID_MAX];
	int rc = daemon_runs(ts, err);

	if (rc)
		return rc;
	rc = toolstack_domain_create(ts, disk->domid, true, err);
	if (rc)
		return rc;
	rc = toolstack_add_nodes(ts, disk, err);
	if (rc)
		goto out;
	rc = toolstack_wait_state(ts, disk->domid, disk->devid, XS_INITWAIT, TOOLSTACK_INIT_MS,
	                          &why);
	if (!rc)
		rc = toolstack_hotplug(ts, disk, open_ms, status, &why);
	if (rc) {
		undo(ts, disk);
		toolstack_id(disk->domid, disk->devid, id);
		error_set(err, rc, "cannot attach %s: %s", id, why.text);
	}
out:
	if (rc)
		toolstack_domain_tidy(ts, disk->domid, NULL);
	return rc;
}

/* ---- detach ---- */

static int remove_front(struct toolstack *ts, xs_transaction_t t, void *arg)
{
	return store_rm(ts->store, t, arg, NULL);
}

/* Owned by one call. */
struct release_wait {
	const char *id;
	bool whole; /* the device is to be gone, not its image alone */
	struct error why;
};

/* The image is closed, or the device unknown. While xenblkd is dead its worker and its holder live
 * on, and only the next xenblkd says when they have let go. */
static int check_released(struct toolstack *ts, void *arg)
{
	struct release_wait *w = arg;
	json_t *status;
	int rc = control_request(ts->run_dir, "status", w->id, ANSWER_MS, &status, &w->why);
	const char *image = rc ? "none" : member(status, "image_state") ?: "";
	bool released =
	    (!strcmp(image, "closed") || !strcmp(image, "none") || !strcmp(image, "failed")) &&
	    !(status && json_is_true(json_object_get(status, "image_held")));

	json_decref(status);
	if (control_unheard(rc))
		return 0;
	w->why.text[0] = '\0';
	return w->whole ? rc != 0 : released;
}

static int wait_released(struct toolstack *ts, const char *dir, struct release_wait *w)
{
	return toolstack_wait(ts, &(struct toolstack_wait){.path = dir,
	                                                   .ms = TOOLSTACK_DESTROY_MS,
	                                                   .poll_ms = POLL_MS,
	                                                   .check = check_released,
	                                                   .arg = w});
}

int toolstack_released(struct toolstack *ts, const char *kind, unsigned domid, uint32_t devid,
                       struct error *err)
{
	char id[TOOLSTACK_ID_MAX];
	struct toolstack_paths p;
	struct release_wait w = {.id = id};

	toolstack_id(domid, devid, id);
	toolstack_own_paths(ts, kind, domid, devid, &p);
	int rc = wait_released(ts, p.back, &w);
	if (!rc)
		return 0;
	if (w.why.text[0])
		return error_set(err, rc, "%s: its image may be in use still: %s", id, w.why.text);
	return error_set(err, rc,
	                 "%s: xenblkd still holds the image (%s): its storage does not finish "
	                 "the guest's requests, see `xenblkctl status %s`",
	                 id, error_name(rc), id);
}

static int wait_let_go(struct toolstack *ts, const char *dir, const char *id, struct error *err)
{
	struct release_wait w = {.id = id, .whole = true};
	int rc = wait_released(ts, dir, &w);

	if (!rc)
		return 0;
	if (w.why.text[0])
		return error_set(err, rc, "%s is detached, but its image may be in use still: %s",
		                 id, w.why.text);
	return error_set(err, rc,
	                 "%s is detached, but xenblkd still holds it (%s): see `xenblkctl "
	                 "status %s`",
	                 id, rc == -EINTR ? "interrupted" : error_name(rc), id);
}

/* Asks the back end to close. After it, the nodes may go. */
static int close_disk(struct toolstack *ts, unsigned domid, uint32_t devid, const char *id,
                      bool force, struct error *err)
{
	struct error why = {""};
	unsigned ms = TOOLSTACK_DESTROY_MS;
	int rc = daemon_runs(ts, &why);

	if (rc == -ENOENT || rc == -ECONNREFUSED) {
		/* No daemon will answer: say so now, not after libxl's ten seconds. */
		if (!force)
			return error_set(err, rc, "cannot detach %s: %s", id, why.text);
		ms = 0;
	}
	rc = toolstack_offline(ts, domid, devid, &why);
	if (!rc)
		rc = toolstack_wait_state(ts, domid, devid, XS_CLOSED, ms, &why);
	if (!rc || rc == -ENOENT || (force && rc != -EINTR))
		return 0;
	return error_set(
	    err, rc,
	    "cannot detach %s: %s; it is left closing: detach it again, or with --force, "
	    "which removes its nodes in any case",
	    id, why.text);
}

int toolstack_detach(struct toolstack *ts, unsigned domid, uint32_t devid, bool force,
                     struct error *err)
{
	char id[TOOLSTACK_ID_MAX];
	struct toolstack_paths p;
	int rc;

	toolstack_id(domid, devid, id);
	if (toolstack_find(ts, domid, devid, &p))
		return error_set(err, -ENOENT, "%s is not attached; see `xenblkctl list`", id);
	if (force)
		toolstack_transaction(ts, remove_front, p.front);
	rc = close_disk(ts, domid, devid, id, force, err);
	if (rc)
		return rc;
	rc = toolstack_remove_nodes(ts, domid, devid, err);
	if (rc)
		return rc;
	/* Forced: the nodes are gone, that is what was asked for. */
	if (!force)
		rc = wait_let_go(ts, p.back, id, err);
	else if (!daemon_runs(ts, NULL))
		wait_let_go(ts, p.back, id, NULL);
	if (rc)
		return rc;
	return toolstack_domain_tidy(ts, domid, err);
}
