/* SPDX-License-Identifier: MIT */
/* The xenstore side of the front end: keys, states, watches. */
#include "front/bus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/failure.h"
#include "front/front.h"

#define WATCH_TOKEN "backend-state"
#define MAX_CONFLICTS 100

static void state_path(const char *dir, char *path)
{
	snprintf(path, STORE_PATH_MAX, "%.*s/state", STORE_PATH_MAX - 8, dir);
}

/* Since the last look the toolstack may have removed the device and made it again elsewhere. */
static void forget_back(struct xenblkfront *f)
{
	char path[STORE_PATH_MAX];

	if (f->watching) {
		state_path(f->back, path);
		store_unwatch(f->store, path, WATCH_TOKEN);
		f->watching = false;
	}
	f->back[0] = 0;
}

int xbf_locate(struct xenblkfront *f)
{
	char back[STORE_PATH_MAX];
	uint64_t id;
	int rc;

	rc = store_read(f->store, XBT_NULL, f->front, "backend", back, sizeof back);
	if (rc == -ENOENT)
		return error_set(&f->err, -ENODEV,
		                 "no device %s in domain %u: attach one first: xenblkctl attach "
		                 "TARGET --domain %u --vdev %s",
		                 f->vdev, f->domid, f->domid, f->vdev);
	if (rc < 0)
		return xbf_fail(f, rc, "cannot read %s/backend: %s", f->front, error_name(rc));
	if (back[0] != '/')
		return xbf_fail(f, -EINVAL, "%s/backend is not a path: '%s'", f->front, back);
	rc = store_read_u64(f->store, XBT_NULL, f->front, "backend-id", 0, XEN_DOMID_MAX, &id);
	if (rc)
		return xbf_fail(f, rc, "cannot read %s/backend-id: %s", f->front, error_name(rc));
	if (strcmp(back, f->back)) {
		forget_back(f);
		memcpy(f->back, back, sizeof back);
	}
	f->back_domid = (uint16_t)id;
	return 0;
}

static int watch_back(struct xenblkfront *f)
{
	char path[STORE_PATH_MAX];
	int rc;

	if (f->watching)
		return 0;
	state_path(f->back, path);
	rc = store_watch(f->store, path, WATCH_TOKEN);
	if (rc)
		return xbf_fail(f, rc, "cannot watch %s: %s", path, error_name(rc));
	f->watching = true;
	return 0;
}

int xbf_drain_watches(struct xenblkfront *f)
{
	char path[STORE_PATH_MAX], token[32];
	int rc;

	while ((rc = store_check_watch(f->store, path, sizeof path, token, sizeof token)) > 0)
		;
	if (rc)
		return xbf_fail(f, rc, "lost the connection to xenstore: %s", error_name(rc));
	return 0;
}

static const char *mask_text(unsigned mask, char *buf, size_t cap)
{
	size_t n = 0;

	snprintf(buf, cap, "Unknown");
	/* Waiting for a back end to vanish is named only where nothing else is awaited. */
	for (int s = XS_INITIALISING; s <= XS_RECONFIGURED && n < cap; s++)
		if (mask & XBF_BIT(s))
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? " or " : "",
			                      xenbus_state_name(s));
	return buf;
}

int xbf_wait_state(struct xenblkfront *f, unsigned mask, uint64_t deadline)
{
	char wanted[160];
	int rc = watch_back(f);

	if (rc)
		return rc;
	for (;;) {
		/* Events first, then the value: a change after the read leaves a new event. */
		rc = xbf_drain_watches(f);
		if (rc)
			return rc;
		int state = store_read_state(f->store, XBT_NULL, f->back);
		f->back_state = state;
		if (mask & XBF_BIT(state))
			return state;
		int ms = xbf_ms_left(deadline);
		if (!ms)
			return xbf_fail(f, -ETIMEDOUT,
			                "the back end stays %s and does not become %s: is it "
			                "running? look at %s",
			                xenbus_state_name(state),
			                mask_text(mask, wanted, sizeof wanted), f->back);
		struct pollfd p = {.fd = store_fd(f->store), .events = POLLIN};
		poll(&p, 1, ms); /* time-out and EINTR: the loop looks again */
	}
}

int xbf_switch_state(struct xenblkfront *f, int state)
{
	int rc = -ESTALE;

	/* The toolstack may write the front end's state as well; this write wins. */
	for (int i = 0; i < MAX_CONFLICTS && rc == -ESTALE; i++) {
		int from = store_read_state(f->store, XBT_NULL, f->front);
		rc = store_state_cas(f->store, f->front, from, state);
	}
	if (rc == -ENOENT)
		return xbf_fail(f, rc, "the toolstack has removed the device");
	if (rc)
		return xbf_fail(f, rc, "cannot write %s into %s/state: %s",
		                xenbus_state_name(state), f->front, error_name(rc));
	return 0;
}

