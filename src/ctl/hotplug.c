/* SPDX-License-Identifier: MIT */
/*
 * What xl runs as a hotplug script (packaging/block-xenblkd): between InitWait and the guest's
 * start it tells xenblkd to open the image and waits for it, so that a failure reaches xl's user.
 *
 * xl gives XENBUS_PATH=backend/KIND/DOMID/DEVID, relative to the domain it runs in, and
 * XENBUS_TYPE.
 */
#include "ctl/hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/steps.h"

/* "backend/vbd/1/51712" */
static int parse_path(const char *path, char *kind, size_t cap, struct toolstack_disk *disk)
{
	char domid[8], devid[12], end;
	char text[16];

	if (sscanf(path, "backend/%15[a-z0-9]/%7[0-9]/%11[0-9]%c", text, domid, devid, &end) != 3)
		return -EINVAL;
	snprintf(kind, cap, "%s", text);
	disk->kind = kind;
	return parse_u32(domid, 0, XEN_DOMID_MAX, &disk->domid) ||
	               parse_u32(devid, 0, UINT32_MAX, &disk->devid)
	           ? -EINVAL
	           : 0;
}

/* The image as xl's user wrote it, without the prefix that libxl puts before a raw one. */
static int read_target(struct toolstack *ts, struct toolstack_disk *disk, char *target, size_t cap,
                       struct error *err)
{
	struct toolstack_paths p;
	char params[STORE_VALUE_MAX];

	toolstack_own_paths(ts, disk->kind, disk->domid, disk->devid, &p);
	int rc = store_read(ts->store, XBT_NULL, p.back, "params", params, sizeof params);
	if (rc < 0)
		return error_set(err, rc, "cannot read %s/params: %s", p.back, error_name(rc));
	snprintf(target, cap, "%s", strncmp(params, "aio:", 4) ? params : params + 4);
	disk->target = target;
	/* The failure of an earlier run would keep the image closed. */
	store_rm(ts->store, XBT_NULL, p.back, "hotplug-status");
	store_rm(ts->store, XBT_NULL, p.back, "hotplug-error");
	return 0;
}

int hotplug_run(struct toolstack *ts, const char *action, const char *xenbus_path,
                struct error *err)
{
	struct toolstack_disk disk = {0};
	char kind[16], target[STORE_VALUE_MAX];
	int rc;

	if (strcmp(action, "add") && strcmp(action, "remove"))
		return error_set(err, -EINVAL, "hotplug knows add and remove, not %s", action);
	if (!xenbus_path || parse_path(xenbus_path, kind, sizeof kind, &disk))
		return error_set(
		    err, -EINVAL,
		    "XENBUS_PATH is \"%s\", expected backend/KIND/DOMID/DEVID; xl sets it "
		    "for the scripts it runs",
		    xenbus_path ? xenbus_path : "");
	if (!strcmp(action, "remove"))
		return toolstack_released(ts, disk.kind, disk.domid, disk.devid, err);
	rc = read_target(ts, &disk, target, sizeof target, err);
	return rc ? rc : toolstack_hotplug(ts, &disk, TOOLSTACK_OPEN_MS, NULL, err);
}
