/* SPDX-License-Identifier: MIT */
/* The worker's disk: opening the image, connecting and disconnecting the rings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/worker.h"

/* FNV-1a. */
static uint64_t hash(uint64_t h, const void *data, size_t n)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ byte[i]) * 0x100000001b3ull;
	return h;
}

/* A number of this disk's own among all that may share its image, on this machine or, over a
 * network file system, on another; the same for each of its workers. */
static uint64_t owner_number(const struct worker *w)
{
	uint64_t h = 0xcbf29ce484222325ull;
	char boot[64];
	struct stat st;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof boot);

	if (fd >= 0)
		close(fd);
	if (n > 0)
		h = hash(h, boot, (size_t)n);
	if (!stat(w->dir, &st)) {
		h = hash(h, &st.st_dev, sizeof st.st_dev);
		h = hash(h, &st.st_ino, sizeof st.st_ino);
	}
	return h >> 3 | 1;
}

int disk_open(struct worker *w, const struct wm_open *m, int fd, struct storage_caps *caps,
              struct error *err)
{
	struct storage_spec spec = {
	    .target = m->target,
	    .fd = m->has_fd ? fd : -1,
	    .readonly = m->readonly,
	    .shared = m->shared,
	    .owner = owner_number(w),
	    .wait_lock = m->wait_lock,
	};
	struct stat st = {0};
	int rc;

	if (w->storage)
		return error_set(err, -EBUSY, "an image is open already");
	spec.target.path[sizeof spec.target.path - 1] = 0;
	spec.target.fault[sizeof spec.target.fault - 1] = 0;
	if (m->has_fd && (fd < 0 || fstat(fd, &st)))
		return error_set(err, -EBADF, "the image's descriptor did not arrive");
	rc = storage_open(&spec, &w->storage, err);
	if (rc)
		return rc;
	w->readonly = m->readonly;
	w->image_dev = st.st_dev;
	w->image_ino = st.st_ino;
	*caps = *storage_caps(w->storage);
	/* The node of a device stays when another disk is put behind it. */
	if (caps->diskseq) {
		w->image_dev = st.st_rdev;
		w->image_ino = caps->diskseq;
	}
	if (!w->sandboxed) {
		rc = sandbox_enter(w->dir, err);
		if (rc) {
			disk_close(w);
			return rc;
		}
		w->sandboxed = true;
	}
	return 0;
}

/* What the front end was told, hence what it may do. */
static struct blkif_limits limits_of(const struct worker *w, const struct wm_connect *m)
{
	const struct storage_caps *c = storage_caps(w->storage);

	return (struct blkif_limits){
	    .sectors = c->size >> BLKIF_SECTOR_SHIFT,
	    .sector_size = c->logical_block,
	    .readonly = w->readonly || c->readonly,
	    .flush = m->flush,
	    .barrier = m->barrier,
	    .discard = m->discard,
	    .discard_secure = m->discard_secure,
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
	id.image_dev = w->image_dev;
	id.image_ino = w->image_ino;
	return id;
}

static int connect_queue(struct worker *w, const struct wm_connect *m, unsigned i,
                         struct error *err)
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
	    .resume = m->resume,
	    .fault_epoch = m->fault_epoch,
	    .platform = w->platform,
	    .storage = w->storage,
	    .stats = &w->stats->queue[i],
	    .notice_fd = w->notice.fd,
	    .stats_timer_fd = w->stats_timer.fd,
	    .stats_armed = &w->stats_armed,
	};

	snprintf(c.thread_name, sizeof c.thread_name, "%u.%s-%u", w->domid, vdev ? vdev + 1 : "?",
	         i);
	snprintf(c.journal_path, sizeof c.journal_path, "%s/journal-%u", w->dir, i);
	return queue_new(&c, &w->queue[i], err);
}

int disk_connect(struct worker *w, const struct wm_connect *m, struct error *err)
{
	int rc = 0;

	if (!w->storage)
		return error_set(err, -EINVAL, "no image is open");
	if (m->order > 4 || m->nr_queues < 1 || m->nr_queues > WM_MAX_QUEUES ||
	    (m->protocol != BLKIF_PROTO_X86_32 && m->protocol != BLKIF_PROTO_X86_64))
		return error_set(err, -EINVAL,
		                 "ring order %u, %u queues, protocol %u: not supported", m->order,
		                 m->nr_queues, m->protocol);
	disk_disconnect(w, false);
	w->stop_reported = false;
	for (; w->nr_queues < m->nr_queues && !rc; w->nr_queues++) {
		rc = connect_queue(w, m, w->nr_queues, err);
		if (rc)
			break;
		rc = queue_start(w->queue[w->nr_queues], err);
	}
	if (rc)
		disk_disconnect(w, m->resume);
	else
		log_info("connected: %u queue%s of %u page%s, %s", m->nr_queues,
		         m->nr_queues > 1 ? "s" : "", 1u << m->order, m->order ? "s" : "",
		         blkif_protocol_name((enum blkif_protocol)m->protocol));
	return rc;
}

void disk_disconnect(struct worker *w, bool keep_journal)
{
	for (unsigned i = 0; i < w->nr_queues; i++)
		queue_stop(w->queue[i]);
	for (unsigned i = 0; i < w->nr_queues; i++) {
		queue_free(w->queue[i], keep_journal);
		w->queue[i] = NULL;
	}
	if (w->nr_queues)
		stats_text_write(w);
	w->nr_queues = 0;
}

void disk_close(struct worker *w)
{
	disk_disconnect(w, true);
	storage_close(w->storage);
	w->storage = NULL;
}