const char *xbf_back_says(struct xenblkfront *f, char *buf, size_t cap)
{
	char prefix[48], dir[STORE_PATH_MAX], text[STORE_VALUE_MAX];

	buf[0] = 0;
	snprintf(prefix, sizeof prefix, "/local/domain/%u/", f->back_domid);
	if (strncmp(f->back, prefix, strlen(prefix)))
		return buf;
	snprintf(dir, sizeof dir, "%serror/%.*s", prefix, STORE_PATH_MAX - 64,
	         f->back + strlen(prefix));
	if (store_read(f->store, XBT_NULL, dir, "error", text, sizeof text) > 0)
		snprintf(buf, cap, " (it says: %s)", text);
	return buf;
}

/* ---- what the back end says of the disk ---- */

static uint64_t back_number(struct xenblkfront *f, const char *key, uint64_t max, uint64_t missing)
{
	uint64_t v;

	return store_read_u64(f->store, XBT_NULL, f->back, key, 0, max, &v) ? missing : v;
}

static void text_key(struct xenblkfront *f, const char *dir, const char *key, char *buf, size_t cap)
{
	if (store_read(f->store, XBT_NULL, dir, key, buf, cap) < 0)
		buf[0] = 0;
}

unsigned xbf_max_queues(struct xenblkfront *f)
{
	return (unsigned)(back_number(f, "multi-queue-max-queues", UINT32_MAX, 1) ?: 1);
}

int xbf_read_info(struct xenblkfront *f, struct xenblkfront_info *out)
{
	struct xenblkfront_info i = {0};
	int rc = xbf_locate(f);

	if (rc)
		return rc;
	i.sectors = back_number(f, "sectors", UINT64_MAX >> BLKIF_SECTOR_SHIFT, 0);
	i.sector_size = (uint32_t)back_number(f, "sector-size", UINT32_MAX, 0);
	i.physical_sector_size =
	    (uint32_t)back_number(f, "physical-sector-size", UINT32_MAX, i.sector_size);
	i.info = (uint32_t)back_number(f, "info", UINT32_MAX, 0);
	i.flush = back_number(f, "feature-flush-cache", 1, 0);
	i.barrier = back_number(f, "feature-barrier", 1, 0);
	i.discard = back_number(f, "feature-discard", 1, 0);
	i.discard_secure = back_number(f, "discard-secure", 1, 0);
	i.persistent = back_number(f, "feature-persistent", 1, 0);
	if (i.discard) {
		i.discard_granularity =
		    (uint32_t)back_number(f, "discard-granularity", UINT32_MAX, i.sector_size);
		i.discard_alignment = (uint32_t)back_number(f, "discard-alignment", UINT32_MAX, 0);
	}
	i.max_ring_order = (uint32_t)back_number(f, "max-ring-page-order", UINT32_MAX, 0);
	i.max_queues = xbf_max_queues(f);
	i.max_indirect_segments =
	    (uint32_t)back_number(f, "feature-max-indirect-segments", UINT32_MAX, 0);
	text_key(f, f->back, "mode", i.mode, sizeof i.mode);
	text_key(f, f->front, "device-type", i.device_type, sizeof i.device_type);
	if (f->nr_queues) {
		i.queues = f->nr_queues;
		i.ring_slots = f->queue[0].ring.slots;
		snprintf(i.abi, sizeof i.abi, "%s",
		         f->proto == BLKIF_PROTO_X86_32 ? "x86_32" : "x86_64");
	}
	*out = i;
	return 0;
}

/* ---- the front end's keys ---- */

/* Names that an earlier driver in this guest may have left and that would contradict what this one
 * writes. */
static bool is_ring_key(const char *name)
{
	static const char *const whole[] = {"ring-page-order",    "event-channel",
	                                    "num-ring-pages",     "multi-queue-num-queues",
	                                    "feature-persistent", "protocol"};

	if (!strncmp(name, "ring-ref", 8) || !strncmp(name, "queue-", 6))
		return true;
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (!strcmp(name, whole[i]))
			return true;
	return false;
}

static int remove_old_keys(struct xenblkfront *f, xs_transaction_t t)
{
	char **names;
	unsigned n;
	int rc = store_list(f->store, t, f->front, &names, &n);

	if (rc)
		return rc;
	for (unsigned i = 0; i < n && !rc; i++)
		if (is_ring_key(names[i]))
			rc = store_rm(f->store, t, f->front, names[i]);
	free(names);
	return rc;
}

