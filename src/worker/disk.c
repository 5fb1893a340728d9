/* SPDX-License-Identifier: MIT */
/* The worker's disk: opening the image, connecting and disconnecting the rings. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "blkif/ring.h"
#include "disk/uring.h"
#include "storage/claim.h"
#include "worker/worker.h"

#define MEMORY_SPARE (4u << 20) /* of the control thread */

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

static void opened_ready(struct loop_fd *lfd, uint32_t events)
{
	uint64_t count;

	if (read(lfd->fd, &count, sizeof count) > 0)
		session_opened(container_of(lfd, struct worker, opened));
}

int disk_init(struct worker *w)
{
	w->opened =
	    (struct loop_fd){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = opened_ready};
	w->lost.word = w->files.lost;
	return w->opened.fd < 0 ? -errno : loop_add(&w->loop, &w->opened, EPOLLIN);
}

int disk_open(struct worker *w, const struct wm_open *m, int *fd, struct error *err)
{
	struct opening *o;
	int rc;

	if (w->storage || w->opening)
		return error_set(err, -EBUSY, "an image is open already");
	/* Sooner than when a guest connects, for then nobody waits for the reason. */
	rc = uring_check(err);
	if (rc)
		return rc;
	o = calloc(1, sizeof *o);
	if (!o)
		return error_set(err, -ENOMEM, "out of memory");
	o->done_fd = w->opened.fd;
	o->spec = (struct storage_spec){
	    .target = m->target,
	    .fd = m->has_claim ? *fd : -1,
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
	if (m->has_claim && *fd < 0) {
		free(o);
		return error_set(err, -EMFILE,
		                 "the image's descriptor did not arrive; raise the "
		                 "limit of open files");
	}
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

static void opened(struct worker *w, const struct opening *o)
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
	session_pass_claim(w);
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

int disk_opened(struct worker *w, struct storage_caps *caps, struct error *note, struct error *err)
{
	struct opening *o = w->opening;
	int rc = o->rc;

	w->opening = NULL;
	pthread_join(o->thread, NULL);
	if (rc)
		*err = o->err;
	else
		opened(w, o);
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
		disk_close(w);
	return rc;
}

/* What the front end was told, hence what it may do. */
static struct blkif_limits limits_of(const struct worker *w, const struct wm_connect *m)
{
	const struct storage_caps *c = storage_caps(w->storage);

	return (struct blkif_limits){
	    .sector_size = m->sector_size,
	    .sector_shift = m->sector_shift,
	    .segment_shift = m->segment_shift,
	    .readonly = w->readonly || c->readonly,
	    .flush = m->flush,
	    .barrier = m->barrier,
	    .discard = m->discard,
	    .discard_secure = m->discard_secure,
	    .indirect_segments = m->indirect_segments < BLKIF_MAX_INDIRECT_SEGS
	                             ? m->indirect_segments
	                             : BLKIF_MAX_INDIRECT_SEGS,
	};
}

static struct journal_identity identity_of(const struct worker *w, const struct wm_connect *m,
                                           unsigned queue)
{
	struct journal_identity id;

	/* It is compared as bytes. */
	memset(&id, 0, sizeof id);
	id.domid = w->domid;
	id.devid = w->devid;
	snprintf(id.guest_uuid, sizeof id.guest_uuid, "%.36s", m->guest_uuid);
	id.protocol = m->protocol;
	id.order = m->order;
	id.queue = queue;
	id.port = m->queue[queue].port;
	memcpy(id.refs, m->queue[queue].refs, sizeof(uint32_t) << m->order);
	id.image_dev = w->image.dev;
	id.image_ino = w->image.ino;
	return id;
}

/* Where a suspect ran alone, it did it, and not what another queue had in hand. */
static unsigned suspects(const struct worker *w, const struct wm_connect *m)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < m->nr_queues && m->resume; i++)
		if (journal_names_suspect(w->files.journal[i]))
			mask |= 1u << i;
	return mask;
}

static int open_queue(struct worker *w, const struct wm_connect *m, unsigned i,
                      uint64_t fault_epoch, struct error *err)
{
	const char *vdev = strchr(w->name, ':');
	struct queue_config c = {
	    .index = i,
	    .domid = (uint16_t)w->domid,
	    .protocol = (enum blkif_protocol)m->protocol,
	    .order = m->order,
	    .wire = m->queue[i],
	    .limits = limits_of(w, m),
	    .identity = identity_of(w, m, i),
	    .persistent_grants = m->persistent_grants,
	    .persistent_idle_ns = m->persistent_idle_seconds * NS_PER_S,
	    .resume = m->resume,
	    .fault_epoch = fault_epoch,
	    .platform = w->platform,
	    .storage = w->storage,
	    .shared = &w->shared,
	    .journal = w->files.journal[i],
	    .stats = &w->files.stats->queue[i],
	    .notice_fd = w->notice.fd,
	    .stats_timer_fd = w->stats_timer.fd,
	    .stats_armed = &w->stats_armed,
	};

	snprintf(c.thread_name, sizeof c.thread_name, "%u.%s-%u", w->domid, vdev ? vdev + 1 : "?",
	         i);
	return queue_open(&c, &w->queue[i], err);
}

/* A write of less than a block is a read, a change and a write: the queues of one disk take turns
 * at that, but disks that share a device know nothing of each other, and one's old copy of a block
 * would undo what the other had written beside it. */
