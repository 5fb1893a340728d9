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
#include "storage/parcel.h"
#include "worker/inherited.h"
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
	bool fencing; /* atomic */
	int parcel;   /* of the claim, if we made it, which is news for the supervisor; else -1 */
	struct storage_identity identity;
	struct error note; /* about an image that is open; or "" */
	struct storage *storage;
	int rc;
	struct error err;
};

/* A disk whose claim nobody can keep is not served: it would be anybody's once this worker is dead.
 */
static int pack_claim(struct opening *o)
{
	int rc = parcel_make(o->spec.fd);

	if (rc >= 0) {
		o->parcel = rc;
		return 0;
	}
	storage_close(o->storage);
	o->storage = NULL;
	return error_set(&o->err, rc, "the claim of image %.200s cannot be kept: %s",
	                 o->spec.target.path, error_name(rc));
}

static int open_claimed(struct opening *o)
{
	bool file = o->spec.target.engine == STORAGE_FILE;
	bool ours = false;
	int rc = 0;

	if (file && o->spec.fd < 0) {
		rc = claim_take(&o->claim, &o->spec.fd, &o->err);
		ours = !rc;
	} else if (file) {
		/* Whoever kept it may have had it from a worker that was taken over. */
		rc = claim_again(o->spec.fd, &o->claim, &o->err);
	}
	if (!rc && file && (rc = claim_identify(o->spec.fd, &o->identity)))
		error_set(&o->err, rc, "image %.200s: %s; check its storage", o->spec.target.path,
		          error_name(rc));
	if (!rc)
		rc = storage_open(&o->spec, &o->storage, &o->err);
	if (!rc && file && !ours)
		claim_check_name(o->spec.fd, o->spec.target.path, &o->note);
	if (!rc && ours)
		rc = pack_claim(o);
	/* Here, where it may wait for its file system. */
	if (o->spec.fd >= 0)
		close(o->spec.fd);
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
	o->parcel = -1;
	o->spec = (struct storage_spec){
	    .target = m->target,
	    .fd = fd,
	    .readonly = m->readonly,
	    .shared = m->shared,
	    .owner = m->owner,
	    .after_death = m->after_death,
	    .lost = &w->lost,
	    .fencing = &o->fencing,
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
 * disk writable. fd: the parcel's. A descriptor, or -errno. */
static int open_claim(const struct wm_open *m, int fd, struct error *err)
{
	int claim = parcel_open(fd);

	if (claim < 0)
		return error_set(err, claim,
		                 "the image's descriptor did not arrive: %s; raise the limit of "
		                 "open files, or detach the disk",
		                 error_name(claim));
	if (claim_has_mode(claim, m->readonly))
		return claim;
	close(claim);
	return error_set(err, -EINVAL,
	                 "the image's claim is not open as a %s disk's must be; detach the disk, "
	                 "then attach it again",
	                 m->readonly ? "read-only" : "writable");
}

int image_open(struct worker *w, const struct wm_open *m, int fd, struct error *err)
{
	int claim = -1, rc = 0;
	struct opening *o;

	if (w->storage || w->opening)
		return error_set(err, -EBUSY, "an image is open already");
	/* Sooner than when a guest connects, for then nobody waits for the reason. */
	rc = uring_check(err);
	if (!rc && m->has_claim) {
		claim = open_claim(m, fd, err);
		rc = claim < 0 ? claim : 0;
	}
	if (rc)
		return rc;
	o = calloc(1, sizeof *o);
	if (o) {
		specify(w, o, m, claim);
		w->opening = o;
		rc = -pthread_create(&o->thread, NULL, open_thread, o);
	}
	if (o && !rc)
		return 0;
	if (claim >= 0)
		close(claim);
	w->opening = NULL;
	free(o);
	return rc ? error_set(err, rc, "cannot start a thread: %s", error_name(rc))
	          : error_set(err, -ENOMEM, "out of memory");
}

bool image_waits_for_fence(const struct worker *w)
{
	return w->opening && __atomic_load_n(&w->opening->fencing, __ATOMIC_RELAXED);
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
	if (o->parcel < 0)
		return;
	w->claim = o->parcel;
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
	inherited_lower_files();
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
