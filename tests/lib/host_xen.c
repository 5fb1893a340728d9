/* SPDX-License-Identifier: MIT */
/* The host of the integration tests: toolstack, images, front ends. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "blkif/abi.h"
#include "blkif/vdev.h"

#define PATHS 8

static char *path_buffer(void)
{
	static char paths[PATHS][STORE_PATH_MAX];
	static unsigned next;

	return paths[next++ % PATHS];
}

const char *host_be(unsigned domid, unsigned devid)
{
	char *p = path_buffer();

	snprintf(p, STORE_PATH_MAX, "/local/domain/0/backend/vbd/%u/%u", domid, devid);
	return p;
}

const char *host_fe(unsigned domid, unsigned devid)
{
	char *p = path_buffer();

	snprintf(p, STORE_PATH_MAX, "/local/domain/%u/device/vbd/%u", domid, devid);
	return p;
}

void host_write(struct host *h, const char *dir, const char *key, const char *fmt, ...)
{
	char value[4200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	int rc = store_write(h->store, XBT_NULL, dir, key, "%s", value);
	if (rc)
		fail_msg("cannot write %s/%s: %d", dir, key, rc);
}

const char *host_read(struct host *h, const char *dir, const char *key)
{
	static char value[STORE_VALUE_MAX];

	if (store_read(h->store, XBT_NULL, dir, key, value, sizeof value) < 0)
		value[0] = 0;
	return value;
}

struct pair {
	const char *key, *value;
};

static void write_pairs(struct host *h, xs_transaction_t t, const char *dir, unsigned owner,
                        unsigned reader, const struct pair *pairs)
{
	assert_int_equal(store_mkdir(h->store, t, dir), 0);
	assert_int_equal(store_set_perms(h->store, t, dir, owner, (int)reader), 0);
	for (; pairs->key; pairs++)
		if (strcmp(pairs->value, "-"))
			assert_int_equal(
			    store_write(h->store, t, dir, pairs->key, "%s", pairs->value), 0);
}

void host_disk(struct host *h, const struct disk *d)
{
	unsigned domid = d->domid ? d->domid : 1, devid = d->devid ? d->devid : XVDA;
	const char *be = host_be(domid, devid), *fe = host_fe(domid, devid);
	char id[16], vdev[16], name[VDEV_NAME_MAX];
	struct error err;
	xs_transaction_t t;
	int rc = xen_domain_create(h->xen, (uint16_t)domid, &err);

	if (rc && rc != -EEXIST)
		fail_msg("%s", err.text);
	snprintf(id, sizeof id, "%u", domid);
	snprintf(vdev, sizeof vdev, "%u", devid);
	vdev_name(devid, name);
	const char *type = d->device_type ? d->device_type : "disk";
	const struct pair back[] = {
	    {"frontend", fe},
	    {"frontend-id", id},
	    {"online", d->online ? d->online : "1"},
	    {"removable", d->removable ? d->removable : "0"},
	    {"bootable", "1"},
	    {"dev", name},
	    {"type", d->type ? d->type : "phy"},
	    {"mode", d->mode ? d->mode : "w"},
	    {"device-type", type},
	    {"discard-enable", d->discard_enable ? d->discard_enable : "1"},
	    {"specification", "xen"},
	    {"params", d->params ? d->params : "/nonexistent"},
	    {"script", d->script ? d->script : "/etc/xen/scripts/block-xenblkd"},
	    {"state", "1"},
	    {0},
	};
	const struct pair front[] = {
	    {"backend", be},
	    {"backend-id", "0"},
	    {"virtual-device", vdev},
	    {"device-type", type},
	    {"trusted", "1"},
	    {"state", "1"},
	    {0},
	};
	do {
		assert_int_equal(store_begin(h->store, &t), 0);
		write_pairs(h, t, be, 0, domid, back);
		if (!d->no_frontend)
			write_pairs(h, t, fe, domid, 0, front);
		rc = store_end(h->store, t, true);
	} while (rc == -EAGAIN);
	assert_int_equal(rc, 0);
}

void host_script(struct host *h, unsigned domid, unsigned devid, const char *path)
{
	host_write(h, host_be(domid, devid), "physical-device-path", "%s", path);
	host_write(h, host_be(domid, devid), "hotplug-status", "connected");
}

void host_attach(struct host *h, const struct disk *d, const char *image)
{
	unsigned domid = d->domid ? d->domid : 1, devid = d->devid ? d->devid : XVDA;

	host_disk(h, d);
	host_wait_state(h, domid, devid, XS_INITWAIT);
	host_script(h, domid, devid, image);
}

void host_offline(struct host *h, unsigned domid, unsigned devid)
{
	const char *be = host_be(domid, devid);
	xs_transaction_t t;
	int rc;

	do {
		assert_int_equal(store_begin(h->store, &t), 0);
		assert_int_equal(store_write(h->store, t, be, "online", "0"), 0);
		if (store_read_state(h->store, t, be) != XS_CLOSED)
			assert_int_equal(store_write(h->store, t, be, "state", "5"), 0);
		rc = store_end(h->store, t, true);
	} while (rc == -EAGAIN);
	assert_int_equal(rc, 0);
}

void host_remove_nodes(struct host *h, unsigned domid, unsigned devid)
{
	store_rm(h->store, XBT_NULL, host_fe(domid, devid), NULL);
	store_rm(h->store, XBT_NULL, host_be(domid, devid), NULL);
}

void host_detach(struct host *h, unsigned domid, unsigned devid)
{
	char id[32];

	host_offline(h, domid, devid);
	host_wait_state(h, domid, devid, XS_CLOSED);
	host_remove_nodes(h, domid, devid);
	snprintf(id, sizeof id, "%u:%u", domid, devid);
	host_wait_gone(h, id);
}

int host_state(struct host *h, unsigned domid, unsigned devid)
{
	return store_read_state(h->store, XBT_NULL, host_be(domid, devid));
}

void host_wait_state(struct host *h, unsigned domid, unsigned devid, int state)
{
	uint64_t end = clock_ns() + WAIT_MS * NS_PER_MS;

	while (host_state(h, domid, devid) != state) {
		if (clock_ns() > end)
			fail_msg("back end of %u/%u is in %s, not in %s", domid, devid,
			         xenbus_state_name(host_state(h, domid, devid)),
			         xenbus_state_name(state));
		usleep(500);
	}
}

bool host_state_stays(struct host *h, unsigned domid, unsigned devid, int state, int ms)
{
	uint64_t end = clock_ns() + (uint64_t)ms * NS_PER_MS;

	while (clock_ns() < end) {
		if (host_state(h, domid, devid) != state)
			return false;
		usleep(1000);
	}
	return true;
}

/* ---- images ---- */