static int check_turns(const struct worker *w, const struct wm_connect *m, struct error *err)
{
	uint32_t block = storage_caps(w->storage)->logical_block;

	if (!w->image_shared || w->readonly || m->sector_size >= block)
		return 0;
	return error_set(err, -EINVAL,
	                 "mode w! shares a device that has blocks of %u bytes, and writers that "
	                 "are shown sectors of %u could lose each other's data in one block; set "
	                 "sector-size to %u, or attach the disk with mode w",
	                 block, m->sector_size, block);
}

static int supported(const struct wm_connect *m, struct error *err)
{
	if (m->order > 4 || m->nr_queues < 1 || m->nr_queues > WM_MAX_QUEUES ||
	    (m->protocol != BLKIF_PROTO_X86_32 && m->protocol != BLKIF_PROTO_X86_64))
		return error_set(err, -EINVAL,
		                 "ring order %u, %u queues, protocol %u: not supported", m->order,
		                 m->nr_queues, m->protocol);
	if ((m->sector_size != 512 && m->sector_size != 1024 && m->sector_size != 2048 &&
	     m->sector_size != 4096) ||
	    512u << m->sector_shift > m->sector_size || 512u << m->segment_shift > m->sector_size)
		return error_set(err, -EINVAL, "sectors of %u bytes: not supported",
		                 m->sector_size);
	return 0;
}

int disk_check(struct worker *w, const struct wm_connect *m, int fd, struct error *err)
{
	struct blkif_ring ring;
	int rc;

	if (!m->nr_queues)
		return 0;
	/* Overwritten when the image is opened. */
	w->image = (struct storage_identity){0};
	if (fd >= 0 && (rc = claim_identify(fd, &w->image)))
		return error_set(err, rc, "cannot look at the image: %s", error_name(rc));
	rc = supported(m, err);
	for (unsigned i = 0; i < m->nr_queues && !rc; i++) {
		struct journal_identity id = identity_of(w, m, i);
		blkif_ring_attach(&ring, NULL, m->order, (enum blkif_protocol)m->protocol);
		rc = journal_check(w->files.journal[i], &id, ring.slots, err);
	}
	return rc;
}

/* Bytes: by far enough for a disk that is used to the full (tests/integration/test_memory.c). */
static uint64_t memory_needed(const struct worker *w, const struct wm_connect *m)
{
	struct blkif_ring ring;

	blkif_ring_attach(&ring, NULL, m->order, (enum blkif_protocol)m->protocol);
	return w->memory_used + MEMORY_SPARE +
	       m->nr_queues * queue_memory(ring.slots, m->persistent_grants);
}

/* Of all queues, before anything of a guest is mapped: afterwards there are no new descriptors and
 * threads. */
static int open_queues(struct worker *w, const struct wm_connect *m, struct error *err)
{
	unsigned guilty = suspects(w, m);
	int rc = 0;

	for (unsigned i = 0; i < m->nr_queues && !rc; i++) {
		uint64_t epoch = guilty && !(guilty & 1u << i) ? 0 : m->fault_epoch;
		rc = open_queue(w, m, i, epoch, err);
		if (!rc)
			w->nr_queues++;
	}
	for (unsigned i = 0; i < w->nr_queues && !rc; i++)
		rc = queue_spawn(w->queue[i], err);
	return rc ? rc : sandbox_seal(memory_needed(w, m), err);
}

int disk_connect(struct worker *w, const struct wm_connect *m, struct error *err)
{
	int rc;

	if (!w->storage)
		return error_set(err, -EINVAL, "no image is open");
	if (w->used)
		return error_set(err, -EALREADY,
		                 "this worker was connected before: a worker "
		                 "serves one connection");
	rc = supported(m, err);
	if (!rc)
		rc = check_turns(w, m, err);
	if (rc)
		return rc;
	w->used = true;
	if (w->claim >= 0)
		close(w->claim);
	w->claim = -1;
	shared_init(&w->shared);
	if (!m->resume)
		lost_renew(&w->lost);
	rc = open_queues(w, m, err);
	for (unsigned i = 0; i < w->nr_queues && !rc; i++)
		rc = queue_attach(w->queue[i], err);
	/* All of them are sound before the first one does anything. */
	for (unsigned i = 0; i < w->nr_queues && !rc; i++)
		queue_start(w->queue[i]);
	if (rc) {
		disk_disconnect(w, m->resume);
		return rc;
	}
	w->connected = *m;
	w->connected.guest_uuid[sizeof w->connected.guest_uuid - 1] = '\0';
	w->generation = m->generation;
	log_info("connected: %u queue%s of %u page%s, %s", m->nr_queues,
	         m->nr_queues > 1 ? "s" : "", 1u << m->order, m->order ? "s" : "",
	         blkif_protocol_name((enum blkif_protocol)m->protocol));
	return 0;
}

void disk_disconnect(struct worker *w, bool keep_journal)
{
	for (unsigned i = 0; i < w->nr_queues; i++)
		queue_stop(w->queue[i]);
	for (unsigned i = 0; i < w->nr_queues; i++) {
		struct queue *q = w->queue[i];
		/* First: a fault from now on finds no journal to note itself in. */
		w->queue[i] = NULL;
		queue_free(q, keep_journal);
	}
	if (w->nr_queues && !keep_journal)
		lost_forget(&w->lost);
	if (w->nr_queues) {
		stats_text_write(w);
		/* No guest is troubled by it any more. */
		trouble_init(&w->shared.trouble);
		trouble_report(w);
	}
	if (keep_journal)
		w->generation = 0;
	w->nr_queues = 0;
}

void disk_close(struct worker *w)
{
	disk_disconnect(w, true);
	storage_close(w->storage);
	w->storage = NULL;
}
