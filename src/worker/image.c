/* SPDX-License-Identifier: MIT */
/* Opening the image, which may wait for others; then the sandbox. */
#include "worker/image.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/uring.h"
#include "storage/claim.h"
#include "storage/engines.h"
#include "worker/peer.h"
#include "worker/ring.h"
#include "worker/sandbox.h"

/* An image on its way. Owned by the thread until it has written to w->opened, then by the main
 * thread. */
struct opening {
	pthread_t thread;
	int done_fd;
	struct claim_spec claim;
	struct storage_spec spec;
	bool claimed; /* by us: the claim is news for the supervisor */
	struct storage_identity identity;
	struct error note; /* about an image that is open; or "" */
	struct storage *storage;
	int rc;
	struct error err;
};

static int open_claimed(struct opening *o)
{
	bool file = o->spec.target.engine == STORAGE_FILE;
	int rc = 0;

	if (file && o->spec.fd < 0) {
		rc = claim_take(&o->claim, &o->spec.fd, &o->err);
		o->claimed = !rc;
	}
	if (!rc && file && (rc = claim_identify(o->spec.fd, &o->identity)))
		error_set(&o->err, rc, "image %.200s: %s; check its storage", o->spec.target.path,
		          error_name(rc));
	if (!rc)
		rc = storage_open(&o->spec, &o->storage, &o->err);
	if (!rc && file && !o->claimed)
		claim_check_name(o->spec.fd, o->spec.target.path, &o->note);
	return rc;
}

static void *open_thread(void *arg)
{
	struct opening *o = arg;
	uint64_t one = 1;

	o->rc = open_claimed(o);
	/* Cannot fail; and if it did, the supervisor would end this worker in time. */
	if (write(o->done_fd, &one, sizeof one) < 0)
		log_error("cannot tell that the image is open: %s", error_name(errno));
	return NULL;
}

static void specify(struct worker *w, struct opening *o, const struct wm_open *m, int fd)
{
	o->done_fd = w->opened.fd;
	o->spec = (struct storage_spec){
	    .target = m->target,
	    .fd = fd,
	    .readonly = m->readonly,
	    .shared = m->shared,
	    .owner = m->owner,
	    .after_death = m->after_death,
	    .lost = &w->lost,
	};
	o->spec.target.path[sizeof o->spec.target.path - 1] = 0;
	o->spec.target.fault[sizeof o->spec.target.fault - 1] = 0;
	o->claim = (struct claim_spec){
	    .target = &o->spec.target,
	    .expected = m->expected,
	    .readonly = m->readonly,
	    .shared = m->shared,
	    .emulated = m->emulated,
	    .owner = m->owner,
	    .wait = m->wait_owner,
	};
}

/* The claim that came along. What the supervisor says is checked, too: nobody's word alone makes a
 * disk writable. */
static int check_claim(const struct wm_open *m, int fd, struct error *err)
{
	if (fd < 0)
		return error_set(err, -EMFILE,
		                 "the image's descriptor did not arrive; raise the "
		                 "limit of open files");
	if (claim_has_mode(fd, m->readonly))
		return 0;
	return error_set(err, -EINVAL,
	                 "the image's claim is not open as a %s disk's must be; detach the disk, "
	                 "then attach it again",
	                 m->readonly ? "read-only" : "writable");
}

int image_open(struct worker *w, const struct wm_open *m, int *fd, struct error *err)
{
	struct opening *o;
	int rc;

	if (w->storage || w->opening)
		return error_set(err, -EBUSY, "an image is open already");
	rc = m->has_claim ? check_claim(m, *fd, err) : 0;
	/* Sooner than when a guest connects, for then nobody waits for the reason. */
	if (!rc)
		rc = uring_check(err);
	if (rc)
		return rc;
	o = calloc(1, sizeof *o);
	if (!o)
		return error_set(err, -ENOMEM, "out of memory");
	specify(w, o, m, m->has_claim ? *fd : -1);
	w->opening = o;
	rc = -pthread_create(&o->thread, NULL, open_thread, o);
	if (rc) {
		w->opening = NULL;
		free(o);
		return error_set(err, rc, "cannot start a thread: %s", error_name(rc));
	}
	if (m->has_claim)
		*fd = -1;
	return 0;
}

static void keep(struct worker *w, const struct opening *o)
{
	w->storage = o->storage;
	w->readonly = o->spec.readonly;
	w->image_shared = o->spec.shared;
	w->image = o->identity;
}

/* To whom it belongs. The supervisor may die before it has read that, so we keep it for the next
 * one until a front end connects: who asks for that has it, and a guest must not find it here. */
static void pass_claim(struct worker *w, struct opening *o)
{
	if (o->rc || !o->claimed) {
		if (o->spec.fd >= 0)
			close(o->spec.fd);
		return;
	}
	w->claim = o->spec.fd;
	peer_pass_claim(w);
}

/* This thread, and all that it starts from now on: there is no other. */
static int confine(struct worker *w, struct error *err)
{
	struct sandbox s = {
	    .xen = xen_platform_paths(w->platform),
	    .net_fd = w->net_fd,
	};

	if (w->sandboxed)
		return 0;
	w->sandboxed = true;
	w->memory_used = sandbox_memory_used();
	int rc = sandbox_enter(&s, err);
	w->unfit = rc;
	if (w->net_fd >= 0)
		close(w->net_fd);
	w->net_fd = -1;
	return rc;
}

int image_opened(struct worker *w, struct storage_caps *caps, struct error *note, struct error *err)
{
	struct opening *o = w->opening;
	int rc = o->rc;

	w->opening = NULL;
	pthread_join(o->thread, NULL);
	if (rc)
		*err = o->err;
	else
		keep(w, o);
	/* Before the sandbox, which may not let us. */
	pass_claim(w, o);
	*note = o->note;
	free(o);
	if (rc)
		return rc;
	*caps = *storage_caps(w->storage);
	rc = files_own(&w->files, err);
	if (!rc)
		rc = confine(w, err);
	if (rc)
		image_close(w);
	return rc;
}

void image_close(struct worker *w)
{
	ring_disconnect(w, true);
	storage_close(w->storage);
	w->storage = NULL;
}