const char *host_image(struct host *h, const char *name, uint64_t size)
{
	static char paths[4][200];
	static unsigned next;
	char *p = paths[next++ % 4];

	assert_true(!mkdir(h->images, 0700) || errno == EEXIST);
	snprintf(p, sizeof paths[0], "%s/%s", h->images, name);
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return p;
}

void host_pattern(void *buf, uint64_t offset, size_t length, uint32_t seed)
{
	uint64_t *words = buf;

	for (size_t i = 0; i < length / 8; i++) {
		uint64_t x = (offset / 8 + i) * 0x9e3779b97f4a7c15ull + seed;
		words[i] = x ^ x >> 29;
	}
}

void host_fill(const char *path, uint64_t size, uint32_t seed)
{
	size_t chunk = 1 << 16;
	char *buf = malloc(chunk);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	for (uint64_t at = 0; at < size; at += chunk) {
		size_t n = size - at < chunk ? (size_t)(size - at) : chunk;
		host_pattern(buf, at, n, seed);
		assert_int_equal(pwrite(fd, buf, n, (off_t)at), n);
	}
	close(fd);
	free(buf);
}

/* ---- front end ---- */

struct xenblkfront *host_front(struct host *h, unsigned domid, const char *vdev, const char *abi,
                               unsigned order)
{
	struct xenblkfront_options opt = {
	    .run_dir = h->dir,
	    .domid = domid,
	    .vdev = vdev,
	    .abi = abi,
	    .ring_order = order,
	    .timeout_ms = WAIT_MS,
	};
	struct xenblkfront *f;

	if (xenblkfront_open(&opt, &f))
		fail_msg("%s", xenblkfront_error(f));
	return f;
}

struct xenblkfront *host_front_connected(struct host *h, unsigned domid, const char *vdev)
{
	struct xenblkfront *f = host_front(h, domid, vdev, NULL, 0);

	assert_front(f, xenblkfront_connect(f));
	return f;
}

struct xenblkfront *host_front_with(struct host *h, const struct xenblkfront_options *more)
{
	struct xenblkfront_options opt = *more;
	struct xenblkfront *f;

	opt.run_dir = h->dir;
	opt.domid = opt.domid ?: 1;
	opt.vdev = opt.vdev ?: "xvda";
	opt.timeout_ms = opt.timeout_ms ?: WAIT_MS;
	if (xenblkfront_open(&opt, &f) || xenblkfront_connect(f))
		fail_msg("%s", xenblkfront_error(f));
	return f;
}

int host_request(struct xenblkfront *f, const struct xenblkfront_request *req)
{
	static uint64_t id = 0x1122334455667788ull;
	struct xenblkfront_response rsp;

	assert_front(f, xenblkfront_queue(f, req, ++id));
	assert_front(f, xenblkfront_kick(f));
	assert_front(f, xenblkfront_reap(f, &rsp, 1, -1));
	assert_int_equal(rsp.id, id);
	assert_int_equal(rsp.op, req->op == BLKIF_OP_INDIRECT ? req->inner_op : req->op);
	return rsp.status;
}
