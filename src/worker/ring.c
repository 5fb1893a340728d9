/* SPDX-License-Identifier: MIT */
/* Connecting the rings to the open image, and parting them. */
#include "worker/ring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "blkif/ring.h"
#include "storage/parcel.h"
#include "worker/report.h"
#include "worker/sandbox.h"
#include "worker/stats_text.h"

#define MEMORY_SPARE (4u << 20) /* of the control thread */

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

int ring_check(struct worker *w, const struct wm_connect *m, int fd, struct error *err)
{
	struct parcel_label label;
	struct blkif_ring ring;
	int rc;

	if (!m->nr_queues)
		return 0;
	/* Overwritten when the image is opened. */
	w->image = (struct storage_identity){0};
	if (fd >= 0 && (rc = parcel_read(fd, &label)))
		return error_set(err, rc, "cannot tell which image the disk has: %s",
		                 error_name(rc));
	if (fd >= 0)
		w->image = label.identity;
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
	/* The image is the only file that it can write to. Devices know no such limit. */
	uint64_t size = w->readonly ? 0 : storage_size(w->storage);
	return rc ? rc : sandbox_seal(memory_needed(w, m), size, err);
}

int ring_connect(struct worker *w, const struct wm_connect *m, struct error *err)
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
		ring_disconnect(w, m->resume);
		return rc;
	}
	w->connected = *m;
	w->connected.guest_uuid[sizeof w->connected.guest_uuid - 1] = '\0';
	w->generation = m->generation;
	log_info("mapped the rings: %u queue%s of %u page%s, %s", m->nr_queues,
	         m->nr_queues > 1 ? "s" : "", 1u << m->order, m->order ? "s" : "",
	         blkif_protocol_name((enum blkif_protocol)m->protocol));
	return 0;
}

void ring_disconnect(struct worker *w, bool keep_journal)
{
	for (unsigned i = 0; i < w->nr_queues; i++)
		queue_stop_soon(w->queue[i]);
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
		report_trouble(w);
	}
	if (keep_journal)
		w->generation = 0;
	w->nr_queues = 0;
}
