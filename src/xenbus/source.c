/* SPDX-License-Identifier: MIT */
/* From the keys to the image. physical-device (hotplug scripts of block devices and loops) comes
 * before physical-device-path (other scripts), and that before params (what the user wrote). */
#include "xenbus/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/blkif.h>

#include "base/parse.h"

struct texts {
	char device[64], path[STORE_VALUE_MAX], params[STORE_VALUE_MAX], script[STORE_VALUE_MAX];
	char status[64], mode[16], type[64], removable[16];
};

/* FNV-1a; the NUL separates the keys. */
static void print_text(uint64_t *h, const char *text)
{
	do
		*h = (*h ^ (unsigned char)*text) * 0x100000001b3ull;
	while (*text++);
}

/* text is "" if the key is absent or unusable; absent is not an error. */
static int key(const struct key_reader *r, const char *dir, const char *name, char *text,
               size_t cap, uint64_t *h, struct error *err)
{
	int rc = r->get(r->arg, dir, name, text, cap);

	if (rc < 0) {
		text[0] = '\0';
		print_text(h, rc == -ENOENT ? "" : "?");
	} else {
		print_text(h, text);
	}
	if (rc >= 0 || rc == -ENOENT)
		return 0;
	if (rc == -EMSGSIZE)
		return error_set(
		    err, rc,
		    "%s is longer than %zu bytes; the toolstack or its script wrote nonsense", name,
		    cap - 1);
	return error_set(err, rc, "cannot read %s: %s", name, error_name(rc));
}

static int read_texts(const struct key_reader *r, struct texts *t, uint64_t *h, struct error *err)
{
	const char *be = r->backend;
	struct error later;
	int first = 0, rc;

	/* All are read even after an error: the fingerprint must cover all of them. */
	const struct {
		const char *dir, *name;
		char *text;
		size_t cap;
	} keys[] = {
	    {be, "physical-device", t->device, sizeof t->device},
	    {be, "physical-device-path", t->path, sizeof t->path},
	    {be, "params", t->params, sizeof t->params},
	    {be, "script", t->script, sizeof t->script},
	    {be, "hotplug-status", t->status, sizeof t->status},
	    {be, "mode", t->mode, sizeof t->mode},
	    {be, "removable", t->removable, sizeof t->removable},
	    {r->frontend, "device-type", t->type, sizeof t->type},
	};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		rc = key(r, keys[i].dir, keys[i].name, keys[i].text, keys[i].cap, h,
		         first ? &later : err);
		/* The front end owns its copy of device-type: nonsense there is not a reason to
		 * fail.
		 */
		if (rc && !first && (keys[i].dir == be || store_unread(rc)))
			first = rc;
	}
	if (!t->type[0]) {
		rc = key(r, be, "device-type", t->type, sizeof t->type, h, first ? &later : err);
		if (rc && !first)
			first = rc;
	}
	return first;
}

/* Finds the key that names the image. 0 or -errno. */
static int pick(const struct texts *t, bool no_hotplug, struct source *out, struct error *err)
{
	uint32_t major, minor;

	if (t->device[0]) {
		int rc = parse_devnum(t->device, &major, &minor);
		if (rc)
			return error_set(err, rc,
			                 "physical-device \"%.*s\" is not MAJOR:MINOR in hex, as a "
			                 "hotplug script writes it",
			                 KEY_QUOTE, t->device);
		if (major || minor) {
			out->kind = SOURCE_DEVICE;
			out->major = major;
			out->minor = minor;
			snprintf(out->text, sizeof out->text, "%s", t->device);
			return 0;
		}
	}
	if (t->path[0]) {
		out->kind = SOURCE_TARGET;
		snprintf(out->text, sizeof out->text, "%s", t->path);
		return 0;
	}
	snprintf(out->text, sizeof out->text, "%s", t->params);
	if (t->params[0] && (no_hotplug || !t->script[0] || !strcmp(t->status, "connected")))
		out->kind = SOURCE_TARGET;
	return 0;
}

int source_read(const struct key_reader *r, struct source *out, struct error *err)
{
	struct texts t;
	int rc;

	*out = (struct source){.fingerprint = 0xcbf29ce484222325ull};
	rc = read_texts(r, &t, &out->fingerprint, err);
	snprintf(out->mode, sizeof out->mode, "%s", t.mode);
	out->readonly = !strchr(t.mode, 'w');
	out->shared = strchr(t.mode, '!');
	if (!strcmp(t.type, "cdrom"))
		out->info |= VDISK_CDROM;
	if (!strcmp(t.removable, "1"))
		out->info |= VDISK_REMOVABLE;
	if (out->readonly)
		out->info |= VDISK_READONLY;
	if (!rc)
		rc = pick(&t, r->no_hotplug, out, err);
	if (!rc && out->kind != SOURCE_WAIT && !t.mode[0])
		rc =
		    error_set(err, -ENOENT,
		              "key mode is missing; the toolstack must write \"r\" or \"w\" there");
	/* The script failed: the toolstack will take the device away. */
	if (rc || !strcmp(t.status, "error"))
		out->kind = SOURCE_WAIT;
	return rc;
}

bool source_same(const struct source *a, const struct source *b)
{
	if (a->kind != b->kind || a->readonly != b->readonly || a->shared != b->shared)
		return false;
	if (a->kind == SOURCE_DEVICE)
		return a->major == b->major && a->minor == b->minor;
	return !strcmp(a->text, b->text);
}
