/* SPDX-License-Identifier: MIT */
/* The handle of libxenblkfront: opening, closing, time. */
#include "front/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>

#include "base/clock.h"
#include "front/slots.h"

#define DEFAULT_TIMEOUT_MS 10000

uint64_t xbf_deadline(const struct xenblkfront *f, int timeout_ms)
{
	uint64_t ms = timeout_ms < 0 ? f->timeout_ms : (unsigned)timeout_ms;

	return clock_ns() + ms * NS_PER_MS;
}

int xbf_ms_left(uint64_t deadline)
{
	uint64_t now = clock_ns();

	if (now >= deadline)
		return 0;
	uint64_t ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > 1000000 ? 1000000 : (int)ms;
}

static int set_abi(struct xenblkfront *f, const char *abi)
{
	if (!abi || !strcmp(abi, "x86_64")) {
		f->proto = BLKIF_PROTO_X86_64;
		f->protocol_key = blkif_protocol_name(f->proto);
	} else if (!strcmp(abi, "x86_32")) {
		f->proto = BLKIF_PROTO_X86_32;
		f->protocol_key = blkif_protocol_name(f->proto);
	} else if (!strcmp(abi, "native")) {
		f->proto = BLKIF_PROTO_NATIVE;
		f->protocol_key = XEN_IO_PROTO_ABI_NATIVE;
	} else if (!strcmp(abi, "none")) {
		/* What back ends take a missing key for on x86, whatever their own word size. */
		f->proto = BLKIF_PROTO_X86_32;
		f->protocol_key = NULL;
	} else {
		return error_set(&f->err, -EINVAL,
		                 "unknown ABI '%s': use x86_64, x86_32, native or none", abi);
	}
	return 0;
}

static int set_options(struct xenblkfront *f, const struct xenblkfront_options *opt)
{
	int rc;

	if (opt->domid > XEN_DOMID_MAX)
		return error_set(&f->err, -EINVAL, "domain %u does not exist: the highest is %u",
		                 opt->domid, XEN_DOMID_MAX);
	f->domid = (uint16_t)opt->domid;
	if (!opt->vdev || vdev_parse(opt->vdev, &f->devid))
		return error_set(
		    &f->err, -EINVAL,
		    "invalid virtual device '%s': a name like xvda or a number is expected",
		    opt->vdev ?: "");
	vdev_name(f->devid, f->vdev);
	rc = set_abi(f, opt->abi);
	if (rc)
		return rc;
	if (opt->ring_order > XBF_MAX_ORDER)
		return error_set(&f->err, -EINVAL, "ring order %u is too large: 0 to %u",
		                 opt->ring_order, XBF_MAX_ORDER);
	f->order = opt->ring_order;
	f->order_key = opt->order_key || f->order > 0;
	if (opt->queues > XBF_MAX_QUEUES)
		return error_set(&f->err, -EINVAL, "%u queues are too many: 1 to %u", opt->queues,
		                 XBF_MAX_QUEUES);
	f->queues = opt->queues;
	f->persistent = opt->persistent;
	f->max_segs = opt->indirect && opt->indirect < XBF_MAX_SEGS ? opt->indirect : XBF_MAX_SEGS;
	f->timeout_ms = opt->timeout_ms ?: DEFAULT_TIMEOUT_MS;
	snprintf(f->front, sizeof f->front, "/local/domain/%u/device/vbd/%u", f->domid, f->devid);
	return 0;
}

int xenblkfront_open(const struct xenblkfront_options *opt, struct xenblkfront **out)
{
	struct xenblkfront *f = calloc(1, sizeof *f);
	int rc;

	*out = f;
	if (!f)
		return -ENOMEM;
	f->q = &f->queue[0];
	rc = set_options(f, opt);
	if (rc)
		return rc;
	rc = xen_platform_open(opt->run_dir, f->domid, &f->platform, &f->err);
	if (rc)
		return rc;
	rc = store_open(xen_platform_store_path(f->platform), &f->store, &f->err);
	if (!rc)
		rc = xen_gntshr_open(f->platform, &f->gntshr, &f->err);
	if (!rc)
		rc = xen_evtchn_open(f->platform, &f->evtchn, &f->err);
	return rc;
}

const char *xenblkfront_error(const struct xenblkfront *f)
{
	return f ? f->err.text : "out of memory";
}

void xenblkfront_close(struct xenblkfront *f)
{
	if (!f)
		return;
	xen_evtchn_close(f->evtchn);
	xen_gntshr_close(f->gntshr);
	store_close(f->store);
	xen_platform_close(f->platform);
	for (unsigned i = 0; i < XBF_MAX_QUEUES; i++)
		xbf_slots_free(&f->queue[i]);
	free(f);
}