/* A ring's keys in dir. */
static int write_queue_keys(struct xenblkfront *f, xs_transaction_t t, const char *dir,
                            const struct xbf_queue *q)
{
	int rc = 0;

	for (unsigned i = 0; f->order_key && i < 1u << f->order && !rc; i++) {
		char key[24];
		snprintf(key, sizeof key, "ring-ref%u", i);
		rc = store_write(f->store, t, dir, key, "%u", q->ring_refs[i]);
	}
	if (!f->order_key)
		rc = store_write(f->store, t, dir, "ring-ref", "%u", q->ring_refs[0]);
	return rc ?: store_write(f->store, t, dir, "event-channel", "%u", q->port);
}

static int write_new_keys(struct xenblkfront *f, xs_transaction_t t)
{
	char dir[STORE_PATH_MAX + 16];
	int rc = 0;

	if (f->order_key)
		rc = store_write(f->store, t, f->front, "ring-page-order", "%u", f->order);
	if (!rc && f->queues)
		rc = store_write(f->store, t, f->front, "multi-queue-num-queues", "%u",
		                 f->nr_queues);
	for (unsigned i = 0; i < f->nr_queues && !rc; i++) {
		snprintf(dir, sizeof dir, f->nr_queues > 1 ? "%s/queue-%u" : "%s", f->front, i);
		rc = write_queue_keys(f, t, dir, &f->queue[i]);
	}
	if (!rc && f->protocol_key)
		rc = store_write(f->store, t, f->front, "protocol", "%s", f->protocol_key);
	if (!rc && f->persistent)
		rc = store_write(f->store, t, f->front, "feature-persistent", "1");
	return rc;
}

int xbf_write_ring_keys(struct xenblkfront *f)
{
	int rc = -EAGAIN;

	for (int i = 0; i < MAX_CONFLICTS && rc == -EAGAIN; i++) {
		xs_transaction_t t;
		rc = store_begin(f->store, &t);
		if (rc)
			break;
		rc = remove_old_keys(f, t);
		if (!rc)
			rc = write_new_keys(f, t);
		int end = store_end(f->store, t, !rc);
		rc = rc ?: end;
	}
	if (rc)
		return xbf_fail(f, rc, "cannot write the ring's keys below %s: %s", f->front,
		                error_name(rc));
	return 0;
}

/* ---- by hand ---- */

int xenblkfront_set_state(struct xenblkfront *f, int state)
{
	xbf_clear_error(f);
	int rc = store_write(f->store, XBT_NULL, f->front, "state", "%d", state);
	if (rc)
		return xbf_fail(f, rc, "cannot write %s/state: %s", f->front, error_name(rc));
	return 0;
}

int xenblkfront_wait_backend(struct xenblkfront *f, unsigned states_mask, int timeout_ms)
{
	xbf_clear_error(f);
	int rc = xbf_locate(f);
	/* A device that was there and is gone: its back end may be what is waited for. */
	if (rc && (rc != -ENODEV || !f->back[0]))
		return rc;
	xbf_clear_error(f);
	return xbf_wait_state(f, states_mask & XBF_ANY_STATE, xbf_deadline(f, timeout_ms));
}

int xenblkfront_write_key(struct xenblkfront *f, const char *key, const char *value)
{
	int rc;

	xbf_clear_error(f);
	if (value)
		rc = store_write(f->store, XBT_NULL, f->front, key, "%s", value);
	else
		rc = store_rm(f->store, XBT_NULL, f->front, key);
	if (rc)
		return xbf_fail(f, rc, "cannot %s %s/%s: %s", value ? "write" : "remove", f->front,
		                key, error_name(rc));
	return 0;
}

int xenblkfront_read_key(struct xenblkfront *f, const char *key, char *buf, size_t cap)
{
	xbf_clear_error(f);
	int rc = store_read(f->store, XBT_NULL, f->front, key, buf, cap);
	if (rc < 0)
		return xbf_fail(f, rc, "cannot read %s/%s: %s", f->front, key, error_name(rc));
	return rc;
}

int xenblkfront_read_backend_key(struct xenblkfront *f, const char *key, char *buf, size_t cap)
{
	xbf_clear_error(f);
	int rc = xbf_locate(f);
	if (rc)
		return rc;
	rc = store_read(f->store, XBT_NULL, f->back, key, buf, cap);
	if (rc < 0)
		return xbf_fail(f, rc, "cannot read %s/%s: %s", f->back, key, error_name(rc));
	return rc;
}

int xenblkfront_get_info(struct xenblkfront *f, struct xenblkfront_info *out)
{
	xbf_clear_error(f);
	int rc = xbf_read_info(f, out);
	if (!rc && f->have_info)
		f->info = *out;
	return rc;
}
