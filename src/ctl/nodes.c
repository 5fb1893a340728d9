/* SPDX-License-Identifier: MIT */
/* Which xenstore nodes libxl makes for a disk (measured with Xen 4.17 and 4.20): tables, no I/O. */
#include "ctl/toolstack.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blkif/vdev.h"

#define SCRIPT "/etc/xen/scripts/block-xenblkd"

void toolstack_id(unsigned domid, uint32_t devid, char *id)
{
	char name[VDEV_NAME_MAX];

	vdev_name(devid, name);
	snprintf(id, TOOLSTACK_ID_MAX, "%u:%s", domid, name);
}

static const char *kind_of(const char *kind)
{
	return kind ? kind : "vbd";
}

void toolstack_paths(const char *kind, unsigned domid, uint32_t devid, struct toolstack_paths *out)
{
	snprintf(out->back, sizeof out->back, "/local/domain/0/backend/%.16s/%u/%u", kind_of(kind),
	         domid, devid);
	/* The front end's kind is vbd whatever serves it. */
	snprintf(out->front, sizeof out->front, "/local/domain/%u/device/vbd/%u", domid, devid);
	snprintf(out->copy, sizeof out->copy, "/libxl/%u/device/vbd/%u", domid, devid);
}

static void __attribute__((format(printf, 4, 5)))
put(struct toolstack_node *node, unsigned *n, const char *key, const char *fmt, ...)
{
	va_list ap;

	node[*n].key = key;
	va_start(ap, fmt);
	vsnprintf(node[*n].value, sizeof node[*n].value, fmt, ap);
	va_end(ap);
	(*n)++;
}

static bool is_vbd(const struct toolstack_disk *disk)
{
	return !strcmp(kind_of(disk->kind), "vbd");
}

static const char *mode_of(const struct toolstack_disk *disk)
{
	return disk->mode ? disk->mode : disk->cdrom ? "r" : "w";
}

static const char *device_type(const struct toolstack_disk *disk)
{
	return disk->cdrom ? "cdrom" : "disk";
}

unsigned toolstack_back_nodes(const struct toolstack_disk *disk, struct toolstack_node *node)
{
	const char *mode = mode_of(disk);
	bool writable = mode[0] == 'w';
	struct toolstack_paths p;
	char name[VDEV_NAME_MAX];
	unsigned n = 0;

	toolstack_paths(disk->kind, disk->domid, disk->devid, &p);
	vdev_name(disk->devid, name);
	/* phy disks have the target as the user wrote it; the others have its format before it. */
	put(node, &n, "params", "%s%s",
	    is_vbd(disk) || disk->target[0] != '/' ? "" : "aio:", disk->target);
	put(node, &n, "type", "%s", is_vbd(disk) ? "phy" : disk->kind);
	if (!disk->no_script)
		put(node, &n, "script", SCRIPT);
	put(node, &n, "frontend", "%s", p.front);
	put(node, &n, "frontend-id", "%u", disk->domid);
	put(node, &n, "online", "1");
	put(node, &n, "removable", "%d", disk->removable || disk->cdrom);
	put(node, &n, "bootable", "1");
	put(node, &n, "dev", "%s", name);
	put(node, &n, "mode", "%s", mode);
	put(node, &n, "device-type", "%s", device_type(disk));
	put(node, &n, "discard-enable", "%d", writable && !disk->no_discard);
	put(node, &n, "specification", "xen");
	put(node, &n, "state", "1");
	return n;
}

unsigned toolstack_front_nodes(const struct toolstack_disk *disk, struct toolstack_node *node)
{
	struct toolstack_paths p;
	unsigned n = 0;

	toolstack_paths(disk->kind, disk->domid, disk->devid, &p);
	put(node, &n, "backend", "%s", p.back);
	put(node, &n, "backend-id", "0");
	put(node, &n, "virtual-device", "%u", disk->devid);
	put(node, &n, "device-type", "%s", device_type(disk));
	put(node, &n, "trusted", "1");
	put(node, &n, "protocol", "x86_64-abi");
	put(node, &n, "state", "1");
	return n;
}

unsigned toolstack_copy_nodes(const struct toolstack_disk *disk, struct toolstack_node *node)
{
	struct toolstack_paths p;
	unsigned n = 0;

	toolstack_paths(disk->kind, disk->domid, disk->devid, &p);
	put(node, &n, "backend", "%s", p.back);
	return n;
}

/* Length of a format prefix that may be before a path. */
static size_t format_prefix(const char *text)
{
	static const char *const formats[] = {"aio:", "raw:", "phy:", "qcow2:", "vhd:", "vmdk:"};

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (!strncmp(text, formats[i], strlen(formats[i])))
			return strlen(formats[i]);
	return 0;
}

static bool is_no_path(const char *text)
{
	static const char *const others[] = {"null:", "nbd:", "nbd+unix:", "nbds:", "rbd:"};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strncmp(text, others[i], strlen(others[i])))
			return true;
	return false;
}

/* The directory that a relative path's last part is in: malloc'ed, or NULL. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *part, *dir;

	if (!slash)
		return getcwd(NULL, 0);
	part = strndup(path, (size_t)(slash - path));
	dir = part ? realpath(part, NULL) : NULL;
	free(part);
	return dir;
}

int toolstack_target(const char *text, char *out, struct error *err)
{
	size_t prefix = format_prefix(text);
	const char *path = text + prefix, *slash = strrchr(path, '/');
	char *dir = NULL;
	int n;

	if (*path == '/' || !*path || is_no_path(text)) {
		n = snprintf(out, STORAGE_TARGET_MAX, "%s", text);
	} else if ((dir = directory_of(path))) {
		n = snprintf(out, STORAGE_TARGET_MAX, "%.*s%s/%s", (int)prefix, text,
		             strcmp(dir, "/") ? dir : "", slash ? slash + 1 : path);
	} else {
		dir = getcwd(NULL, 0);
		n = snprintf(out, STORAGE_TARGET_MAX, "%.*s%s/%s", (int)prefix, text,
		             dir ? dir : "", path);
	}
	free(dir);
	if (n < 0 || n >= STORAGE_TARGET_MAX)
		return error_set(
		    err, -ENAMETOOLONG,
		    "the target is longer than %d characters: %.40s…; use a shorter path",
		    STORAGE_TARGET_MAX - 1, text);
	return 0;
}
